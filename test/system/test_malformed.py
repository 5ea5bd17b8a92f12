"""Every malformed sample, in front of a recording backend: nothing of it reaches the other side, the one who sent
it is told as far as its version has words, and the program lives on."""
import pytest

from peers import packets as mqtt
from peers import samples
from peers.device import Device
from peers.ports import free_port

TO_BROKER = samples.load("bad", "to_broker")
FIRST = [sample for sample in TO_BROKER if sample.version == 0 or sample.raw[0] >> 4 == mqtt.CONNECT]
LATER = [sample for sample in TO_BROKER if sample not in FIRST]
TO_DEVICE = samples.load("bad", "to_device")
name = "{0.name}".format


@pytest.fixture(scope="module")
def place(shared_gate_of, shared_backend_of):
    backend, port = shared_backend_of(), free_port()
    gate = shared_gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nbackend_timeout 20s\n" % (backend.port, port))
    gate.backend, gate.port = backend, port
    return gate


@pytest.fixture
def device(place):
    place.backend.script = None
    with Device(place.port) as made:
        yield made


def told_in_connack(sample):
    """Is the CONNECT so far understood that version 5 gets an answer (3.1.4-1)? Flags and lengths are read
    before there is a version."""
    at = 1
    while at < 5 and at < len(sample.raw) and sample.raw[at] & 0x80:
        at += 1
    return sample.raw[at + 1:].startswith(b"\0\4MQTT\5") and sample.raw[0] == 0x10 and at < 5


@pytest.mark.parametrize("sample", FIRST, ids=name)
def test_first_packet(place, device, sample):
    before = place.backend.count()
    device.version = sample.version or 4
    device.send(sample.raw)
    if sample.violation == "protocol_version":
        # 3.1.1 3.1.2-2 wants return code 1, 5.0 3.1.2-2 has code 0x84; the device's version is anybody's guess.
        answer = device.read_raw()
        assert answer in (None, b"\x20\2\0\1", b"\x20\3\0\x84\0")
        assert answer is not None or sample.raw[4:8] != b"MQTT"
    answers = device.read_to_end()
    if told_in_connack(sample):
        assert [answer.kind for answer in answers] == [mqtt.CONNACK]
        assert answers[0].reason == samples.REASON_OF[sample.violation]
    else:
        assert answers == [], "before 5.0 a broken CONNECT is not answered"
    assert not device.was_reset
    assert place.is_alive() and place.backend.count() == before, "the broker was dialled"


def check_told(sample, answers):
    reason = samples.REASON_OF[sample.violation]
    if sample.version == 5:
        assert [answer.kind for answer in answers] == [mqtt.DISCONNECT], answers
        assert answers[0].reason == reason, "reason 0x%02x, not 0x%02x" % (answers[0].reason, reason)
    else:
        assert answers == [], "a broker says no DISCONNECT before 5.0"


@pytest.mark.parametrize("sample", LATER, ids=name)
def test_after_connack(place, device, sample):
    before = place.backend.count()
    device.version = sample.version
    device.connect()
    connection = place.backend.wait_connection(before)
    device.send(sample.raw)
    check_told(sample, device.read_to_end())
    connection.wait_closed()
    assert connection.behind_connect() == b"", "bytes of it reached the broker"
    assert place.is_alive()


@pytest.mark.parametrize("sample", LATER, ids=name)
def test_in_one_write_with_connect(place, device, sample):
    """And a good PUBLISH between, which must arrive."""
    before = place.backend.count()
    device.version = sample.version
    good = mqtt.publish(sample.version, "good", "before the bad")
    device.send(mqtt.connect(sample.version) + good + sample.raw)
    answers = device.read_to_end()
    assert answers and answers[0].kind == mqtt.CONNACK and answers[0].reason == 0
    check_told(sample, answers[1:])
    connection = place.backend.wait_connection(before)
    connection.wait_closed()
    assert connection.behind_connect() == good
    assert place.is_alive()


@pytest.mark.parametrize("sample", TO_DEVICE, ids=name)
def test_from_the_broker(place, device, sample):
    """The broker is somebody's program too. A bad packet in the place of the CONNACK, else behind it."""
    is_connack = sample.raw[0] >> 4 == mqtt.CONNACK
    version = sample.version

    def script(connection, raw):
        if raw[0] >> 4 != mqtt.CONNECT:
            return None
        return sample.raw if is_connack else mqtt.connack(version) + mqtt.publish(version, "good", "x") + sample.raw

    before = place.backend.count()
    place.backend.script = script
    device.version = version
    device.send(mqtt.connect(version))
    answers = device.read_to_end()
    place.backend.wait_connection(before).wait_closed()
    if is_connack:
        # The device hears that the server is not well, in words of ours.
        assert [answer.kind for answer in answers] == [mqtt.CONNACK]
        assert answers[0].raw != sample.raw and answers[0].reason == (0x80 if version == 5 else 3)
    else:
        assert [answer.kind for answer in answers[:2]] == [mqtt.CONNACK, mqtt.PUBLISH], answers
        assert answers[0].reason == 0 and answers[1].payload == b"x"
        if version == 5:
            assert [(answer.kind, answer.reason) for answer in answers[2:]] == [(mqtt.DISCONNECT, 0x80)]
        else:
            assert answers[2:] == []
    assert place.is_alive()


def test_violations_are_logged_and_counted(gate_of, backend_of, device_of, port):
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n" % (backend.port, port))
    device = device_of(port, version=5)
    device.connect(client_id="naughty")
    device.send(mqtt.publish(5, "a/+/b"))
    assert device.expect(mqtt.DISCONNECT).reason == 0x90
    assert device.read() is None
    line = gate.wait_log("naughty.*wildcard.*")
    assert "3.3.2-2" in line.group(0)
