"""Messages that the remote broker cannot bear: each is found, put aside with its reason, and all others pass."""
import sqlite3

import pytest

from peers import packets as mqtt
from peers.bridge import came, wait_until
from peers.gate import run

OUT = "topic q/# out 1\nnotifications false\n"


def dead(world):
    rows = sqlite3.connect("file:%s/queue/cloud.db?mode=ro" % world.folder, uri=True).execute(
        "select payload, reason from dead order by number").fetchall()
    return [(bytes(payload), reason) for payload, reason in rows]


def close_over(payload):
    def script(connection, raw):
        packet = mqtt.Packet(raw, connection.version)
        if packet.kind == mqtt.PUBLISH and packet.payload == payload:
            connection.close()
            return b""
        return None
    return script


@pytest.mark.parametrize("version", ["mqttv311", "mqttv50"])
def test_a_message_that_closes_the_connection(world, backend_of, version):
    taken, ended = [], set()

    def script(connection, raw):
        packet = mqtt.Packet(raw, connection.version)
        if packet.kind == mqtt.PUBLISH and packet.payload == b"7":
            ended.add(connection)
            connection.close()
        elif packet.kind == mqtt.PUBLISH and connection not in ended:
            taken.append(int(packet.payload))
            return None
        return b"" if connection in ended else None

    remote = backend_of(script)
    world.remote_at = remote.port
    world.start(OUT + "bridge_protocol_version " + version, "dead_letter_after 2\n")
    world.feed("q/a", range(20))
    world.wait_metric("poisonous", 1, direction="out", timeout=40)
    wait_until(lambda: set(taken) >= set(range(20)) - {7}, lambda: str(taken))
    first = list(dict.fromkeys(taken))
    assert first == [number for number in range(20) if number != 7], "the order is broken: %s" % taken
    world.wait_metric("queued", 0, direction="out")
    world.wait_metric("dead_letters", 1)
    assert [payload for payload, _ in dead(world)] == [b"7"]
    seen = run("queue", "inspect", "--dir", world.folder / "queue", "cloud")
    assert seen.returncode == 0 and "ended the connection over it" in seen.stdout
    connects = world.metric("remote_connects")
    world.feed("q/a", range(20, 25))
    wait_until(lambda: set(taken) >= set(range(20, 25)), lambda: str(taken))
    assert world.metric("remote_connects") == connects


def test_dead_letter_after_0_gives_up_on_nothing(world, backend_of):
    remote = backend_of(close_over(b"7"))
    world.remote_at = remote.port
    world.start(OUT, "dead_letter_after 0\n")
    world.feed("q/a", range(10))
    world.wait_end_of("remote", "closed", 4)
    assert world.metric("poisonous", direction="out") == 0 and world.metric("dead_letters") == 0
    remote.script = None
    world.wait_metric("queued", 0, direction="out")
    assert {packet.payload for packet in came(remote)} == {b"%d" % number for number in range(10)}


def test_a_broken_link_makes_no_dead_letters(world, subscriber_of):
    """It is cut again and again while messages pass, which is nobody's fault."""
    proxy = world.break_links()
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT, "dead_letter_after 1\n")
    for turn in range(3):
        proxy.silent = {"down"} # nothing is acknowledged on this connection any more
        world.feed("q/a", range(turn * 50, turn * 50 + 50))
        world.wait_metric("in_flight", 20, direction="out")
        proxy.cut()
        proxy.silent = set()
        world.gate.wait_log("connected to the remote broker", turn + 2)
        world.wait_metric("queued", 0, direction="out")
    assert world.metric("dead_letters") == 0
    wait_until(lambda: {int(message[3]) for message in there.messages} == set(range(150)), "some are missing")


@pytest.mark.parametrize("code", [0x87, 0x97])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_is_refused(world, backend_of, code, qos):
    def script(connection, raw):
        packet = mqtt.Packet(raw, connection.version)
        if packet.kind == mqtt.PUBLISH and packet.payload == b"3":
            return mqtt.ack(mqtt.PUBACK if packet.qos == 1 else mqtt.PUBREC, 5, packet.packet_id, code)
        return None

    remote = backend_of(script)
    world.remote_at = remote.port
    world.start("topic q/# out 2\nnotifications false\nbridge_protocol_version mqttv50")
    world.feed("q/a", range(6), qos=qos)
    world.wait_metric("refused", 1, direction="out")
    world.wait_metric("queued", 0, direction="out")
    world.wait_metric("dead_letters", 1)
    assert [packet.payload for packet in came(remote)] == [b"%d" % number for number in range(6)]
    [(payload, reason)] = dead(world)
    assert payload == b"3" and {0x87: "not authorized", 0x97: "quota"}[code] in reason.lower()
    assert len(remote.connections) == 1
