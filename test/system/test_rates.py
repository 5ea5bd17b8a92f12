"""How fast devices may send: per device, username and listener, in messages, bytes and packets, and what happens
to what comes faster. Most rates are one per hour, so that nothing depends on the speed of the machine: what passes
is the burst, and what waits waits until a reload."""
import re
import time

import pytest

from peers import packets as mqtt
from peers.counters import counters, wait_counter
from peers.ports import free_port

VERSIONS = [3, 4, 5]
WAIT_S = 15


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def gate(gate_of, backend, port):
    """gate(lines of the listener): a started Gate; .reload_lines changes them."""

    def make(lines, front="", backend_port=None):
        metrics = free_port()

        def text(its_lines):
            return "backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\n%slistener %d\nallow_anonymous true\n%s\n" % (
                backend_port or backend.port, metrics, front, port, its_lines)

        made = gate_of(text(lines))
        made.metrics, made.port = metrics, port
        made.reload_lines = lambda its_lines: made.reload(text(its_lines))
        made.wait_counter = lambda name, wanted: wait_counter(metrics, name + "_total", wanted)
        return made

    return make


def payloads(connection):
    return [one.payload for one in connection.of_kind(mqtt.PUBLISH)]


def assert_passed(connection, wanted):
    """The broker has got these messages; what was counted before has stopped all others, but these may still be
    on their way."""
    connection.wait(lambda: len(payloads(connection)) >= len(wanted), what="%d messages" % len(wanted))
    assert payloads(connection) == wanted


def numbered(version, count, qos=0, first=1):
    return b"".join(mqtt.publish(version, "t", "%d" % number, qos, number) for number in range(first, first + count))


def names(*numbers):
    return [b"%d" % number for number in numbers]


def up_to(count):
    return names(*range(1, count + 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_known_topics_cost_as_much(gate, backend, device_of, version):
    """A flood of topics that take turns, which are not asked about any more, is counted from the reload on that brings a rate."""
    gate = gate("", front="workers 1\n")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    turn = mqtt.publish(version, "a", b"x") + mqtt.publish(version, "b", b"x")
    device.send(turn * 50)
    device.ping()
    assert len(payloads(connection)) == 100
    gate.reload_lines("publish_rate 1/h burst 7\nrate_action drop")
    device.send(turn * 50)
    device.ping()
    assert len(payloads(connection)) == 107


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_delay(gate, backend, device_of, version, qos):
    """The burst passes, the next one waits, and a reload with a higher rate lets it go; nothing is lost."""
    gate = gate("publish_rate 1/h burst 5")
    device = device_of(gate.port, version=version)
    device.connect(keep_alive=0)
    connection = backend.wait_connection()
    device.send(numbered(version, 8, qos) + mqtt.pingreq())
    gate.wait_counter("rate_delayed", 1)
    assert_passed(connection, up_to(5))
    assert connection.of_kind(mqtt.PINGREQ) == [], "it stands behind a message that waits"
    gate.reload_lines("publish_rate 100/s burst 200")
    connection.wait_packet(mqtt.PUBLISH, 8)
    connection.wait_packet(mqtt.PINGREQ)
    assert_passed(connection, up_to(8))
    assert "publish_rate changes from 1/h burst 5 to 100/s burst 200." in gate.log()


@pytest.mark.parametrize("version", VERSIONS)
def test_spent_stays_spent(gate, backend, device_of, version):
    """A reload gives no new burst: only what the new one is larger by."""
    gate = gate("publish_rate 1/h burst 5")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    device.send(numbered(version, 10))
    gate.wait_counter("rate_delayed", 1)
    for lines, passed, delayed in (("publish_rate 1/h burst 5\nmax_qos 1", 5, 1), ("publish_rate 1/h burst 7", 7, 2),
                                   ("publish_rate 2/h burst 3", 7, 2), ("publish_rate 1/h burst 8", 8, 3)):
        gate.reload_lines(lines)
        connection.wait_packet(mqtt.PUBLISH, passed)
        gate.wait_counter("rate_delayed", delayed)
        assert_passed(connection, up_to(passed))
    gate.reload_lines("")
    connection.wait_packet(mqtt.PUBLISH, 10)
    assert_passed(connection, up_to(10))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scope", ["", "user_", "listener_"])
@pytest.mark.parametrize("what", ["publish_rate", "publish_bytes_rate", "packet_rate"])
def test_scopes(gate, backend, device_of, version, scope, what):
    """Twelve devices of two users on two workers: each, each user or all together may send ten messages."""
    size = len(mqtt.publish(version, "t", "1"))
    gate = gate("%s%s 1/h burst %d" % (scope, what, 10 * size if what == "publish_bytes_rate" else 10))
    devices = []
    for number in range(12):
        device = device_of(gate.port, version=version)
        device.connect("dev%d" % number, username="ann" if number % 2 else "bob")
        devices.append((number % 2, device, backend.wait_connection(number)))
    for _, device, _ in devices:
        device.send(mqtt.publish(version, "t", "1") * 12)
    gate.wait_counter("rate_delayed", 12)

    def passed(wanted_user=None):
        return sum(len(connection.of_kind(mqtt.PUBLISH)) for user, _, connection in devices if wanted_user in (None, user))

    total = {"": 120, "user_": 20, "listener_": 10}[scope]
    end = time.monotonic() + WAIT_S
    while passed() < total and time.monotonic() < end:
        time.sleep(0.02)
    assert passed() == total
    if scope == "":
        assert all(len(connection.of_kind(mqtt.PUBLISH)) == 10 for _, _, connection in devices)
    elif scope == "user_":
        assert passed(0) == passed(1) == 10
    gate.reload_lines("%s%s 1m/s" % (scope, what))
    for _, _, connection in devices:
        connection.wait_packet(mqtt.PUBLISH, 12)


@pytest.mark.parametrize("version", VERSIONS)
def test_new_connection_brings_no_burst(gate, backend, device_of, version):
    """A user's tokens are his own, whatever connection he uses; devices without a username are one user."""
    gate = gate("user_publish_rate 1/h burst 5")
    for username in ("ann", None):
        before = counters(gate.metrics)["rate_delayed_total"]
        for number in range(4):
            device = device_of(gate.port, version=version)
            device.connect("dev%d" % number, username=username)
            connection = backend.wait_connection(-1)
            device.send(mqtt.publish(version, "t", "1") * 2)
            if number < 2:
                connection.wait_packet(mqtt.PUBLISH, 2)
                device.send(mqtt.disconnect(version))
                device.read_to_end()
            else:
                gate.wait_counter("rate_delayed", before + number - 1)
                assert_passed(connection, names(1) if number == 2 else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_drop(gate, backend, device_of, version):
    """QoS 0 is dropped, what follows goes on; QoS 1 and 2 wait."""
    gate = gate("publish_rate 1/h burst 2\nrate_action drop")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    device.send(numbered(version, 5))
    assert device.ping()
    assert_passed(connection, up_to(2))
    gate.wait_counter("rate_dropped", 3)
    device.send(mqtt.publish(version, "t", "6", 1, 6) + mqtt.publish(version, "t", "7", 2, 7) + mqtt.publish(version, "t", "8"))
    gate.wait_counter("rate_delayed", 1)
    assert_passed(connection, up_to(2))
    gate.reload_lines("publish_rate 1/h burst 3\nrate_action drop")
    gate.wait_counter("rate_delayed", 2)
    assert_passed(connection, names(1, 2, 6))
    assert device.expect(mqtt.PUBACK).packet_id == 6
    gate.reload_lines("publish_rate 1/h burst 4\nrate_action drop")
    assert device.expect(mqtt.PUBREC).packet_id == 7
    gate.wait_counter("rate_dropped", 4)
    assert_passed(connection, names(1, 2, 6, 7))
    assert counters(gate.metrics)["rate_refused_total"] == counters(gate.metrics)["publish_refused_total"] == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", ["publish_rate 1/h burst 2", "publish_bytes_rate 1/h burst 2", "packet_rate 1/h burst 3"])
def test_refuse(gate, backend, device_of, version, what):
    """QoS 1 and 2 are answered 0x97, before version 5 as if they were taken; QoS 0 is dropped; the session goes on."""
    gate = gate(what + "\nrate_action refuse")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    if "bytes" in what:
        passed = [b"x" * 100]  # one byte of the burst is left, so it passes, and there is a debt
        device.send(mqtt.publish(version, "t", b"x" * 100))
    elif "packet" in what:
        passed = names(1, 2)
        device.send(numbered(version, 2) + mqtt.pingreq())
        device.expect(mqtt.PINGRESP)
    else:
        passed = names(1, 2)
        device.send(numbered(version, 2))
    refusal = 0x97 if version == 5 else 0
    assert device.publish("t", "3", 1, 3) == refusal
    # A PUBREL is a packet that packet_rate delays.
    assert device.publish("t", "4", 1 if "packet" in what else 2, 4) == refusal
    device.publish("t", "5")
    assert device.publish("t", "6", 1, 6) == refusal
    gate.wait_counter("rate_refused", 3)
    gate.wait_counter("rate_dropped", 1)
    assert_passed(connection, passed)
    gate.reload_lines("")
    assert device.publish("t", "7", 1, 3) == 0 and device.publish("t", "8", 2, 4) == 0
    assert_passed(connection, passed + names(7, 8))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what,packet", [("publish_rate", "publish"), ("user_publish_bytes_rate", "publish"),
                                         ("listener_packet_rate", "ping")])
def test_disconnect(gate, backend, device_of, version, what, packet):
    """Version 5 is told 0x96; the broker sees no DISCONNECT, so that the will is sent."""
    gate = gate("%s 1/h burst 2\nrate_action disconnect" % what)
    device = device_of(gate.port, version=version)
    device.connect(will={"topic": "gone", "payload": "x"})
    connection = backend.wait_connection()
    raw = mqtt.pingreq() if packet == "ping" else mqtt.publish(version, "t", "")
    count = 1 if "bytes" in what else 2
    device.send(raw * (count + 5))
    answers = [one for one in device.read_to_end() if one.kind != mqtt.PINGRESP]
    assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x96)] if version == 5 else [])
    connection.wait_closed()
    assert connection.behind_connect() == raw * count
    gate.wait_counter("rate_disconnected", 1)
    assert counters(gate.metrics)['sessions_ended_total{reason="rate_exceeded"}'] == 1
    gate.wait_log(r"sends faster than %s allows \(.*drawbridge\.conf:5\) and is disconnected" % what)
    gate.wait_log("is gone: it sent faster than its rate allows")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind,action", [("PINGREQ", "delay"), ("SUBSCRIBE", "drop"), ("UNSUBSCRIBE", "refuse"),
                                         ("PUBREL", "delay"), ("PINGREQ", "refuse")])
def test_floods_of_other_packets(gate, backend, device_of, version, kind, action):
    """packet_rate: they are delayed whatever the action; publish_rate does not concern them."""
    gate = gate("packet_rate 1/h burst 6\npublish_rate 1/h burst 1\nrate_action %s" % action)
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    raw = {"PINGREQ": mqtt.pingreq(), "SUBSCRIBE": mqtt.subscribe(version, 1, ["a"]),
           "UNSUBSCRIBE": mqtt.unsubscribe(version, 1, ["a"]), "PUBREL": mqtt.ack(mqtt.PUBREL, version, 9)}[kind]
    device.send(raw * 20)
    gate.wait_counter("rate_delayed", 1)
    connection.wait(lambda: len(connection.behind_connect()) >= 6 * len(raw))
    assert connection.behind_connect() == raw * 6
    gate.reload_lines("")
    connection.wait(lambda: connection.behind_connect() == raw * 20)


@pytest.mark.parametrize("version", VERSIONS)
def test_big_message(gate, backend, device_of, version):
    """Bigger than the burst by far: it passes, and the next one waits for what it owes."""
    gate = gate("publish_bytes_rate 1k/h burst 1k", "max_packet_size 0\n")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    big = mqtt.publish(version, "t", b"x" * (8 << 20), 1, 1)
    device.send(big)
    assert device.expect(mqtt.PUBACK).packet_id == 1
    device.send(mqtt.publish(version, "t", "2", 1, 2))
    gate.wait_counter("rate_delayed", 1)
    assert connection.behind_connect() == big, "the PUBACK came behind its last byte"
    gate.reload_lines("publish_bytes_rate 1g/s")
    assert device.expect(mqtt.PUBACK).packet_id == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_alive(gate, broker, device_of, version):
    """A device that is not read keeps its keep-alive of a second, here and at the broker: devices of the same
    keep-alive that are silent of their own are thrown out meanwhile, by both."""
    gate = gate("publish_rate 1/h burst 1", backend_port=broker.port)
    device = device_of(gate.port, version=version)
    device.connect("delayed", keep_alive=1)
    device.send(numbered(version, 3, 1) + mqtt.pingreq())
    assert device.expect(mqtt.PUBACK).packet_id == 1
    gate.wait_counter("rate_delayed", 1)
    for round_ in range(2):
        for port in (gate.port, broker.port):
            silent = device_of(port, version=version)
            silent.connect("silent%d" % round_, keep_alive=1)
            silent.read_to_end(60)
    gate.reload_lines("")
    assert [device.expect(mqtt.PUBACK).packet_id for _ in range(2)] == [2, 3]
    assert device.expect(mqtt.PINGRESP), "one, although the broker has answered more"
    device.send(mqtt.disconnect(version))
    assert device.read_to_end() == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_device_that_has_gone(gate, backend, certs, tls, device_of, version, kind):
    """What it said before it closed goes on in its time, its DISCONNECT too: no will."""
    gate = gate("publish_rate 1/h burst 1\n" + (certs.tls if kind == "tls" else ""))
    device = device_of(gate.port, tls if kind == "tls" else None, version=version)
    device.connect(will={"topic": "gone", "payload": "x"})
    connection = backend.wait_connection()
    device.send(numbered(version, 4) + mqtt.disconnect(version))
    if kind == "tls":
        device.sock.settimeout(0.1)
        try:
            device.sock.unwrap()
        except OSError:
            pass
    device.close()
    gate.wait_counter("rate_delayed", 1)
    assert_passed(connection, up_to(1))
    gate.reload_lines("publish_rate 1/h burst 10" + ("\n" + certs.tls if kind == "tls" else ""))
    connection.wait_packet(mqtt.DISCONNECT)
    assert_passed(connection, up_to(4))
    wait_counter(gate.metrics, 'sessions_ended_total{reason="device_disconnect"}', 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_deliveries_go_on(gate, backend, device_of, version):
    gate = gate("packet_rate 1/h burst 1")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    device.send(mqtt.pingreq() * 2)
    device.expect(mqtt.PINGRESP)
    gate.wait_counter("rate_delayed", 1)
    for number in range(50):
        connection.send(mqtt.publish(version, "t", "%d" % number, 1, number + 1))
    assert [device.expect(mqtt.PUBLISH).payload for _ in range(50)] == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("version", VERSIONS)
def test_rate_is_kept(gate, backend, device_of, version):
    """A flood over a rate with a small burst: all arrives, in order, and not sooner than the rate allows."""
    gate = gate("publish_rate 100/s burst 1")
    device = device_of(gate.port, version=version)
    device.connect()
    connection = backend.wait_connection()
    began = time.monotonic()
    device.send(numbered(version, 200))
    connection.wait_packet(mqtt.PUBLISH, 200, 60)
    assert time.monotonic() - began > 1.98
    assert_passed(connection, up_to(200))


def test_users_share_fairly(gate, backend, device_of):
    """Two that flood: neither waits until the other has nothing more to say."""
    gate = gate("user_publish_rate 200/s burst 10")
    devices = [device_of(gate.port) for _ in range(2)]
    for number, device in enumerate(devices):
        device.connect("dev%d" % number, username="ann")
    for device in devices:
        device.send(numbered(4, 300))
    connections = [backend.wait_connection(number) for number in range(2)]
    for connection in connections:
        connection.wait_packet(mqtt.PUBLISH, 300, 60)
        assert_passed(connection, up_to(300))


def test_delayed_devices_cost_nothing(gate, device_of, backend):
    """As little as devices that say nothing, although their sockets are full of bytes."""
    gate = gate("publish_rate 1/h burst 1")
    devices = [device_of(gate.port) for _ in range(20)]

    def cost():
        before = gate.cpu_s()
        time.sleep(2)
        return gate.cpu_s() - before

    for number, device in enumerate(devices):
        device.connect("dev%d" % number)
    idle = cost()
    for device in devices:
        device.sock.setblocking(False)
        try:
            while True:
                device.sock.send(mqtt.publish(4, "t", b"x" * 1000) * 60)
        except BlockingIOError:
            pass
    gate.wait_counter("rate_delayed", 20)
    assert cost() <= idle + 0.2


def test_one_line_per_episode(gate, backend, device_of):
    """The log names client, user, option and line once, however much comes too fast; and the number at the end."""
    gate = gate("user_publish_rate 1/h burst 1\nrate_action refuse")
    device = device_of(gate.port, version=5)
    device.connect("dev", username="ann")
    for number in range(1, 100):
        device.publish("t", "x", 1, number)
    device.send(mqtt.disconnect(5))
    device.read_to_end()
    gate.wait_log("Client dev \\[.*\\] had 98 packets that came faster than its rates")
    lines = [line for line in gate.log().splitlines() if "sends faster" in line]
    assert len(lines) == 1
    assert re.search(r"Client dev, u'ann' \[127\.0\.0\.1:\d+\] sends faster than user_publish_rate allows "
                     r"\(.*drawbridge\.conf:5\) and is refused\.", lines[0])


@pytest.mark.parametrize("version", [4, 5])
def test_listeners_have_their_own(gate_of, backend, device_of, version):
    """Set before any listener it is the default; a listener's own line wins, and 0 lifts it."""
    ports, metrics = [free_port() for _ in range(3)], free_port()
    gate = gate_of("backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nallow_anonymous true\nlistener_publish_rate 1/h burst 2\n"
                   "listener %d\nlistener %d\nlistener_publish_rate 1/h burst 4\nlistener %d\nlistener_publish_rate 0\n" %
                   (backend.port, metrics, *ports))
    connections = []
    for number, port in enumerate(ports):
        device = device_of(port, version=version)
        device.connect("dev%d" % number)
        connections.append(backend.wait_connection(number))
        device.send(numbered(version, 6))
    connections[2].wait_packet(mqtt.PUBLISH, 6)
    wait_counter(metrics, "rate_delayed_total", 2)
    for connection, count in zip(connections, (2, 4, 6)):
        assert_passed(connection, up_to(count))
    assert gate.is_alive()


@pytest.mark.parametrize("line,words", [("publish_rate fast", "is no rate"), ("packet_rate 1/s burst 0", "is no rate"),
                                        ("user_publish_bytes_rate", "has no value"), ("rate_action close", "may only be one of")])
def test_bad_values_change_nothing(gate, backend, device_of, line, words):
    gate = gate("publish_rate 1/h burst 2")
    device = device_of(gate.port)
    device.connect()
    log = gate.reload_lines("publish_rate 0\n" + line if "publish_rate f" not in line else line)
    assert "refused" in log and re.search(r"drawbridge\.conf:[56]: .*" + words, log)
    device.send(numbered(4, 3))
    gate.wait_counter("rate_delayed", 1)
    assert_passed(backend.wait_connection(), up_to(2))
