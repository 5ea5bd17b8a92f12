"""Bytes pass, they are not rebuilt: every good sample arrives on the other side as it was sent."""
import re

import pytest

from peers import packets as mqtt
from peers import samples
from peers.device import Device
from peers.ports import free_port

TO_BROKER = samples.load("good", "to_broker")
TO_DEVICE = samples.load("good", "to_device")
name = "{0.name}".format


@pytest.fixture(scope="module")
def place(shared_gate_of, shared_backend_of):
    backend, port = shared_backend_of(), free_port()
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 65535)]
    gate = shared_gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmax_topic_alias 65535\nmax_packet_size 0\n" %
                          (backend.port, port))
    gate.backend, gate.port = backend, port
    return gate


@pytest.fixture
def device(place):
    place.backend.script = None
    with Device(place.port) as made:
        yield made


def is_kind(sample, *kinds):
    return sample.raw[0] >> 4 in kinds


def connect_for(sample):
    """A CONNECT after which the sample is in place."""
    props = [(mqtt.SESSION_EXPIRY, 100), (mqtt.ALIAS_MAXIMUM, 65535), (mqtt.RECEIVE_MAXIMUM, 65535)]
    packet = mqtt.Packet(sample.raw, sample.version) if is_kind(sample, mqtt.AUTH) else None
    method = packet.prop(mqtt.AUTH_METHOD, "SCRAM") if packet else None
    return mqtt.connect(sample.version, props=props + ([(mqtt.AUTH_METHOD, method)] if method else []))


def alias_before(sample):
    """The PUBLISH that sets the alias of one that has nothing else."""
    if sample.version != 5 or not is_kind(sample, mqtt.PUBLISH):
        return b""
    packet = mqtt.Packet(sample.raw, 5)
    if packet.topic:
        return b""
    return mqtt.publish(5, "set/before", props=[(mqtt.ALIAS, packet.prop(mqtt.ALIAS))])


@pytest.mark.parametrize("sample", [one for one in TO_BROKER if is_kind(one, mqtt.CONNECT)], ids=name)
def test_connect(place, device, sample):
    before = place.backend.count()
    device.send(sample.raw)
    device.version = sample.version
    if "empty-client-id" in sample.name or sample.name == "connect-mosquitto-rr-5":
        answer = device.expect(mqtt.CONNACK)
        if sample.version == 3:
            assert answer.reason == 2 and device.read() is None and place.backend.count() == before
            return
        arrived = place.backend.wait_connection(before).of_kind(mqtt.CONNECT)[0]
        assert arrived.client_id.startswith("auto-") and len(arrived.client_id) == 5 + 36
        if sample.version == 5:
            assert answer.prop(mqtt.ASSIGNED_ID) == arrived.client_id
        return
    packet = mqtt.Packet(sample.raw, sample.version)
    if packet.prop(mqtt.MAXIMUM_PACKET_SIZE, 5) < 5:
        assert device.read() is None, "not even a CONNACK may be sent to it (MQTT 5.0 3.1.2-24)"
    else:
        assert device.expect(mqtt.CONNACK).reason == 0
    assert bytes(place.backend.wait_connection(before).received) == sample.raw


def is_refused(sample):
    """Well-formed, but mosquitto's rules about $SYS and $share hold without any acl_file (see test_policy.py)."""
    packet = mqtt.Packet(sample.raw, sample.version)
    if packet.kind == mqtt.PUBLISH:
        return packet.topic.startswith("$SYS")
    filters = [text for text, _ in packet.filters] if packet.kind == mqtt.SUBSCRIBE else []
    return any(re.match(r"\$share(/[^/]*)?$|\$share//", text) for text in filters)


ALLOWED = [one for one in TO_BROKER if not is_kind(one, mqtt.CONNECT) and not is_refused(one)]


@pytest.mark.parametrize("sample", ALLOWED, ids=name)
def test_to_broker(place, device, sample):
    place.backend.script = lambda connection, raw: None if raw[0] >> 4 == mqtt.CONNECT else b""
    before = place.backend.count()
    device.version = sample.version
    device.send(connect_for(sample))
    assert device.expect(mqtt.CONNACK).reason == 0
    connection = place.backend.wait_connection(before)
    front = alias_before(sample)
    if is_kind(sample, mqtt.DISCONNECT):
        device.send(sample.raw)
        assert device.read() is None
        connection.wait_closed()
        assert connection.behind_connect() == sample.raw
        return
    device.send(front + sample.raw + mqtt.pingreq())
    wanted = front + sample.raw + mqtt.pingreq()
    connection.wait(lambda: len(connection.behind_connect()) >= len(wanted), what="the sample")
    assert connection.behind_connect() == wanted


@pytest.mark.parametrize("sample", TO_DEVICE, ids=name)
def test_to_device(place, device, sample):
    is_connack = is_kind(sample, mqtt.CONNACK)
    front = alias_before(sample)

    def script(connection, raw):
        if raw[0] >> 4 != mqtt.CONNECT:
            return b""
        return sample.raw if is_connack else mqtt.connack(sample.version) + front + sample.raw

    place.backend.script = script
    device.version = sample.version
    device.send(connect_for(sample))
    if not is_connack:
        assert device.expect(mqtt.CONNACK).reason == 0
    if front:
        assert device.read_raw() == front
    assert device.read_raw() == sample.raw
    is_last = is_kind(sample, mqtt.DISCONNECT) or (is_connack and sample.raw[3] != 0)
    if is_last:
        assert device.read() is None
