"""A bridge whose brokers do not do what brokers do: each fault has a name in the metrics, and an end."""
import socket

import pytest

from peers import packets as mqtt
from peers.bridge import came, numbers, wait_until
from peers.broker import publish
from peers.ports import free_port

OUT = "topic q/# out 2\nnotifications false\n"


def test_a_remote_that_never_answers_the_connect(world, broker_of, subscriber_of):
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    world.remote_at = port
    world.start("topic q/# out 2\nbridge_connect_timeout 400ms", is_up=False)
    world.wait_local()
    world.feed("q/a", range(5))
    world.wait_end_of("remote", "connect_timeout", 2)
    assert world.metric("remote_up") == 0 and world.metric("state") in (1, 2)
    world.gate.wait_log(r"remote broker at 127.0.0.1:%d is not there: it did not answer the CONNECT within 400 ms" % port)
    silent.close()
    real = broker_of(port=port)
    there = subscriber_of(real.port, "-t", "q/#", "-q", 2)
    assert numbers(there.wait(5)) == list(range(5))
    assert world.metric("remote_up") == 1 and world.metric("state") == 4


def break_connect(connection, raw):
    return b"HTTP/1.1 400 Bad Request\r\n\r\n" if raw[0] >> 4 == mqtt.CONNECT else None


def break_publish(connection, raw):
    return b"\x40\xff\xff\xff\xff\xff" if raw[0] >> 4 == mqtt.PUBLISH else None


def close_at_connect(connection, raw):
    if raw[0] >> 4 == mqtt.CONNECT:
        connection.close()
        return b""
    return None


def no_suback(connection, raw):
    return b"" if raw[0] >> 4 == mqtt.SUBSCRIBE else None


@pytest.mark.parametrize("script, cause", [(break_connect, "protocol_error"), (break_publish, "protocol_error"),
                                           (close_at_connect, "closed"), (no_suback, "subscribe_timeout")])
def test_a_remote_that_misbehaves(world, backend_of, script, cause):
    remote = backend_of(script)
    world.remote_at = remote.port
    world.start(OUT + "topic c/# in 1\nbridge_connect_timeout 500ms", "dead_letter_after 0\n", is_up=False)
    world.wait_local()
    world.feed("q/a", range(3))
    world.wait_end_of("remote", cause, 2)
    assert world.metric("queued", direction="out") == 3
    before = len(remote.connections)
    remote.script = None
    world.wait_metric("queued", 0, direction="out")
    last = [packet.payload for packet in came(remote, "q/a")[-3:]]
    assert last == [b"0", b"1", b"2"] and len(remote.connections) > before - 1


@pytest.mark.parametrize("ways", [("up",), ("down",), ("up", "down")], ids="-".join)
def test_a_link_that_falls_silent_under_traffic(world, subscriber_of, ways):
    proxy = world.break_links()
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT + "bridge_ack_timeout 2s\nkeepalive_interval 60")
    world.feed("q/two", range(10), qos=2)
    there.wait(10)
    proxy.silent = set(ways)
    world.feed("q/two", range(10, 30), qos=2)
    world.wait_end_of("remote", "ack_timeout")
    proxy.silent = set()
    world.feed("q/two", range(30, 40), qos=2)
    assert numbers(there.wait(40)) == list(range(40))
    world.wait_metric("queued", 0, direction="out")
    assert numbers(there.messages) == list(range(40))


def test_a_link_that_falls_silent_without_traffic(world, subscriber_of):
    proxy = world.break_links()
    here = subscriber_of(world.local.port, "-t", "c/#", "-q", 1)
    world.start("topic c/# in 1\nkeepalive_interval 5")
    proxy.silent = {"up", "down"}
    world.wait_end_of("remote", "keep_alive")
    publish(world.remote.port, "-t", "c/a", "-m", "kept", "-q", 1)
    proxy.silent = set()
    assert here.wait(1)[0][3] == b"kept"


def test_the_local_broker_comes_late_and_goes(world, subscriber_of):
    world.local.stop()
    world.start("topic q/# out 1\ntopic c/# in 1", is_up=False)
    world.gate.wait_log(r"the local broker at \S+ is not there")
    world.gate.wait_log(r"connected to the remote broker")
    publish(world.remote.port, "-t", "c/a", "-m", "early", "-q", 1)
    world.wait_metric("queued", 1, direction="in")
    world.local.start()
    here = subscriber_of(world.local.port, "-t", "c/#", "-q", 1)
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 1)
    world.wait_local()
    world.feed("q/a", range(3))
    there.wait(3)
    world.local.stop(is_killed=True)
    world.gate.wait_log(r"the local broker at \S+ is lost")
    assert world.metric("local_up") == 0
    publish(world.remote.port, "-t", "c/a", "-m", "late", "-q", 1)
    world.local.start()
    here.stop()
    here = subscriber_of(world.local.port, "-t", "c/#", "-q", 1)
    world.wait_local(2)
    world.feed("q/a", range(3, 6))
    assert numbers(there.wait(6)) == list(range(6))
    world.wait_metric("queued", 0, direction="in")
    assert world.metric("acknowledged", direction="in") == 2


def test_a_name_that_nobody_knows(world, subscriber_of):
    """The next address is tried, and nobody waits for the name."""
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 1)
    world.remote_at = "no-such-host.invalid:1883 127.0.0.1:%d" % world.remote.port
    world.start(OUT + "bridge_connect_timeout 2s\nround_robin true")
    assert world.metric("connection_ends", side="remote", cause="unreachable") + world.metric(
        "connection_ends", side="remote", cause="connect_timeout") == 1
    world.feed("q/a", range(3))
    there.wait(3)


def test_an_address_where_nobody_listens(world):
    world.remote_at = free_port()
    world.start(OUT, is_up=False)
    world.wait_end_of("remote", "unreachable", 2)
    wait_until(lambda: world.metric("state") == 1, "it does not wait")
