"""Packets at the wrong time: each type before the CONNECT, while its answer is awaited, afterwards, and behind
the last word; from the device and from the broker."""
import pytest

from peers import packets as mqtt


def packets_of_device(version):
    """One good packet of every type that a device sends behind its CONNECT."""
    found = [mqtt.publish(version, "early/0", "qos 0"), mqtt.publish(version, "early/1", "qos 1", 1, 1),
             mqtt.publish(version, "early/2", "qos 2", 2, 2), mqtt.ack(mqtt.PUBREL, version, 2),
             mqtt.subscribe(version, 3, ["early/#"]), mqtt.unsubscribe(version, 4, ["early/#"]),
             mqtt.ack(mqtt.PUBACK, version, 9), mqtt.ack(mqtt.PUBREC, version, 9), mqtt.ack(mqtt.PUBCOMP, version, 9),
             mqtt.pingreq()]
    return found


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of):
    """A gate in front of the recording backend; returns a maker of plain devices."""
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n" % (backend.port, port))

    def make(version):
        return device_of(port, version=version)

    make.gate = gate
    return make


def test_before_connect(start, backend):
    """Ended at the first byte; nobody dials for it."""
    for kind in list(range(2, 16)) + [0]:
        for flags in (0, 2):
            device = start(4)
            device.send(bytes([kind << 4 | flags]))
            assert device.read_to_end() == [], mqtt.NAMES[kind]
    assert backend.count() == 0
    device = start(4)
    device.connect()
    assert device.ping(), "the program is well"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_early_packets_wait_for_the_connack(start, backend, version):
    backend.script = lambda connection, raw: b""
    device = start(version)
    early = b"".join(packets_of_device(version))
    device.send(mqtt.connect(version) + early[:10])
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    device.send(early[10:])
    assert device.is_silent(0.3)
    assert connection.behind_connect() == b"", "a packet overtook the CONNACK"
    connection.send(mqtt.connack(version))
    assert device.expect(mqtt.CONNACK).reason == 0
    connection.wait(lambda: len(connection.behind_connect()) >= len(early), what="the early packets")
    assert connection.behind_connect() == early


@pytest.mark.parametrize("version", [4, 5])
def test_early_packets_of_a_refused_device(start, backend, version):
    backend.script = lambda connection, raw: mqtt.connack(version, 0x87 if version == 5 else 5)
    device = start(version)
    device.send(mqtt.connect(version) + b"".join(packets_of_device(version)))
    answers = device.read_to_end()
    assert [answer.raw for answer in answers] == [mqtt.connack(version, 0x87 if version == 5 else 5)]
    connection = backend.wait_connection()
    connection.wait_closed()
    assert connection.behind_connect() == b""


def test_a_flood_before_the_connack_is_bounded(start, backend):
    """It is not read before its time, and nothing of it is lost."""
    backend.script = lambda connection, raw: b""
    device = start(4)
    device.send(mqtt.connect(4))
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    before = start.gate.memory_kib()
    packet = mqtt.publish(4, "flood", b"x" * 1000)
    device.sock.settimeout(0.5)
    sent = 0
    flood = packet * 64
    try:
        while sent < 64 << 20:
            sent += device.sock.send(flood[sent % len(packet):])
    except TimeoutError:
        pass
    assert sent < 64 << 20, "all of it was taken"
    assert start.gate.memory_kib() - before < 8 * 1024
    connection.send(mqtt.connack(4))
    assert device.expect(mqtt.CONNACK).reason == 0
    device.send(packet[sent % len(packet):] + mqtt.pingreq())
    connection.wait(lambda: connection.received.endswith(mqtt.pingreq()), what="the PINGREQ behind the flood")
    whole = connection.behind_connect()
    assert whole == packet * (len(whole) // len(packet)) + mqtt.pingreq() and len(whole) >= sent


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("when", ["waiting", "open"])
def test_second_connect(start, backend, version, when):
    backend.script = (lambda connection, raw: b"") if when == "waiting" else None
    device = start(version)
    device.send(mqtt.connect(version))
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    if when == "open":
        device.expect(mqtt.CONNACK)
    device.send(mqtt.connect(version, "other"))
    if when == "waiting":
        device.is_silent(0.2)
        connection.send(mqtt.connack(version))
    answers = device.read_to_end()
    connection.wait_closed()
    assert connection.behind_connect() == b""
    if version == 5:
        assert answers[-1].reason == 0x82
    elif when == "open":
        assert answers == []


@pytest.mark.parametrize("version", [3, 4, 5])
def test_behind_disconnect(start, backend, version):
    device = start(version)
    device.connect(client_id="leaving")
    connection = backend.wait_connection()
    device.send(mqtt.disconnect(version) + mqtt.publish(version, "too/late", "x") + mqtt.pingreq())
    assert device.read_to_end() == []
    connection.wait_closed()
    assert connection.behind_connect() == mqtt.disconnect(version)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_disconnect_before_the_connack(start, backend, version):
    """A device that changes its mind: nothing is published, nobody hangs."""
    backend.script = lambda connection, raw: b""
    device = start(version)
    device.send(mqtt.connect(version) + mqtt.disconnect(version))
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    connection.send(mqtt.connack(version))
    answers = device.read_to_end()
    assert [answer.kind for answer in answers] in ([], [mqtt.CONNACK])
    connection.wait_closed()
    assert connection.behind_connect() in (b"", mqtt.disconnect(version))


def test_auth_without_method(start, backend):
    device = start(5)
    device.connect()
    connection = backend.wait_connection()
    device.send(mqtt.auth(0x19, [(mqtt.AUTH_METHOD, "SCRAM")]))
    assert [(answer.kind, answer.reason) for answer in device.read_to_end()] == [(mqtt.DISCONNECT, 0x82)]
    connection.wait_closed()
    assert connection.behind_connect() == b""


def test_auth_exchange(start, backend):
    """Extended authentication between device and broker: challenge before the CONNACK, and again later."""
    method = [(mqtt.AUTH_METHOD, "SCRAM")]
    challenge = mqtt.auth(0x18, method + [(mqtt.AUTH_DATA, b"challenge")])
    response = mqtt.auth(0x18, method + [(mqtt.AUTH_DATA, b"response")])

    def script(connection, raw):
        if raw[0] >> 4 == mqtt.CONNECT:
            return challenge
        return mqtt.connack(5, props=method) if raw == response else b""

    backend.script = script
    device = start(5)
    device.send(mqtt.connect(5, props=method))
    assert device.expect(mqtt.AUTH).raw == challenge
    device.send(response)
    assert device.expect(mqtt.CONNACK).reason == 0
    again = mqtt.auth(0x19, method)
    device.send(again)
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.AUTH, 2)
    assert connection.behind_connect() == response + again
    connection.send(mqtt.auth(0, method))
    assert device.expect(mqtt.AUTH).reason == 0
    device.send(mqtt.auth(0x19, [(mqtt.AUTH_METHOD, "OTHER")]))
    assert [(answer.kind, answer.reason) for answer in device.read_to_end()] == [(mqtt.DISCONNECT, 0x82)]
    connection.wait_closed()
    assert connection.behind_connect() == response + again


def test_auth_unasked_before_connack(start, backend):
    """Only the answer to a challenge may overtake the CONNACK."""
    backend.script = lambda connection, raw: b""
    method = [(mqtt.AUTH_METHOD, "SCRAM")]
    device = start(5)
    device.send(mqtt.connect(5, props=method) + mqtt.auth(0x18, method))
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    try:
        device.is_silent(0.3)
    finally:
        assert connection.behind_connect() == b""


def test_session_expiry_in_disconnect(start, backend):
    """MQTT 5.0 3.14.2.2.2: a session that was to end with the connection cannot be prolonged."""
    device = start(5)
    device.connect()
    connection = backend.wait_connection()
    device.send(mqtt.disconnect(5, 0, [(mqtt.SESSION_EXPIRY, 100)]))
    assert [(answer.kind, answer.reason) for answer in device.read_to_end()] == [(mqtt.DISCONNECT, 0x82)]
    connection.wait_closed()
    assert connection.behind_connect() == b""


def test_suback_that_fits_no_subscribe(start, backend):
    """A SUBACK whose count of codes is wrong, for a SUBSCRIBE, must not crash; a good one passes."""
    backend.script = lambda connection, raw: (mqtt.suback(4, 7, [0, 1]) if raw[0] >> 4 == mqtt.SUBSCRIBE else None)
    device = start(4)
    device.connect()
    assert device.subscribe("a", "b", packet_id=7) == [0, 1]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("kind", ["publish", "suback", "pingresp", "puback", "pubrel", "unsuback"])
def test_broker_before_connack(start, backend, version, kind):
    packet = {"publish": mqtt.publish(version, "x", "y"), "suback": mqtt.suback(version, 1, [0]),
              "pingresp": mqtt.pingresp(), "puback": mqtt.ack(mqtt.PUBACK, version, 1),
              "pubrel": mqtt.ack(mqtt.PUBREL, version, 1), "unsuback": mqtt.unsuback(version, 1)}[kind]
    backend.script = lambda connection, raw: packet + mqtt.connack(version)
    device = start(version)
    device.send(mqtt.connect(version))
    answers = device.read_to_end()
    assert [(answer.kind, answer.reason) for answer in answers] == [(mqtt.CONNACK, 0x80 if version == 5 else 3)]
    backend.wait_connection().wait_closed()


@pytest.mark.parametrize("version", [3, 4, 5])
def test_second_connack(start, backend, version):
    backend.script = lambda connection, raw: mqtt.connack(version) * 2
    device = start(version)
    device.send(mqtt.connect(version))
    answers = device.read_to_end()
    assert [answer.kind for answer in answers] == [mqtt.CONNACK] + ([mqtt.DISCONNECT] if version == 5 else [])
    backend.wait_connection().wait_closed()


@pytest.mark.parametrize("version", [4, 5])
def test_broker_talks_behind_a_refusing_connack(start, backend, version):
    refusal = mqtt.connack(version, 0x87 if version == 5 else 5)
    backend.script = lambda connection, raw: refusal + mqtt.publish(version, "x", "secret")
    device = start(version)
    device.send(mqtt.connect(version))
    assert [answer.raw for answer in device.read_to_end()] == [refusal]


def test_broker_auth_without_method(start, backend):
    backend.script = lambda connection, raw: mqtt.auth(0x18, [(mqtt.AUTH_METHOD, "SCRAM")])
    device = start(5)
    device.send(mqtt.connect(5))
    answers = device.read_to_end()
    assert [(answer.kind, answer.reason) for answer in answers] == [(mqtt.CONNACK, 0x80)]


def test_every_byte_alone(start, backend):
    """A session in single bytes, both ways."""
    device = start(5)
    for byte in mqtt.connect(5, "slow", username="u", password="p"):
        device.send(bytes([byte]))
    assert device.expect(mqtt.CONNACK).reason == 0
    connection = backend.wait_connection()
    for byte in mqtt.publish(5, "a/b", "payload", 1, 5, props=[(mqtt.USER_PROPERTY, ("k", "v"))]):
        device.send(bytes([byte]))
    assert device.expect(mqtt.PUBACK).packet_id == 5
    for byte in mqtt.publish(5, "c/d", "down", 1, 6, props=[(mqtt.SUBSCRIPTION_ID, 300)]):
        connection.send(bytes([byte]))
    got = device.expect(mqtt.PUBLISH)
    assert (got.topic, got.payload, got.packet_id, got.prop(mqtt.SUBSCRIPTION_ID)) == ("c/d", b"down", 6, 300)
