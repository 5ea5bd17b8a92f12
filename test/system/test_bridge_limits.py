"""What the remote broker says it takes at CONNACK is what it gets."""
import pytest

from peers import packets as mqtt
from peers.bridge import came, wait_until
from peers.broker import publish

V5 = "notifications false\nbridge_protocol_version mqttv50\n"


def start(world, backend, lines, more="", is_up=True):
    world.remote_at = backend.port
    world.start(lines, more, is_up)
    return backend


def test_receive_maximum(world, backend_of):
    remote = backend_of(lambda connection, raw: b"" if raw[0] >> 4 == mqtt.PUBLISH else None)
    remote.connack_props = [(0x21, 2)]
    start(world, remote, V5 + "topic q/# out 2")
    world.feed("q/a", range(6))
    connection = remote.connections[0]
    for answered in range(5):
        connection.wait(lambda due=answered: len(connection.of_kind(mqtt.PUBLISH)) >= min(due + 2, 6))
        assert not connection.is_closed.wait(0.15)
        packets = connection.of_kind(mqtt.PUBLISH)
        assert len(packets) == min(answered + 2, 6)
        connection.send(mqtt.ack(mqtt.PUBACK, 5, packets[answered].packet_id))
    assert [packet.payload for packet in connection.of_kind(mqtt.PUBLISH)] == [b"%d" % number for number in range(6)]


@pytest.mark.parametrize("most", [0, 1])
def test_maximum_qos(world, backend_of, most):
    remote = backend_of()
    remote.connack_props = [(0x24, most)]
    start(world, remote, V5.replace("notifications false", "") + "topic q/# out 2\ntopic c/# in 2")
    for qos in range(3):
        publish(world.local.port, "-t", "q/%d" % qos, "-m", "x", "-q", qos)
    wait_until(lambda: len([one for one in came(remote) if one.topic[0] == "q"]) == 3, "they do not come")
    assert {one.topic: one.qos for one in came(remote) if one.topic[0] == "q"} == {"q/%d" % qos: min(qos, most) for qos in range(3)}
    assert all(one.qos <= most for one in came(remote))
    subscribe = remote.connections[0].wait_packet(mqtt.SUBSCRIBE)
    assert subscribe.filters[0][1] & 3 == most
    world.wait_metric("queued", 0, direction="out")
    assert world.metric("qos_lowered", direction="out") == 2 - most


def test_retain_not_available(world, backend_of):
    remote = backend_of()
    remote.connack_props = [(0x25, 0)]
    start(world, remote, "bridge_protocol_version mqttv50\ntopic q/# out 1")
    publish(world.local.port, "-t", "q/a", "-m", "kept", "-q", 1, "-r")
    publish(world.local.port, "-t", "q/b", "-m", "kept", "-q", 0, "-r")
    wait_until(lambda: len([one for one in came(remote) if one.topic[0] == "q"]) == 2, "they do not come")
    assert all(not one.retain for one in came(remote)), "the state message, too"
    assert world.metric("retain_cleared", direction="out") == 2


def test_maximum_packet_size(world, backend_of):
    remote = backend_of()
    remote.connack_props = [(0x27, 200)]
    start(world, remote, V5 + "topic q/# out 1")
    for payload in ("a", "x" * 300, "b"):
        publish(world.local.port, "-t", "q/a", "-m", payload, "-q", 1)
    publish(world.local.port, "-t", "q/a", "-m", "x" * 300, "-q", 0)
    world.wait_metric("too_large", 2, direction="out")
    wait_until(lambda: len(came(remote)) == 2, "they do not come")
    assert [one.payload for one in came(remote)] == [b"a", b"b"]
    world.wait_metric("dead_letters", 1)
    world.wait_metric("queued", 0, direction="out")
    assert len(remote.connections) == 1


def test_server_keep_alive(world, backend_of):
    """Of 2 s, where 60 s were wanted: pings come."""
    remote = backend_of()
    remote.connack_props = [(0x13, 2)]
    start(world, remote, V5 + "topic q/# out 1\nkeepalive_interval 60")
    remote.connections[0].wait_packet(mqtt.PINGREQ, 2, timeout=6)


@pytest.mark.parametrize("code", [0x9A, 0x9B])
def test_a_will_that_is_too_much(world, backend_of, code):
    """Retain, or QoS 1: without it then."""
    def script(connection, raw):
        if raw[0] >> 4 != mqtt.CONNECT:
            return None
        connect = mqtt.Packet(raw, 4)
        flags = raw[raw.index(b"MQTT") + 5]
        is_wrong = flags & 0x20 if code == 0x9A else flags & 0x18
        assert connect.version == 5
        return mqtt.connack(5, code if is_wrong else 0)

    remote = start(world, backend_of(script), "bridge_protocol_version mqttv50\ntopic q/# out 1")
    assert len(remote.connections) == 2


def test_an_old_broker_gets_an_old_version(world, backend_of):
    """A CONNACK of 3.1.1 with code 1: 3.1.1 from then on."""
    def script(connection, raw):
        if raw[0] >> 4 == mqtt.CONNECT and connection.version == 5:
            connection.send(b"\x20\x02\x00\x01")
            connection.close()
            return b""
        return None

    remote = start(world, backend_of(script), V5 + "topic q/# out 1")
    world.feed("q/a", range(2))
    wait_until(lambda: len(came(remote)) == 2, "they do not come")
    assert [connection.version for connection in remote.connections] == [5, 4]
    remote.connections[-1].close()
    world.gate.wait_log("connected to the remote broker", 2)
    assert remote.connections[-1].version == 4 and len(remote.connections) == 3


def levels(remote):
    """Protocol levels of all CONNECTs, with mosquitto's bit."""
    found = []
    for connection in remote.connections:
        data = bytes(connection.received)
        size = data[2] << 8 | data[3]
        found.append(data[4 + size])
    return found


def test_the_bridge_bit_is_left_out_where_it_is_refused(world, backend_of):
    def script(connection, raw):
        if raw[0] >> 4 == mqtt.CONNECT and raw[4 + raw[3]] & 0x80:
            connection.send(b"\x20\x02\x00\x01")
            connection.close()
            return b""
        return None

    remote = start(world, backend_of(script), "notifications false\ntopic q/# out 1")
    assert levels(remote) == [0x84, 0x04]
    remote.connections[-1].close()
    world.gate.wait_log("connected to the remote broker", 2)
    assert levels(remote) == [0x84, 0x04, 0x04]


@pytest.mark.parametrize("version, level", [("mqttv31", 3), ("mqttv311", 4)])
def test_try_private(world, backend_of, version, level):
    remote = start(world, backend_of(), "notifications false\ntopic q/# out 1\nbridge_protocol_version %s\ntry_private false" % version)
    assert levels(remote) == [level]


def test_session_expiry_of_mqtt_5(world, backend_of):
    """With cleansession false it is forever, not 0 as in mosquitto; a number of the file's own counts."""
    remote = start(world, backend_of(), V5 + "topic q/# out 1")
    connect = remote.connections[0].of_kind(mqtt.CONNECT)[0]
    assert connect.prop(0x11) == 0xFFFFFFFF
    world.gate.stop()
    world.start(V5 + "topic q/# out 1\nbridge_session_expiry_interval 77", "max_inflight_messages 9\n")
    connect = remote.connections[1].of_kind(mqtt.CONNECT)[0]
    assert connect.prop(0x11) == 77 and connect.prop(0x21) == 9
