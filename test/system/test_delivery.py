"""What the read ACL keeps from a device is answered to a real mosquitto in the device's place: no packet id is ever stuck, and
what is allowed comes, however much was refused in front of it."""
import time
import urllib.request

import pytest

from peers import packets as mqtt
from peers.ports import free_port

VERSIONS = [3, 4, 5]
ACL = "topic read down/#\ntopic deny down/secret/#\n"
KEEP = {3: {"clean": False}, 4: {"clean": False}, 5: {"clean": False, "props": [(mqtt.SESSION_EXPIRY, 100)]}}


class Place:
    """A mosquitto that has few messages under way at a time, Drawbridge in front of it, and its count of refusals."""

    def __init__(self, broker, gate, port, metrics, device_of):
        self.broker, self.gate, self.port, self.metrics, self.device_of = broker, gate, port, metrics, device_of

    def device(self, version, client_id="dev", **fields):
        device = self.device_of(self.port, version=version)
        device.connect(client_id, **fields)
        return device

    def teller(self, version):
        device = self.device_of(self.broker.port, version=version)
        device.connect("teller")
        return device

    def wait_refused(self, wanted):
        """A peer may see its answer before the worker has counted it."""
        end = time.monotonic() + 30
        while self._refused() != wanted:
            assert time.monotonic() < end, "delivery_refused is %s" % self._refused()
            time.sleep(0.02)

    def _refused(self):
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.metrics, timeout=15) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("drawbridge_delivery_refused_total "))


@pytest.fixture
def place(gate_of, broker_of, device_of, port, tmp_path):
    broker = broker_of("max_inflight_messages 20\nmax_queued_messages 0\n")
    (tmp_path / "acl").write_text(ACL)
    metrics = free_port()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nacl_file %s\nmetrics_listener 127.0.0.1:%d\n" %
                   (broker.port, port, tmp_path / "acl", metrics))
    return Place(broker, gate, port, metrics, device_of)


def messages(device, count):
    """That many, each answered as its QoS wants it, to the end of its exchange."""
    seen, open_ids = [], set()
    while len(seen) < count or open_ids:
        packet = device.read()
        assert packet is not None, "the connection ended behind message %d" % len(seen)
        if packet.kind == mqtt.PUBLISH:
            seen.append((packet.topic, packet.qos, packet.retain))
            if packet.qos == 1:
                device.send(mqtt.ack(mqtt.PUBACK, device.version, packet.packet_id))
            elif packet.qos == 2:
                open_ids.add(packet.packet_id)
                device.send(mqtt.ack(mqtt.PUBREC, device.version, packet.packet_id))
        elif packet.kind == mqtt.PUBREL:
            open_ids.remove(packet.packet_id)
            device.send(mqtt.ack(mqtt.PUBCOMP, device.version, packet.packet_id))
    return seen


def tell(teller, topic, count, qos, **fields):
    for number in range(count):
        teller.publish("%s/%d" % (topic, number), "x", qos, number + 1, **fields)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
def test_many_refused_then_one_allowed(place, version, qos):
    """Ten times as many as may be under way at a time."""
    device = place.device(version)
    assert device.subscribe(("down/#", qos)) == [qos]
    teller = place.teller(version)
    tell(teller, "down/secret", 200, qos)
    tell(teller, "down/fine", 1, qos)
    assert messages(device, 1) == [("down/fine/0", qos, False)]
    place.wait_refused(200)
    # And the way is free for as many again as may be under way.
    tell(teller, "down/fine", 20, qos)
    assert sorted(topic for topic, _, _ in messages(device, 20)) == sorted("down/fine/%d" % number for number in range(20))
    assert device.ping()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
def test_refused_and_allowed_in_turn(place, version, qos):
    """The packet ids of both kinds come from one stock. In which order mosquitto 2.0 takes them from its queue is its own affair."""
    device = place.device(version)
    device.subscribe(("down/#", qos))
    teller = place.teller(version)
    for number in range(60):
        teller.publish("down/%s/%d" % ("secret" if number % 2 else "fine", number), "x", qos, number + 1)
    assert sorted(topic for topic, _, _ in messages(device, 30)) == sorted("down/fine/%d" % number for number in range(0, 60, 2))
    place.wait_refused(30)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retained(place, version, qos):
    teller = place.teller(version)
    tell(teller, "down/secret", 50, qos, retain=True)
    tell(teller, "down/fine", 1, qos, retain=True)
    assert teller.ping()  # the broker has them all
    device = place.device(version)
    device.subscribe(("down/#", qos))
    assert messages(device, 1) == [("down/fine/0", qos, True)]
    place.wait_refused(50)
    tell(teller, "down/new", 1, qos)
    assert messages(device, 1) == [("down/new/0", qos, False)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
def test_queued_while_away(place, version, qos):
    """A session that outlives its connection: the broker's queue is refused to its end when the device comes back."""
    device = place.device(version, **KEEP[version])
    device.subscribe(("down/#", qos))
    device.send(mqtt.disconnect(version))
    assert device.read_to_end() == []
    teller = place.teller(version)
    tell(teller, "down/secret", 100, qos)
    tell(teller, "down/fine", 1, qos)
    again = place.device(version, **KEEP[version])
    assert messages(again, 1) == [("down/fine/0", qos, False)]
    place.wait_refused(100)
    # All of it is behind the broker: a third connection gets nothing of it again.
    again.send(mqtt.disconnect(version))
    assert again.read_to_end() == []
    third = place.device(version, **KEEP[version])
    tell(teller, "down/new", 1, qos)
    assert messages(third, 1) == [("down/new/0", qos, False)]
    place.wait_refused(100)


@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum(place, qos):
    """What is refused counts against the device's Receive Maximum at the broker only until our answer is there."""
    device = place.device(5, props=[(mqtt.RECEIVE_MAXIMUM, 3)])
    device.subscribe(("down/#", qos))
    teller = place.teller(5)
    tell(teller, "down/secret", 50, qos)
    tell(teller, "down/fine", 5, qos)
    assert sorted(topic for topic, _, _ in messages(device, 5)) == sorted("down/fine/%d" % number for number in range(5))
    place.wait_refused(50)


@pytest.mark.parametrize("version", VERSIONS)
def test_outside_of_the_mount_point(gate_of, broker_of, device_of, port, version):
    """The same for what a mount point keeps away: `plant/#` is the subscription, which `plant` itself matches."""
    broker = broker_of("max_inflight_messages 20\nmax_queued_messages 0\n")
    gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmount_point plant/\n" % (broker.port, port))
    device = device_of(port, version=version)
    device.connect("dev")
    device.subscribe(("#", 2))
    teller = device_of(broker.port, version=version)
    teller.connect("teller")
    for number in range(100):
        teller.publish("plant", "x", 2, number + 1)
    teller.publish("plant/fine", "x", 2, 200)
    assert messages(device, 1) == [("fine", 2, False)]
