"""Bridges come, change and go at a reload; who is not meant notices nothing."""
import re
import time
import urllib.request

import pytest

from peers import packets as mqtt
from peers.bridge import numbers, wait_until
from peers.broker import publish

LINES = "topic q/# out 2\nnotifications false\n"


def other(world, lines="topic o/# out 1\n", port=None):
    return "\nconnection other\naddress 127.0.0.1:%d\nrestart_timeout 1\nremote_clientid other\nnotifications false\n%s" % (
        port or world.remote.port, lines)


def test_a_new_section_starts(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "o/#", "-q", 1)
    world.start(LINES)
    world.gate.reload(world.config(LINES + other(world)))
    world.gate.wait_log("bridge other: connected to the remote broker")
    world.gate.wait_log("bridge other: connected to the local broker")
    publish(world.local.port, "-t", "o/a", "-m", "x", "-q", 1)
    there.wait(1)
    assert world.metric("remote_connects") == 1 and world.metric("local_connects") == 1
    assert world.metric("remote_connects", bridge="other") == 1


def test_a_first_section_starts(world, subscriber_of, port):
    """Where none was."""
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 1)
    text = "listener %d 127.0.0.1\nprotocol mqtt\n" % port
    front = "backend 127.0.0.1:%d\nqueue_dir %s/queue\nmetrics_listener 127.0.0.1:%d\n" % (world.local.port, world.folder, world.metrics)
    world.gate = world.gate_of(front + "allow_anonymous true\n" + text)
    world.gate.reload(world.config(LINES, "allow_anonymous true\n" + text))
    world.wait_up()
    world.feed("q/a", range(3))
    there.wait(3)


def test_a_removed_section_drains_first(world, subscriber_of):
    proxy = world.break_links()
    there = subscriber_of(world.remote.port, "-t", "o/#", "-q", 1)
    lines = "topic o/# out 1\ndrain_rate 40/s\n"
    world.start(LINES + other(world, lines, proxy.port), is_up=False)
    world.gate.wait_log("bridge other: connected to the remote broker")
    proxy.is_refusing = True
    proxy.cut()
    world.gate.wait_log("bridge other: the remote broker at .* is lost")
    world.feed("o/a", range(100))
    world.wait_metric("queued", 100, bridge="other", direction="out")
    proxy.is_refusing = False
    world.gate.wait_log("bridge other: connected to the remote broker", 2)
    log = world.gate.reload(world.config(LINES))
    assert "bridge other: its section is gone; what is queued is sent first" in log.lower()
    world.feed("o/a", range(100, 110))
    world.gate.wait_log("bridge other: all that was queued is sent; it ends")
    assert numbers(there.messages)[:100] == list(range(100))
    assert numbers(there.messages) == list(range(100)), "nothing new is taken"
    wait_until(lambda: 'bridge="other"' not in metrics(world), "it is still counted")
    world.feed("o/a", range(200, 203))
    time.sleep(0.5)
    assert len(there.messages) == 100
    wait_until(lambda: re.search(r"Received UNSUBSCRIBE from local\.other$", world.local.log(), re.M), "it still subscribes")


def test_a_removed_section_leaves_no_session(world, backend_of):
    """MQTT 5: the DISCONNECT ends it."""
    far = backend_of()
    world.start(LINES + other(world, "topic o/# out 1\ntopic i/# in 1\nbridge_protocol_version mqttv50\n", far.port), is_up=False)
    world.gate.wait_log("bridge other: connected to the remote broker")
    world.gate.reload(world.config(LINES))
    connection = far.wait_connection()
    goodbye = connection.wait_packet(mqtt.DISCONNECT)
    assert goodbye.prop(0x11) == 0
    assert [filter_ for packet in connection.of_kind(mqtt.UNSUBSCRIBE) for filter_ in packet.filters].count("i/#") == 1


def metrics(world):
    import urllib.request
    return urllib.request.urlopen("http://127.0.0.1:%d/metrics" % world.metrics, timeout=10).read().decode()


def test_a_removed_section_without_its_broker_keeps_its_queue(world, subscriber_of):
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "o/#", "-q", 1)
    both = world.config(LINES + other(world, port=proxy.port))
    world.start(LINES + other(world, port=proxy.port), is_up=False)
    world.gate.wait_log("bridge other: connected to the local broker")
    world.feed("o/a", range(10))
    world.wait_metric("queued", 10, bridge="other", direction="out")
    world.gate.reload(world.config(LINES))
    world.gate.wait_log("bridge other: its section is gone and a broker is not there: what is queued stays on the disk")
    proxy.is_refusing = False
    world.gate.reload(both)
    assert numbers(there.wait(10)) == list(range(10))


def test_a_removed_lazy_section_drains_first(world, subscriber_of):
    """Also what is less than its threshold."""
    there = subscriber_of(world.remote.port, "-t", "o/#", "-q", 1)
    world.start(LINES + other(world, "topic o/# out 1\nstart_type lazy\n"), is_up=False)
    world.gate.wait_log("bridge other: connected to the local broker")
    world.feed("o/a", range(3))
    world.wait_metric("queued", 3, bridge="other", direction="out")
    assert not there.messages
    world.gate.reload(world.config(LINES))
    world.gate.wait_log("bridge other: all that was queued is sent; it ends")
    assert numbers(there.wait(3)) == list(range(3))


def test_start_type_once_is_not_ended_by_a_reload(world):
    lines = LINES + "start_type once\nbridge_reload_type immediate\n"
    world.start(lines)
    world.gate.reload(world.config(lines + "keepalive_interval 20\n"))
    world.wait_up(2)
    world.remote.stop(is_killed=True)
    world.gate.wait_log("the connection was to be made once only")


@pytest.mark.parametrize("kind", ["immediate", "lazy"])
def test_a_changed_section(world, subscriber_of, kind):
    there = subscriber_of(world.remote.port, "-t", "#", "-q", 2)
    proxy = world.break_links()
    lines = LINES + "bridge_reload_type %s\n" % kind
    world.start(lines + other(world))
    world.gate.wait_log("bridge other: connected to the remote broker")
    world.gate.reload(world.config(lines.replace("q/#", "n/#") + other(world)))
    if kind == "lazy":
        world.feed("q/a", range(3))
        there.wait(3)
        assert world.metric("remote_connects") == 1 and world.metric("local_connects") == 1
        proxy.cut()
        world.gate.wait_log("bridge cloud: connected to the remote broker", 2)
    else:
        world.wait_metric("remote_connects", 2)
        world.wait_metric("local_connects", 2)
    world.wait_metric("local_up", 1)
    world.wait_metric("remote_up", 1)
    before = len(there.messages)
    world.feed("n/a", range(3))
    wait_until(lambda: len(there.messages) >= before + 3, lambda: "the new line does not hold: %s\n%s" % (there.messages, world.gate.log()))
    assert numbers(there.messages[before:]) == [0, 1, 2]
    assert world.metric("remote_connects", bridge="other") == 1 and world.metric("local_connects", bridge="other") == 1


def test_the_local_broker_comes_back_after_a_change(world, subscriber_of):
    """The new section holds for both sides then: the remote connection, which lives on the old one's memory, is made anew."""
    there = subscriber_of(world.remote.port, "-t", "#", "-q", 2)
    world.start(LINES)
    world.gate.reload(world.config(LINES.replace("q/#", "n/#")))
    world.gate.reload(world.config(LINES.replace("q/#", "n/#") + "# again\n"))
    world.local.stop(is_killed=True)
    world.gate.wait_log("the local broker at .* is lost")
    world.local.start()
    world.wait_up(2)
    world.feed("n/a", range(3))
    world.feed("q/a", range(3))
    assert [message[0] for message in there.wait(3)] == ["n/a"] * 3
    time.sleep(0.3)
    assert len(there.messages) == 3
    assert world.metric("connection_ends", side="remote", cause="ours") == 1


def test_the_primary_is_probed_after_a_reload(world, broker_of, port):
    """The probe's address is the old section's while the new one waits."""
    world.remote_at = "127.0.0.1:%d 127.0.0.1:%d" % (port, world.remote.port)
    world.start(LINES)
    world.gate.reload(world.config(LINES + "keepalive_interval 33\n"))
    world.local.stop(is_killed=True)
    world.gate.wait_log("the local broker at .* is lost")
    world.local.start()
    world.wait_local(2)
    broker_of(port=port)
    world.gate.wait_log("connected to the remote broker at 127.0.0.1:%d" % port)


def test_an_unchanged_file_changes_nothing(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(LINES)
    for turn in range(3):
        world.gate.reload()
        world.feed("q/a", range(turn * 3, turn * 3 + 3))
    assert numbers(there.wait(9)) == list(range(9))
    assert world.metric("remote_connects") == 1 and world.metric("local_connects") == 1
    assert "its section has changed" not in world.gate.log()


def test_a_bad_file_changes_nothing(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(LINES)
    log = world.gate.reload(world.config(LINES + "start_type manual\n"))
    assert "refused" in log
    log = world.gate.reload(world.config("topic + both 7\n"))
    assert "refused" in log
    world.feed("q/a", range(3))
    there.wait(3)
    assert world.metric("remote_connects") == 1 and world.metric("local_connects") == 1


def test_the_queue_survives_a_change(world, subscriber_of):
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(LINES, is_up=False)
    world.wait_local()
    world.feed("q/a", range(20), qos=2)
    world.wait_metric("queued", 20, direction="out")
    world.gate.reload(world.config(LINES + "keepalive_interval 20\nbridge_reload_type immediate\n"))
    world.wait_local(2)
    world.feed("q/a", range(20, 30), qos=2)
    proxy.is_refusing = False
    assert numbers(there.wait(30)) == list(range(30))


def test_the_queues_settings_change(world, subscriber_of):
    """Its limits hold from the reload on."""
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(LINES, is_up=False)
    world.wait_local()
    world.feed("q/a", range(20))
    world.wait_metric("queued", 20, direction="out")
    world.gate.reload(world.config(LINES + "bridge_reload_type immediate\n", "max_queued_messages 5\n"))
    world.feed("q/a", range(20, 30))
    world.wait_metric("received", 30, direction="out")
    world.wait_metric("queued", 5, direction="out")
    proxy.is_refusing = False
    assert numbers(there.wait(5)) == list(range(25, 30))
