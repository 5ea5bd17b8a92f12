"""When a bridge connects, where to, as whom, and what it tells about itself."""
import subprocess
import time

import pytest

from peers import packets as mqtt
from peers.bridge import came, numbers, wait_until
from peers.broker import publish
from peers.ports import free_port

QUIET = "notifications false\n"


def test_lazy(world, subscriber_of):
    """Connected from `threshold` messages on, until nothing has happened for idle_timeout."""
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(QUIET + "topic q/# out 2\nstart_type lazy\nthreshold 5\nidle_timeout 2", is_up=False)
    world.wait_local()
    world.feed("q/a", range(4))
    world.wait_metric("queued", 4, direction="out")
    time.sleep(1.2)
    assert world.metric("state") == 0 and world.metric("remote_connects") == 0
    world.feed("q/a", range(4, 6), qos=0)
    assert numbers(there.wait(6)) == list(range(6)), "QoS 0 counts and waits, too"
    world.wait_metric("state", 0)
    assert world.metric("connection_ends", side="remote", cause="ours") == 1
    world.feed("q/a", range(6, 12))
    assert numbers(there.wait(12)) == list(range(12))
    assert world.metric("remote_connects") == 2


def test_once(world):
    proxy = world.break_links()
    world.start(QUIET + "topic q/# out 2\nstart_type once")
    proxy.cut()
    world.gate.wait_log("the connection was to be made once only")
    time.sleep(1.5)
    assert world.metric("state") == 0 and world.metric("remote_connects") == 1
    world.feed("q/a", range(3))
    world.wait_metric("queued", 3, direction="out")


def test_the_first_address_is_returned_to(world, broker_of, subscriber_of):
    first = free_port()
    world.remote_at = "127.0.0.1:%d 127.0.0.1:%d" % (first, world.remote.port)
    world.start(QUIET + "topic q/# out 1")
    world.gate.wait_log("connected to the remote broker at 127.0.0.1:%d" % world.remote.port)
    real = broker_of(port=first)
    there = subscriber_of(real.port, "-t", "q/#", "-q", 1)
    world.gate.wait_log("the first address answers again")
    world.gate.wait_log("connected to the remote broker at 127.0.0.1:%d" % first)
    world.feed("q/a", range(2))
    there.wait(2)


def test_round_robin_stays(world, broker_of):
    first = free_port()
    world.remote_at = "127.0.0.1:%d 127.0.0.1:%d" % (first, world.remote.port)
    world.start(QUIET + "topic q/# out 1\nround_robin true")
    broker_of(port=first)
    time.sleep(6.5)
    assert world.metric("remote_connects") == 1 and "answers again" not in world.gate.log()


def test_restart_timeout_has_jitter(world, backend_of):
    """Not sooner than the base, not later than the cap, and not always the same."""
    times = []

    def script(connection, raw):
        times.append(time.monotonic())
        connection.close()
        return b""

    world.remote_at = backend_of(script).port
    world.start(QUIET + "topic q/# out 1", is_up=False, restart="restart_timeout 1 3")
    wait_until(lambda: len(times) >= 6, "it does not try")
    waits = [b - a for a, b in zip(times, times[1:])]
    assert all(0.95 <= wait < 4 for wait in waits), waits
    assert max(waits) - min(waits) > 0.3, waits


@pytest.mark.parametrize("clean", [False, True])
def test_cleansession(world, backend_of, clean):
    remote, local = backend_of(), backend_of()
    world.remote_at, world.local.port = remote.port, local.port
    world.start(QUIET + "topic q/# out 1\ncleansession %s\nlocal_cleansession %s" % (str(clean).lower(), str(not clean).lower()))
    assert remote.connections[0].of_kind(mqtt.CONNECT)[0].connect_flags & 2 == 2 * clean
    assert local.connections[0].of_kind(mqtt.CONNECT)[0].connect_flags & 2 == 2 * (not clean)


def test_local_cleansession_queues_nothing(world, subscriber_of):
    proxy = world.break_links()
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(QUIET + "topic q/# out 2\nlocal_cleansession true")
    proxy.is_refusing = True
    proxy.cut()
    world.wait_metric("remote_up", 0)
    world.feed("q/a", range(5))
    world.wait_metric("dropped_offline", 5, direction="out")
    proxy.is_refusing = False
    world.gate.wait_log("connected to the remote broker", 2)
    world.feed("q/a", range(5, 8))
    assert numbers(there.wait(3)) == [5, 6, 7]


def states(subscriber):
    return [message[3] for message in subscriber.messages]


def test_notification_topic_and_the_will(world, subscriber_of):
    here, there = (subscriber_of(broker.port, "-t", "state/#", "-q", 1) for broker in (world.local, world.remote))
    world.start("topic q/# out 1\nnotification_topic state/edge")
    for side in (here, there):
        wait_until(lambda side=side: states(side)[-1:] == [b"1"], "it does not say that it is up")
    world.gate.kill()
    for side in (here, there):
        wait_until(lambda side=side: states(side)[-1:] == [b"0"], "the will does not come")
    world.gate.start()
    world.wait_up(2)
    for side in (here, there):
        wait_until(lambda side=side: states(side)[-1:] == [b"1"], "it does not say that it is up again")
    world.gate.stop()
    for side in (here, there):
        wait_until(lambda side=side: states(side)[-1:] == [b"0"], "it does not say goodbye")
    late = subscriber_of(world.remote.port, "-t", "state/#", "-q", 1)
    assert late.wait(1)[0][2:] == (1, b"0"), "it is retained"


@pytest.mark.parametrize("lines, is_there", [("notifications_local_only true", False), ("notifications false", None)])
def test_notifications_to_fewer(world, backend_of, subscriber_of, lines, is_there):
    here = subscriber_of(world.local.port, "-t", "$SYS/broker/connection/#", "-q", 1)
    remote = backend_of()
    world.remote_at = remote.port
    world.start("topic q/# out 1\nremote_clientid edge\n" + lines)
    if is_there is None:
        time.sleep(0.5)
        assert not here.messages
    else:
        wait_until(lambda: states(here)[-1:] == [b"1"], "it does not say that it is up")
    assert not came(remote), "the remote broker is told"
    assert remote.connections[0].of_kind(mqtt.CONNECT)[0].connect_flags & 4 == 0, "there is a will"


@pytest.mark.parametrize("is_on", [True, False])
def test_attempt_unsubscribe(world, backend_of, is_on):
    remote = backend_of()
    world.remote_at = remote.port
    world.start(QUIET + 'topic q/# out 1 "" far/\ntopic c/# in 1\nbridge_attempt_unsubscribe %s' % str(is_on).lower())
    connection = remote.connections[0]
    assert [packet.filters for packet in connection.of_kind(mqtt.UNSUBSCRIBE)] == ([["far/q/#"]] if is_on else [])
    assert [one[0] for packet in connection.of_kind(mqtt.SUBSCRIBE) for one in packet.filters] == ["c/#"]


@pytest.mark.parametrize("is_on", [True, False])
def test_outgoing_retain(world, device_of, subscriber_of, is_on):
    world.start(QUIET + "topic q/# both 1\nbridge_outgoing_retain %s" % str(is_on).lower())
    publish(world.local.port, "-t", "q/a", "-m", "x", "-q", 1, "-r")
    publish(world.remote.port, "-t", "q/b", "-m", "x", "-q", 1, "-r")
    world.wait_metric("acknowledged", 1, direction="out")
    world.wait_metric("acknowledged", 1, direction="in")
    late = subscriber_of(world.local.port, "-t", "q/b", "-q", 1)
    assert late.wait(1)[0][2] == 1, "inwards it stays"
    late = subscriber_of(world.remote.port, "-t", "q/a", "-q", 1)
    publish(world.remote.port, "-t", "q/a", "-m", "live", "-q", 1)
    assert late.wait(1)[0][2:] == ((1, b"x") if is_on else (0, b"live"))


def test_retained_messages_come_at_every_connect(world, subscriber_of):
    publish(world.local.port, "-t", "q/kept", "-m", "r", "-q", 1, "-r")
    proxy = world.break_links()
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 1)
    world.start(QUIET + "topic q/# out 1")
    there.wait(1)
    proxy.cut()
    world.gate.wait_log("connected to the remote broker", 2)
    assert [message[0::3] for message in there.wait(2)] == [("q/kept", b"r")] * 2


def test_upgrade_outgoing_qos(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(QUIET + "topic q/# out 2", "upgrade_outgoing_qos true\n")
    for qos in range(3):
        publish(world.local.port, "-t", "q/%d" % qos, "-m", "x", "-q", qos)
    assert sorted(message[:2] for message in there.wait(3)) == [("q/%d" % qos, 2) for qos in range(3)]


@pytest.mark.parametrize("is_on", [True, False])
def test_queue_qos0_messages(world, subscriber_of, is_on):
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(QUIET + "topic q/# out 2", "queue_qos0_messages %s\n" % str(is_on).lower(), is_up=False)
    world.wait_local()
    world.feed("q/a", range(4), qos=0)
    world.wait_metric("queued" if is_on else "dropped_qos0", 4, direction="out")
    proxy.is_refusing = False
    world.gate.wait_log("connected to the remote broker")
    world.feed("q/a", range(4, 6), qos=0)
    assert [(message[1], int(message[3])) for message in there.wait(6 if is_on else 2)] == [
        (0, number) for number in range(0 if is_on else 4, 6)]


def test_max_inflight_messages(world, backend_of):
    remote = backend_of(lambda connection, raw: b"" if raw[0] >> 4 == mqtt.PUBLISH else None)
    world.remote_at = remote.port
    world.start(QUIET + "topic q/# out 1", "max_inflight_messages 3\n")
    world.feed("q/a", range(8))
    remote.connections[0].wait_packet(mqtt.PUBLISH, 3)
    world.wait_metric("queued", 8, direction="out")
    time.sleep(0.3)
    assert len(came(remote)) == 3
    world.wait_metric("in_flight", 3, direction="out")


def test_local_username_and_password(world, broker_of, subscriber_of, tmp_path):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "secret"], check=True, capture_output=True)
    strict = broker_of("allow_anonymous false\npassword_file %s\n" % passwords)
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 1)
    world.local.port, lines = strict.port, QUIET + "topic q/# out 1\nlocal_username edge\n"
    world.start(lines + "local_password wrong", is_up=False)
    world.wait_end_of("local", "refused")
    world.gate.reload(world.config(lines + "local_password secret"))
    world.wait_local()
    publish(strict.port, "-t", "q/a", "-m", "x", "-q", 1, "-u", "edge", "-P", "secret")
    there.wait(1)


def test_client_ids_and_remote_credentials(world, backend_of):
    remote, local = backend_of(), backend_of()
    world.remote_at, world.local.port = remote.port, local.port
    world.start(QUIET + "topic q/# out 1\nremote_clientid far\nremote_username u\nremote_password p\nkeepalive_interval 17")
    connect = remote.connections[0].of_kind(mqtt.CONNECT)[0]
    assert (connect.client_id, connect.username, connect.password, connect.keep_alive) == ("far", "u", b"p", 17)
    connect = local.connections[0].of_kind(mqtt.CONNECT)[0]
    assert (connect.client_id, connect.username) == ("local.far", None)
