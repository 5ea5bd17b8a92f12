"""The options about messages and subscriptions: what a device is told, what the broker gets, what is counted and logged."""
import re
import time
import types
import urllib.request

import pytest

from peers import packets as mqtt
from peers.broker import publish
from peers.ports import free_port

VERSIONS = [3, 4, 5]
RESPONSE_TOPIC = 0x08
WAIT_S = 15
RULE = 'rule_refusals_total{option="%s"}'


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of, tmp_path):
    """start(lines of the listener, acl=..., front=lines before it): returns a maker of connected devices."""

    def begin(extra="", acl=None, front=""):
        metrics = free_port()
        config = "backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\n%slistener %d 127.0.0.1\n%s\n" % (
            backend.port, metrics, front, port, extra)
        if acl is not None:
            (tmp_path / "acl").write_text(acl)
            config += "acl_file %s\n" % (tmp_path / "acl")
        gate = gate_of(config, arguments=["-v"])

        def make(version=4, client_id="dev", is_connected=True, **fields):
            device = device_of(port, version=version)
            if is_connected:
                device.answer = device.connect(client_id, **fields)
            return device

        make.gate, make.config, make.metrics = gate, config, metrics
        return make

    return begin


@pytest.fixture(scope="module")
def shared_backend(shared_backend_of):
    return shared_backend_of()


@pytest.fixture(scope="module")
def shared(shared_gate_of, shared_backend):
    """One gate with a listener for each line of the tables below."""
    lines = sorted({row[0] for row in TOPIC_RULES + FILTER_RULES})
    ports = {line: free_port() for line in lines}
    metrics = free_port()
    config = "backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\n" % (shared_backend.port, metrics)
    gate = shared_gate_of(config + "".join("listener %d 127.0.0.1\n%s\n" % (ports[line], line) for line in lines), arguments=["-v"])
    return types.SimpleNamespace(gate=gate, ports=ports, metrics=metrics, backend=shared_backend)


@pytest.fixture
def ruled(shared, device_of):
    """ruled(line): a maker of devices at the listener with that line; connection() is the newest one's to the broker."""

    def begin(line):
        def make(version=4, client_id="dev", **fields):
            device = device_of(shared.ports[line], version=version)
            device.answer = device.connect(client_id, **fields)
            return device

        make.gate, make.metrics, make.connection = shared.gate, shared.metrics, lambda: shared.backend.wait_connection(-1)
        make.option = line.split()[0]
        make.before = {name: sample(make, name) for name in (RULE % make.option, "publish_refused_total", "subscribe_refused_total")}
        make.log_size = len(shared.gate.log())
        return make

    return begin


def grown(device_of, name, count):
    wait_sample(device_of, name, device_of.before[name] + count)


def sample(device_of, name):
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % device_of.metrics, timeout=WAIT_S) as answer:
        return float(re.search(r"^drawbridge_%s (\S+)$" % re.escape(name), answer.read().decode(), re.M).group(1))


def wait_sample(device_of, name, value):
    """A peer may read its answer before the worker has counted it."""
    end = time.monotonic() + WAIT_S
    while sample(device_of, name) != value:
        assert time.monotonic() < end, "%s is %s, not %s" % (name, sample(device_of, name), value)
        time.sleep(0.02)


def refusals(device_of, option, count):
    wait_sample(device_of, RULE % option, count)


def told(version, reason):
    """What a PUBACK or PUBREC says."""
    return reason if version == 5 else 0


def code(version, reason):
    """What a SUBACK says."""
    return reason if version == 5 else 0x80


# ---- PUBLISH ----

# option, a topic that it allows, one that it refuses
TOPIC_RULES = [
    ("max_topic_length 6", "ok/345", "ok/3456"),
    ("max_topic_length 6", "ok/3é", "ok/34é"),
    ("max_topic_levels 3", "a/b/c", "a/b/c/d"),
    ("max_topic_levels 1", "a", "a/"),
    ("forbidden_topic_chars .é", "a/b-c", "a/b.c"),
    ("forbidden_topic_chars .é", "a/è", "a/é"),
    ("dollar_topics false", "a/$b", "$CONTROL/x"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("line,good,bad", TOPIC_RULES)
def test_topics_of_messages(ruled, version, line, good, bad):
    """Refused as the ACL refuses: answered here at QoS 1 and 2, dropped at QoS 0; what is allowed passes as it came."""
    device_of = ruled(line)
    device = device_of(version)
    for qos in (1, 2):
        assert device.publish(bad, "no", qos, 7) == told(version, 0x90)
    device.publish(bad, "no")
    allowed = mqtt.publish(version, good, "yes", retain=True)
    device.send(allowed)
    assert device.ping()
    assert device_of.connection().behind_connect() == allowed + mqtt.pingreq()
    grown(device_of, RULE % device_of.option, 3)
    grown(device_of, "publish_refused_total", 3)
    assert re.search(r"Denied PUBLISH to '.*%s" % device_of.option, device_of.gate.log()[device_of.log_size:]), "the log names the option"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("line,reason", [("max_topic_length 6", 0x90), ("retain_policy refuse", 0x9A)])
def test_deny_publish_disconnect(start, backend, version, line, reason):
    device_of = start(line + "\ndeny_publish disconnect")
    device = device_of(version)
    device.send(mqtt.publish(version, "ok/3456", "x", 1, 7, retain=True))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, reason)] if version == 5 else [])
    backend.wait_connection().wait_closed()
    assert backend.wait_connection().behind_connect() == b""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("line,good,bad", TOPIC_RULES)
def test_topics_of_wills(ruled, version, line, good, bad):
    """A will that may not be is taken out of the CONNECT."""
    device_of = ruled(line)
    for topic in (good, bad):
        will = {"topic": topic, "payload": "gone"}
        assert device_of(version, "dev", will=will).ping()
        connect = device_of.connection().of_kind(mqtt.CONNECT)[0]
        assert connect.raw == mqtt.connect(version, "dev", will=will if topic == good else None)
    grown(device_of, RULE % device_of.option, 1)


@pytest.mark.parametrize("line,good,bad", TOPIC_RULES)
def test_topics_of_responses(ruled, line, good, bad):
    """A response topic is a topic, in messages and in wills."""
    device_of = ruled(line)
    device = device_of(5)
    assert device.publish("t", "x", 1, 1, props=[(RESPONSE_TOPIC, good)]) == 0
    assert device.publish("t", "x", 1, 2, props=[(RESPONSE_TOPIC, bad)]) == 0x90
    assert len(device_of.connection().of_kind(mqtt.PUBLISH)) == 1
    will = {"topic": "t", "payload": "gone", "props": [(RESPONSE_TOPIC, bad)]}
    assert device_of(5, "other", will=will).ping()
    assert device_of.connection().of_kind(mqtt.CONNECT)[0].will is None
    grown(device_of, RULE % device_of.option, 2)


def test_topic_behind_an_alias(start, backend):
    """What the alias stands for is judged, and a refused message tells the broker no alias."""
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 10)]
    device_of = start("max_topic_levels 2")
    device = device_of(5)
    assert device.publish("a/b/c", "1", 1, 1, props=[(mqtt.ALIAS, 1)]) == 0x90
    assert device.publish("", "2", 1, 2, props=[(mqtt.ALIAS, 1)]) == 0x90
    assert device.publish("a/b", "3", 1, 3, props=[(mqtt.ALIAS, 1)]) == 0
    assert device.publish("", "4", 1, 4, props=[(mqtt.ALIAS, 1)]) == 0
    assert [(one.topic, one.payload) for one in backend.wait_connection().of_kind(mqtt.PUBLISH)] == [("a/b", b"3"), ("", b"4")]


@pytest.mark.parametrize("version", VERSIONS)
def test_retain_policy_strip(start, backend, version):
    """One bit changes, in whatever pieces the packet comes."""
    device_of = start("retain_policy strip")
    device = device_of(version)
    if version == 5:
        assert device.answer.prop(mqtt.RETAIN_AVAILABLE) is None
    payload = bytes(range(256)) * 1000
    sent = [mqtt.publish(version, "t/%d" % qos, payload, qos, 5, retain=True, dup=qos > 0) for qos in range(3)]
    wanted = [bytes([packet[0] & 0xFE]) + packet[1:] for packet in sent]
    for packet in sent:
        for at in range(0, len(packet), 60001):
            device.send(packet[at:at + 60001])
    device.expect(mqtt.PUBACK)
    device.expect(mqtt.PUBREC)
    assert backend.wait_connection().behind_connect() == b"".join(wanted)
    wait_sample(device_of, "retain_stripped_total", 3)


@pytest.mark.parametrize("version", VERSIONS)
def test_retain_policy_strip_of_wills(start, backend, version):
    device_of = start("retain_policy strip")
    will = {"topic": "t", "payload": "gone", "qos": 1, "retain": True}
    assert device_of(version, "dev", will=will).ping()
    connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    assert connect.raw == mqtt.connect(version, "dev", will=dict(will, retain=False))


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
def test_retain_policy_strip_behind_mosquitto(gate_of, broker, subscriber_of, port, version):
    """Delivered to who listens, kept for nobody."""
    topic = "strip/%s" % version
    gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nretain_policy strip\n" % (broker.port, port))
    present = subscriber_of(broker.port, "-t", topic, "-q", "1")
    publish(port, "-V", version, "-t", topic, "-m", "hello", "-r", "-q", "1")
    assert present.wait(1) == [(topic, 1, 0, b"hello")]
    late = subscriber_of(broker.port, "-t", topic, "-q", "1")
    publish(port, "-V", version, "-t", topic, "-m", "again", "-q", "1")
    assert late.wait(1) == [(topic, 1, 0, b"again")]


@pytest.mark.parametrize("version", VERSIONS)
def test_retain_policy_refuse(start, backend, version):
    """0x9A may not stand in a PUBACK or PUBREC: Not authorized does."""
    device_of = start("retain_policy refuse")
    device = device_of(version)
    if version == 5:
        assert device.answer.prop(mqtt.RETAIN_AVAILABLE) == 0
    for qos in (1, 2):
        assert device.publish("t", "no", qos, 7, retain=True) == told(version, 0x87)
        assert device.publish("t", "yes", qos, 7) == 0
    device.publish("t", "no", retain=True)
    assert device.ping()
    assert [one.payload for one in backend.wait_connection().of_kind(mqtt.PUBLISH)] == [b"yes", b"yes"]
    refusals(device_of, "retain_policy", 3)
    stranger = device_of(version, is_connected=False)
    stranger.send(mqtt.connect(version, "other", will={"topic": "t", "payload": "x", "retain": True}))
    assert [(one.kind, one.reason) for one in stranger.read_to_end()] == [(mqtt.CONNACK, 0x9A if version == 5 else 5)]
    assert backend.count() == 1
    refusals(device_of, "retain_policy", 4)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("policy", ["strip", "refuse"])
def test_retain_available_goes_first(start, backend, version, policy):
    """mosquitto's keyword keeps its meaning: who retains is disconnected. The configuration is warned of."""
    device_of = start("retain_policy " + policy, front="retain_available false\n")
    assert re.search(r"drawbridge.conf:5: .*retain_policy has no effect", device_of.gate.log())
    device = device_of(version)
    device.send(mqtt.publish(version, "t", "x", 1, 7, retain=True))
    assert [one.reason for one in device.read_to_end()] == ([0x9A] if version == 5 else [])
    assert backend.wait_connection().of_kind(mqtt.PUBLISH) == []


USERS = [(mqtt.USER_PROPERTY, ("a", "12")), (mqtt.USER_PROPERTY, ("bc", ""))]
USERS_LINES = ["max_user_properties 2", "max_user_properties_size 5"]


@pytest.mark.parametrize("line", USERS_LINES)
def test_user_properties_of_messages(start, backend, line):
    device_of = start(line)
    device = device_of(5)
    assert device.publish("t", "x", 1, 1, props=USERS + [(RESPONSE_TOPIC, "other/properties/do/not/count")]) == 0
    assert device.publish("t", "x", 1, 2, props=USERS + [(mqtt.USER_PROPERTY, ("", "x"))]) == 0x97
    assert len(backend.wait_connection().of_kind(mqtt.PUBLISH)) == 1
    refusals(device_of, line.split()[0], 1)


@pytest.mark.parametrize("line", USERS_LINES)
def test_user_properties_of_connects(start, backend, line):
    """Of the CONNECT itself: not let in. Of its will: the will is taken out."""
    device_of = start(line)
    more = USERS + [(mqtt.USER_PROPERTY, ("", "x"))]
    assert device_of(5, "dev", props=USERS).ping()
    stranger = device_of(5, is_connected=False)
    stranger.send(mqtt.connect(5, "other", props=more))
    assert [(one.kind, one.reason) for one in stranger.read_to_end()] == [(mqtt.CONNACK, 0x97)]
    assert backend.count() == 1
    for props in (USERS, more):
        assert device_of(5, "third", will={"topic": "t", "payload": "x", "props": props}).ping()
    assert backend.wait_connection(1).of_kind(mqtt.CONNECT)[0].will["props"] == USERS
    assert backend.wait_connection(2).of_kind(mqtt.CONNECT)[0].will is None
    refusals(device_of, line.split()[0], 2)


@pytest.mark.parametrize("line", USERS_LINES)
def test_user_properties_of_subscribes(start, backend, line):
    """Refused with a SUBSCRIBE; cut out of an UNSUBSCRIBE, since a device may always leave."""
    device_of = start(line)
    device = device_of(5)
    more = USERS + [(mqtt.USER_PROPERTY, ("", "x"))]
    device.send(mqtt.subscribe(5, 1, ["a", "b"], props=USERS))
    assert device.expect(mqtt.SUBACK).codes == [0, 0]
    device.send(mqtt.subscribe(5, 2, ["a", "b"], props=more))
    assert device.expect(mqtt.SUBACK).codes == [0x97, 0x97]
    connection = backend.wait_connection()
    assert len(connection.of_kind(mqtt.SUBSCRIBE)) == 1
    device.send(mqtt.unsubscribe(5, 3, ["a", "b"], props=USERS))
    device.expect(mqtt.UNSUBACK)
    device.send(mqtt.unsubscribe(5, 4, ["a", "b"], props=more))
    device.expect(mqtt.UNSUBACK)
    assert [one.raw for one in connection.of_kind(mqtt.UNSUBSCRIBE)] == [
        mqtt.unsubscribe(5, 3, ["a", "b"], props=USERS), mqtt.unsubscribe(5, 4, ["a", "b"])]


RESPONSE_ACL = "topic write ask\ntopic write mine/#\ntopic deny mine/secret\n"


def test_response_topic_acl(start, backend):
    device_of = start("response_topic_acl true", acl=RESPONSE_ACL)
    device = device_of(5)
    assert device.publish("ask", "1", 1, 1, props=[(RESPONSE_TOPIC, "mine/answers")]) == 0
    assert device.publish("ask", "2", 1, 2, props=[(RESPONSE_TOPIC, "others/answers")]) == 0x87
    assert device.publish("ask", "3", 1, 3, props=[(RESPONSE_TOPIC, "mine/secret")]) == 0x87
    assert device.publish("ask", "4", 2, 4, props=[(RESPONSE_TOPIC, "$SYS/x")]) == 0x87
    assert device.publish("ask", "5", 1, 5) == 0
    assert [one.payload for one in backend.wait_connection().of_kind(mqtt.PUBLISH)] == [b"1", b"5"]
    refusals(device_of, "response_topic_acl", 3)
    assert re.search(r"response_topic_acl is true, \S+acl:3", device_of.gate.log()), "the rule that forbids it is named"
    for topic in ("mine/answers", "others/answers"):
        will = {"topic": "ask", "payload": "x", "props": [(RESPONSE_TOPIC, topic)]}
        assert device_of(5, "other", will=will).ping()
    assert [backend.wait_connection(1 + i).of_kind(mqtt.CONNECT)[0].will is None for i in range(2)] == [False, True]


def test_response_topic_acl_is_off_by_default(start, backend):
    device = start(acl=RESPONSE_ACL)(5)
    assert device.publish("ask", "x", 1, 1, props=[(RESPONSE_TOPIC, "others/answers")]) == 0


# ---- SUBSCRIBE ----

# option, a filter that it allows, one that it refuses, the code in version 5
FILTER_RULES = [
    ("max_topic_length 6", "a/b/+/", "a/b/+/c", 0x8F),
    ("max_topic_length 6", "$share/group1/a/b", "$share/group12/a/b", 0x8F),
    ("max_topic_levels 3", "a/b/#", "a/b/c/#", 0x8F),
    ("max_topic_levels 3", "$share/g/a/b/c", "$share/g/a/b/c/d", 0x8F),
    ("forbidden_topic_chars .é", "a/+", "a.b/+", 0x8F),
    ("forbidden_topic_chars .é", "$share/g/a", "$share/é/a", 0x8F),
    ("dollar_topics false", "#", "$SYS/#", 0x8F),
    ("dollar_topics false", "$share/g/a", "$share/g/$SYS/a", 0x8F),
    ("wildcard_subscriptions false", "a/b", "a/+", 0xA2),
    ("wildcard_subscriptions false", "$share/g/a", "$share/g/#", 0xA2),
    ("min_wildcard_levels 1", "a/#", "#", 0x8F),
    ("min_wildcard_levels 1", "a", "+/a/b", 0x8F),
    ("min_wildcard_levels 2", "a/b/+/c", "a/+/b/c", 0x8F),
    ("min_wildcard_levels 2", "$share/g/a/b/#", "$share/g/a/#", 0x8F),
    ("shared_subscriptions false", "a/#", "$share/g/a", 0x9E),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("line,good,bad,reason", FILTER_RULES)
def test_filters(ruled, version, line, good, bad, reason):
    """Each filter on its own; the broker sees those that are allowed, and leaving is always possible."""
    device_of = ruled(line)
    device = device_of(version)
    assert device.subscribe((bad, 1), (good, 2), (bad, 0), packet_id=5) == [code(version, reason), 2, code(version, reason)]
    assert device.subscribe(bad, packet_id=6) == [code(version, reason)]
    device.send(mqtt.unsubscribe(version, 7, [bad, good]))
    device.expect(mqtt.UNSUBACK)
    assert device_of.connection().behind_connect() == (mqtt.subscribe(version, 5, [(good, 2)]) +
                                                       mqtt.unsubscribe(version, 7, [bad, good]))
    grown(device_of, RULE % device_of.option, 3)
    grown(device_of, "subscribe_refused_total", 3)
    assert re.search(r"Denied SUBSCRIBE to '.*%s" % device_of.option, device_of.gate.log()[device_of.log_size:]), "the log names the option"


@pytest.mark.parametrize("line,allowed,refused", [("no_local false", [0x28, 0x10], 0x04), ("retain_as_published false", [0x24, 0x14], 0x08),
                                                 ("retain_handling false", [0x0C, 0x00], 0x10), ("retain_handling false", [0x0C], 0x20)])
def test_subscription_options(start, backend, line, allowed, refused):
    device_of = start(line)
    device = device_of(5)
    filters = [("a/%d" % index, options) for index, options in enumerate(allowed)]
    assert device.subscribe(*filters, ("b", refused)) == [0] * len(allowed) + [0x83]
    assert backend.wait_connection().of_kind(mqtt.SUBSCRIBE)[0].filters == filters
    refusals(device_of, line.split()[0], 1)


def test_subscription_options_pass_by_default(start, backend):
    device = start()(5)
    sent = mqtt.subscribe(5, 9, [("a", 0x2D), ("b", 0x1E)], props=[(mqtt.SUBSCRIPTION_ID, 268435455)])
    device.send(sent)
    assert device.expect(mqtt.SUBACK).codes == [1, 2]
    assert backend.wait_connection().behind_connect() == sent


def test_subscription_identifiers(start, backend):
    device_of = start("subscription_identifiers false")
    device = device_of(5)
    device.send(mqtt.subscribe(5, 9, ["a", "b"], props=[(mqtt.SUBSCRIPTION_ID, 1)]))
    assert device.expect(mqtt.SUBACK).codes == [0xA1, 0xA1]
    assert device.subscribe("a") == [0]
    assert len(backend.wait_connection().of_kind(mqtt.SUBSCRIBE)) == 1
    refusals(device_of, "subscription_identifiers", 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_max_filters_per_subscribe(start, backend, version):
    device_of = start("max_filters_per_subscribe 2")
    device = device_of(version)
    assert device.subscribe("a", "b") == [0, 0]
    assert device.subscribe("a", "b", "c") == [code(version, 0x97)] * 3
    assert len(backend.wait_connection().of_kind(mqtt.SUBSCRIBE)) == 1
    refusals(device_of, "max_filters_per_subscribe", 3)


@pytest.mark.parametrize("version", VERSIONS)
def test_max_subscriptions(start, backend, version):
    """Different filters that the broker has granted; not those that it refused, nor the same one again."""
    device_of = start("max_subscriptions 3")
    device = device_of(version)
    backend.script = lambda connection, raw: (mqtt.suback(version, 9, [0x80]) if b"refused" in raw and raw[0] >> 4 == mqtt.SUBSCRIBE
                                              else None)
    assert device.subscribe("refused", packet_id=9) == [0x80]
    assert device.subscribe("a", ("b", 1), "a") == [0, 1, 0]
    assert device.subscribe("a", ("b", 2), "c", "d") == [0, 2, 0, code(version, 0x97)]
    # Swapped without waiting for the UNSUBACK.
    device.send(mqtt.unsubscribe(version, 4, ["c"]) + mqtt.subscribe(version, 5, ["d"]))
    device.expect(mqtt.UNSUBACK)
    assert device.expect(mqtt.SUBACK).codes == [0]
    assert device.subscribe("c") == [code(version, 0x97)]
    refusals(device_of, "max_subscriptions", 2)
    assert device_of(version, "other").subscribe("x", "y", "z") == [0, 0, 0], "each session has its own"


def test_max_subscriptions_when_leaving_is_refused(start, backend):
    """A broker of version 5 may refuse an UNSUBSCRIBE: the filter counts on."""
    device_of = start("max_subscriptions 1")
    device = device_of(5)
    assert device.subscribe("a") == [0]
    backend.script = lambda connection, raw: (mqtt.suback(5, 4, [0x87], mqtt.UNSUBACK) if raw[0] >> 4 == mqtt.UNSUBSCRIBE else None)
    device.send(mqtt.unsubscribe(5, 4, ["a"]))
    assert device.expect(mqtt.UNSUBACK).codes == [0x87]
    assert device.subscribe("b") == [0x97]
    backend.script = None
    device.send(mqtt.unsubscribe(5, 4, ["a"]))
    assert device.expect(mqtt.UNSUBACK).codes == [0]
    assert device.subscribe("b") == [0]


@pytest.mark.parametrize("version", VERSIONS)
def test_granted_qos(start, backend, version):
    """A broker that grants more than it was asked for."""
    device = start("max_qos 1")(version)
    backend.script = lambda connection, raw: (mqtt.suback(version, 1, [2] * (2 if b"\0\1b" in raw else 1))
                                              if raw[0] >> 4 == mqtt.SUBSCRIBE else None)
    assert device.subscribe(("a", 2), ("b", 0)) == [1, 1]


# ---- all together ----

@pytest.mark.parametrize("version", VERSIONS)
def test_reload(start, backend, version):
    """Rules act at the next packet of sessions that exist; a bad file changes nothing."""
    device_of = start("max_topic_length 6\nforbidden_topic_chars .\nmin_wildcard_levels 1\nmax_subscriptions 1")
    device = device_of(version)
    assert device.publish("ok/3456", "1", 1, 1) == told(version, 0x90)
    assert device.publish("a.b", "1", 1, 1) == told(version, 0x90)
    assert device.subscribe("#", "a", "b") == [code(version, 0x8F), 0, code(version, 0x97)]
    log = device_of.gate.reload(device_of.config.replace("max_topic_length 6", "").replace("chars .", "chars +"))
    assert "refused" in log and "forbidden_topic_chars holds + or #" in log
    assert device.publish("ok/3456", "2", 1, 1) == told(version, 0x90)
    log = device_of.gate.reload(device_of.config.replace("max_topic_length 6", "retain_policy strip").replace(
        "chars .", "chars é").replace("min_wildcard_levels 1", "").replace("max_subscriptions 1", "max_subscriptions 3"))
    assert "in force" in log
    assert device.publish("ok/3456", "3", 1, 1, retain=True) == 0
    assert device.publish("a.b", "4", 1, 1) == 0
    assert device.publish("a/é", "5", 1, 1) == told(version, 0x90)
    assert device.subscribe("#", "b", "c") == [0, 0, code(version, 0x97)]
    assert [(one.payload, one.retain) for one in backend.wait_connection().of_kind(mqtt.PUBLISH)] == [(b"3", False), (b"4", False)]
    assert backend.count() == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_listeners_have_rules_of_their_own(gate_of, backend, device_of, port, version):
    """In front of the listeners: the default for all; below one: its own."""
    other = free_port()
    gate_of("backend 127.0.0.1:%d\nmax_topic_levels 2\nwildcard_subscriptions false\nlistener %d 127.0.0.1\n"
            "listener %d 127.0.0.1\nmax_topic_levels 0\nwildcard_subscriptions true\n" % (backend.port, port, other))
    strict, free = device_of(port, version=version), device_of(other, version=version)
    strict.connect("strict")
    free.connect("free")
    assert strict.publish("a/b/c", "x", 1) == told(version, 0x90) and free.publish("a/b/c", "x", 1) == 0
    assert strict.subscribe("a/+") == [code(version, 0xA2)] and free.subscribe("a/+/c/d") == [0]
    backend.wait_connection(1).wait_packet(mqtt.PUBLISH)
    assert backend.wait_connection(0).of_kind(mqtt.PUBLISH) == []


@pytest.mark.parametrize("line", ["retain_policy drop", "max_topic_length 65536", "min_wildcard_levels -1", "forbidden_topic_chars #",
                                  "no_local yes", "max_subscriptions 1k"])
def test_bad_values(gate_of, backend, port, line):
    """One sentence with file and line, and no start."""
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n%s\n" % (backend.port, port, line), is_started=False)
    gate.start(is_ready_awaited=False)
    assert gate.wait_end() != 0
    assert re.search(r"drawbridge\.conf:3: %s" % line.split()[0], gate.log())
