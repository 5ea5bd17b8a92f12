"""Topic aliases that a bridge makes for an MQTT 5 broker (3.3.2.3.4), and what a profile keeps back."""
import pytest

from peers import packets as mqtt
from peers.bridged import Bridged
from peers.broker import publish

TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS, MAXIMUM_PACKET_SIZE = 0x22, 0x23, 0x27


@pytest.fixture
def bridge_to(gate_of, tmp_path, broker):
    def make(backend, lines="", **options):
        return Bridged(gate_of, tmp_path, broker.port, "127.0.0.1:%d" % backend.port,
                       "topic alias/# out 1\nnotifications false\nbridge_protocol_version mqttv50\n" + lines, **options).wait_up()

    return make


def send(broker, *topics, size=2):
    for topic in topics:
        publish(broker.port, "-t", topic, "-m", "x" * size, "-q", 1)


def told(connection, count):
    """(topic, alias) of each PUBLISH."""
    connection.wait_packet(mqtt.PUBLISH, count)
    return [(packet.topic, packet.prop(TOPIC_ALIAS)) for packet in connection.of_kind(mqtt.PUBLISH)]


def test_repeated_topics_go_as_aliases(bridge_to, backend_of, broker):
    backend = backend_of()
    backend.connack_props = [(TOPIC_ALIAS_MAXIMUM, 2)]
    bridge_to(backend)
    send(broker, "alias/a", "alias/a", "alias/b", "alias/a", "alias/c", "alias/b", "alias/b")
    assert told(backend.wait_connection(), 7) == [("alias/a", 1), ("", 1), ("alias/b", 2), ("", 1), ("alias/c", 2), ("alias/b", 1), ("", 1)]


def test_a_new_connection_begins_anew(bridge_to, backend_of, broker):
    backend = backend_of()
    backend.connack_props = [(TOPIC_ALIAS_MAXIMUM, 2)]
    bridge = bridge_to(backend)
    send(broker, "alias/a", "alias/a")
    assert told(backend.wait_connection(), 2)[1] == ("", 1)
    backend.connections[0].close()
    bridge.wait_up(2)
    send(broker, "alias/a")
    assert told(backend.wait_connection(1), 1) == [("alias/a", 1)]


@pytest.mark.parametrize("props, lines", [((), ""), ([(TOPIC_ALIAS_MAXIMUM, 5)], "bridge_max_topic_alias 0"), ([(TOPIC_ALIAS_MAXIMUM, 0)], "")])
def test_none_where_none_is_allowed(bridge_to, backend_of, broker, props, lines):
    backend = backend_of()
    backend.connack_props = props
    bridge_to(backend, lines)
    send(broker, "alias/a", "alias/a")
    assert told(backend.wait_connection(), 2) == [("alias/a", None)] * 2


def test_our_own_limit_counts(bridge_to, backend_of, broker):
    backend = backend_of()
    backend.connack_props = [(TOPIC_ALIAS_MAXIMUM, 10)]
    bridge_to(backend, "bridge_max_topic_alias 1")
    send(broker, "alias/a", "alias/b", "alias/b")
    assert told(backend.wait_connection(), 3) == [("alias/a", 1), ("alias/b", 1), ("", 1)]


def test_an_alias_makes_no_packet_too_large(bridge_to, backend_of, broker):
    """3.2.2.3.6: the packet without an alias fits exactly."""
    backend = backend_of()
    backend.connack_props = [(TOPIC_ALIAS_MAXIMUM, 2), (MAXIMUM_PACKET_SIZE, 80)]
    bridge = bridge_to(backend)
    exact = 80 - 2 - 2 - len("alias/a") - 2 - 1
    send(broker, "alias/a", size=exact)
    send(broker, "alias/a")
    send(broker, "alias/a", size=exact)
    assert told(backend.wait_connection(), 3) == [("alias/a", None), ("alias/a", 1), ("", 1)]
    assert [len(packet.raw) <= 80 for packet in backend.connections[0].of_kind(mqtt.PUBLISH)] == [True] * 3
    send(broker, "alias/a", size=exact + 1)
    bridge.wait_metric("too_large", 1, direction="out")


def test_a_profile_keeps_back(gate_of, tmp_path, broker, backend_of):
    """Above QoS 0 as a dead letter; the connection stays, and what is good passes."""
    backend = backend_of()
    bridge = Bridged(gate_of, tmp_path, broker.port, "127.0.0.1:%d" % backend.port, "topic deep/# out 2\nprofile aws-iot").wait_up()
    publish(broker.port, "-t", "deep/2/3/4/5/6/7/8/9", "-m", "x", "-q", 1)
    publish(broker.port, "-t", "deep/2/3/4/5/6/7/8/9", "-m", "x", "-q", 0)
    publish(broker.port, "-t", "deep/2/3/4/5/6/7/8", "-m", "x", "-q", 2)
    packet = backend.wait_connection().wait_packet(mqtt.PUBLISH)
    assert (packet.topic, packet.qos) == ("deep/2/3/4/5/6/7/8", 1)
    bridge.wait_metric("over_limits", 2, direction="out")
    bridge.wait_metric("dead_letters", 1)
    assert "AWS IoT Core takes topics of at most 7 slashes" in bridge.gate.log() and backend.count() == 1
