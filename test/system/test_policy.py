"""Who may come in and do what: password_file, acl_file, identities, limits. Mostly in front of a recording backend,
where every byte that the broker gets is seen."""
import subprocess

import pytest

from peers import packets as mqtt
from peers.device import tls_context
from peers.ports import free_port

VERSIONS = [3, 4, 5]

ACL = """# What devices without a username may do.
topic read public/#
user alice
topic write up/alice
topic read down/#
topic deny down/secret/#
topic readwrite both/alice
user bob
topic write up/bob
pattern readwrite dev/%c/#
pattern read users/%u/+
"""


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of, tmp_path):
    """start(extra lines, acl=..., users={...}): a gate; returns a maker of plain devices."""

    def begin(extra="", acl=None, users=None, log="", **options):
        config = "backend 127.0.0.1:%d\n%slistener %d 127.0.0.1\n%s\n" % (backend.port, log, port, extra)
        if acl is not None:
            (tmp_path / "acl").write_text(acl)
            config += "acl_file %s\n" % (tmp_path / "acl")
        if users is not None:
            (tmp_path / "passwords").touch(mode=0o600)
            for name, password in users.items():
                subprocess.run(["mosquitto_passwd", "-b", tmp_path / "passwords", name, password], check=True, timeout=30)
            config += "password_file %s\n" % (tmp_path / "passwords")
        gate = gate_of(config, **options)

        def make(version=4, client_id="dev", is_connected=True, **fields):
            device = device_of(port, version=version)
            if is_connected:
                device.answer = device.connect(client_id, **fields)
            return device

        make.gate, make.config = gate, config
        return make

    return begin


def refusal(version, reason):
    """The CONNACK code of a version 5 reason."""
    return reason if version == 5 else {0x84: 1, 0x85: 2, 0x86: 4, 0x87: 5, 0x8C: 5}.get(reason, 3)


def refused(start_device, version, reason, **fields):
    """A CONNECT that is answered with that reason and nothing else."""
    device = start_device(version, is_connected=False)
    device.send(mqtt.connect(version, **fields))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == [(mqtt.CONNACK, refusal(version, reason))]


# ---- who may come in ----

@pytest.mark.parametrize("version", VERSIONS)
def test_passwords(start, backend, version):
    device_of = start("allow_anonymous false", users={"alice": "secret", "bob": "other"})
    alice = device_of(version, username="alice", password="secret")
    assert alice.ping()
    for wrong in ({"username": "alice", "password": "other"}, {"username": "alice", "password": "secret\0"},
                  {"username": "alice", "password": ""}, {"username": "nobody", "password": "secret"},
                  {"username": "alice"}, {"username": "", "password": "secret"}, {"username": "Alice", "password": "secret"},
                  {}):
        if wrong.get("password") == "secret\0":
            continue  # mosquitto reads a password as a C string: the same as secret
        refused(device_of, version, 0x87, **wrong)
    assert backend.count() == 1, "the broker is dialled for those only who may come in"
    connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    assert (connect.username, connect.password) == ("alice", b"secret")


@pytest.mark.parametrize("version", VERSIONS)
def test_allow_anonymous_beside_passwords(start, backend, version):
    device_of = start("allow_anonymous true", users={"alice": "secret"})
    assert device_of(version).ping()
    refused(device_of, version, 0x87, username="nobody", password="x")
    refused(device_of, version, 0x87, username="alice", password="x")
    assert backend.count() == 1


@pytest.mark.parametrize("version", [4, 5])
def test_allow_anonymous_false_without_passwords(start, version):
    """The broker decides about names; but nobody comes in without one."""
    device_of = start("allow_anonymous false")
    refused(device_of, version, 0x87)
    assert device_of(version, username="anybody", password="x").ping()


def test_password_file_refuses_other_methods(start, backend):
    device_of = start(users={"alice": "secret"})
    refused(device_of, 5, 0x8C, props=[(mqtt.AUTH_METHOD, "SCRAM")])
    refused(device_of, 5, 0x8C, props=[(mqtt.AUTH_METHOD, "SCRAM")], username="alice", password="secret")
    assert backend.count() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_accept_protocol_versions(start, backend, version):
    device_of = start("accept_protocol_versions %s" % ",".join(str(one) for one in VERSIONS if one != version))
    refused(device_of, version, 0x84)
    assert backend.count() == 0
    assert device_of(4 if version != 4 else 5).ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_empty_client_id(start, backend, version):
    device_of = start("auto_id_prefix made-")
    if version == 3:
        refused(device_of, version, 0x85, client_id="")
        return
    device = device_of(version, client_id="")
    connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    assert connect.client_id.startswith("made-") and len(connect.client_id) == 5 + 36
    assert version == 4 or device.answer.prop(mqtt.ASSIGNED_ID) == connect.client_id
    other = device_of(version, client_id="")
    assert backend.wait_connection(1).of_kind(mqtt.CONNECT)[0].client_id != connect.client_id
    assert other.ping()
    if version == 4:
        refused(device_of, version, 0x85, client_id="", clean=False)


@pytest.mark.parametrize("version", [4, 5])
def test_old_and_narrow_keywords(gate_of, backend, device_of, port, version):
    """listener_auto_id_prefix, listener_allow_anonymous and maximum_qos concern the listener above alone, whatever is set for all."""
    other = free_port()
    gate_of("backend 127.0.0.1:%d\nallow_anonymous false\nauto_id_prefix all-\nlistener %d 127.0.0.1\nlistener_auto_id_prefix own-\n"
            "maximum_qos 1\nlistener_allow_anonymous true\nlistener %d 127.0.0.1\n" % (backend.port, port, other))
    own, general = device_of(port, version=version), device_of(other, version=version)
    own.connect("")
    general.connect("", username="ann", password="p")
    ids = [backend.wait_connection(index).of_kind(mqtt.CONNECT)[0].client_id[:4] for index in range(2)]
    assert ids == ["own-", "all-"]
    assert own.subscribe(("t", 2)) == [1] and general.subscribe(("t", 2)) == [2]
    asked = [backend.wait_connection(index).of_kind(mqtt.SUBSCRIBE)[0].filters for index in range(2)]
    assert asked == [[("t", 1)], [("t", 2)]], "and the broker is asked for no more"
    device_of(other, version=version).connect("x", code=refusal(version, 0x87))


@pytest.mark.parametrize("version", [4, 5])
def test_per_listener_settings(gate_of, backend, device_of, tmp_path, port, version):
    """Each listener has what stands below it, and nothing of what stands below another."""
    other = free_port()
    for name in ("one", "two"):
        (tmp_path / name).write_text("pattern readwrite %s\n" % name)
    gate_of("per_listener_settings true\nbackend 127.0.0.1:%d\nlistener %d 127.0.0.1\nacl_file %s\nallow_anonymous true\n"
            "allow_zero_length_clientid false\nlistener %d 127.0.0.1\nacl_file %s\nallow_anonymous false\nauto_id_prefix two-\n" %
            (backend.port, port, tmp_path / "one", other, tmp_path / "two"))
    one, two = device_of(port, version=version), device_of(other, version=version)
    one.connect("a")
    two.connect("", username="ann", password="p")
    no = 0x87 if version == 5 else 0x80
    assert one.subscribe("one", "two") == [0, no] and two.subscribe("one", "two") == [no, 0]
    assert backend.wait_connection(1).of_kind(mqtt.CONNECT)[0].client_id.startswith("two-")
    device_of(port, version=version).connect("", code=refusal(version, 0x85))
    device_of(other, version=version).connect("x", code=refusal(version, 0x87))


@pytest.mark.parametrize("version", [4, 5])
def test_allow_zero_length_clientid(start, backend, version):
    device_of = start("allow_zero_length_clientid false")
    refused(device_of, version, 0x85, client_id="")
    assert backend.count() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_clientid_prefixes(start, backend, version):
    device_of = start("clientid_prefixes good-")
    refused(device_of, version, 0x87, client_id="bad-1")
    assert device_of(version, "good-1").ping() and backend.count() == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_use_username_as_clientid(start, backend, version):
    device_of = start("use_username_as_clientid true", acl="pattern write mine/%c\n")
    refused(device_of, version, 0x87, client_id="dev")
    device = device_of(version, "stranger", username="alice", password="p")
    connection = backend.wait_connection()
    assert connection.of_kind(mqtt.CONNECT)[0].client_id == "alice"
    device.send(mqtt.publish(version, "mine/stranger", "no"))
    device.send(mqtt.publish(version, "mine/alice", "yes"))
    assert connection.wait_packet(mqtt.PUBLISH).topic == "mine/alice"


# ---- topics, from the device ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_forbidden_publish(start, backend, version, qos):
    """It is answered here, and no byte of it reaches the broker; what stands around it does, unharmed."""
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    connection = backend.wait_connection()
    forbidden = mqtt.publish(version, "up/bob", b"x" * 1000, qos, 7)
    allowed = mqtt.publish(version, "up/alice", "fine")
    device.send(allowed + forbidden + allowed)
    code = 0x87 if version == 5 else 0
    if qos == 1:
        answer = device.expect(mqtt.PUBACK)
        assert (answer.packet_id, answer.reason) == (7, code)
    elif qos == 2:
        answer = device.expect(mqtt.PUBREC)
        assert (answer.packet_id, answer.reason) == (7, code)
        if version != 5:
            device.send(mqtt.ack(mqtt.PUBREL, version, 7))
            assert device.expect(mqtt.PUBCOMP).packet_id == 7
    assert device.ping()
    assert connection.behind_connect() == allowed * 2 + mqtt.pingreq()
    assert device.publish("up/alice", "after", 2, 7) == 0, "the packet id is free again"


@pytest.mark.parametrize("version", VERSIONS)
def test_forbidden_publish_in_pieces(start, backend, version):
    """1 MiB of a forbidden payload, cut anywhere, is swallowed."""
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    packet = mqtt.publish(version, "up/bob", bytes(1 << 20), 1, 3)
    for at in range(0, len(packet), 70001):
        device.send(packet[at:at + 70001])
    assert device.expect(mqtt.PUBACK).packet_id == 3
    assert device.publish("up/alice", "x", 1, 4) == 0
    assert [one.topic for one in backend.wait_connection().of_kind(mqtt.PUBLISH)] == ["up/alice"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_deny_publish_disconnect(start, backend, version, qos):
    device_of = start("deny_publish disconnect", acl=ACL)
    device = device_of(version, username="alice", password="p")
    device.send(mqtt.publish(version, "up/bob", "x", qos, 7))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x87)] if version == 5 else [])
    connection = backend.wait_connection()
    connection.wait_closed()
    assert connection.behind_connect() == b"", "neither the PUBLISH nor a DISCONNECT, so that the will is sent"


@pytest.mark.parametrize("version", VERSIONS)
def test_subscribe_codes_are_merged_in_order(start, backend, version):
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    no = 0x87 if version == 5 else 0x80
    backend.script = lambda connection, raw: (mqtt.suback(version, 5, [2, 0x80, 1]) if raw[0] >> 4 == mqtt.SUBSCRIBE else None)
    filters = [("up/bob", 1), ("down/a", 2), ("down/secret/x", 1), ("down/b", 1), ("nothing/#", 0), ("down/c", 1), ("up/alice", 2)]
    assert device.subscribe(*filters, packet_id=5) == [no, 2, no, 0x80, no, 1, no]
    arrived = backend.wait_connection().of_kind(mqtt.SUBSCRIBE)[0]
    assert arrived.packet_id == 5 and arrived.filters == [("down/a", 2), ("down/b", 1), ("down/c", 1)]


@pytest.mark.parametrize("version", VERSIONS)
def test_subscribe_all_refused(start, backend, version):
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    no = 0x87 if version == 5 else 0x80
    assert device.subscribe("up/bob", "other/#") == [no, no]
    assert device.ping() and backend.wait_connection().behind_connect() == mqtt.pingreq()


def test_subscribe_keeps_its_properties_and_options(start, backend):
    device_of = start(acl=ACL)
    device = device_of(5, username="alice", password="p")
    device.send(mqtt.subscribe(5, 5, [("up/bob", 1), ("down/a", 0x2D)], [(mqtt.SUBSCRIPTION_ID, 7), (mqtt.USER_PROPERTY, ("k", "v"))]))
    assert device.expect(mqtt.SUBACK).codes == [0x87, 1]
    arrived = backend.wait_connection().of_kind(mqtt.SUBSCRIBE)[0]
    assert arrived.filters == [("down/a", 0x2D)] and arrived.props == [(mqtt.SUBSCRIPTION_ID, 7), (mqtt.USER_PROPERTY, ("k", "v"))]


@pytest.mark.parametrize("filter,is_allowed", [
    ("#", True), ("+/+", True), ("down/#", True), ("down/+", True), ("down/secret", False), ("down/secret/#", False),
    ("down/+/x", True), ("up/#", False), ("dev/dev/x", True), ("dev/other/x", False), ("dev/+/x", True), ("users/alice/+", True),
    ("users/alice", False), ("users/bob/x", False), ("public/x", False)])
@pytest.mark.parametrize("version", [4, 5])
def test_what_may_be_subscribed(start, version, filter, is_allowed):
    """Allowed when at least one topic that matches may be read."""
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    assert device.subscribe(filter) == [0 if is_allowed else 0x87 if version == 5 else 0x80]


@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribe_is_always_allowed(start, backend, version):
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    device.send(mqtt.unsubscribe(version, 9, ["up/bob", "down/a"]))
    assert device.expect(mqtt.UNSUBACK).packet_id == 9
    assert backend.wait_connection().of_kind(mqtt.UNSUBSCRIBE)[0].filters == ["up/bob", "down/a"]


@pytest.mark.parametrize("version", [4, 5])
def test_acl_subscribe_silent(start, backend, version):
    """As in mosquitto: the SUBSCRIBE passes, and what may not be read never arrives."""
    device_of = start("acl_subscribe silent", acl=ACL)
    device = device_of(version, username="alice", password="p")
    assert device.subscribe("up/bob", ("down/#", 1)) == [0, 1]
    connection = backend.wait_connection()
    assert connection.of_kind(mqtt.SUBSCRIBE)[0].filters == [("up/bob", 0), ("down/#", 1)]
    connection.send(mqtt.publish(version, "up/bob", "no") + mqtt.publish(version, "down/x", "yes"))
    assert device.expect(mqtt.PUBLISH).topic == "down/x"


@pytest.mark.parametrize("version", VERSIONS)
def test_anonymous_and_patterns(start, backend, version):
    device_of = start(acl=ACL)
    device = device_of(version, "me")
    no = 0x87 if version == 5 else 0x80
    assert device.subscribe("public/x", "down/x", "dev/me/in", "dev/you/in", "users/me/x") == [0, no, 0, no, no]
    device.send(mqtt.publish(version, "public/x", "no") + mqtt.publish(version, "dev/me/out", "yes"))
    assert backend.wait_connection().wait_packet(mqtt.PUBLISH).topic == "dev/me/out"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client_id", ["+", "#", "a+b", "de#v"])
def test_wildcards_in_client_ids_open_no_pattern(start, backend, client_id, version):
    device_of = start("allow_unsafe_clientid_chars true", acl="pattern readwrite dev/%c/#\n")
    device = device_of(version, client_id)
    filters = ("dev/%s/x" % client_id.translate({43: "x", 35: "x"}), "dev/victim/x", "dev/+/x")
    assert device.subscribe(*filters) == [0x87 if version == 5 else 0x80] * 3
    device.send(mqtt.publish(version, "dev/victim/x", "no"))
    assert device.ping()
    assert backend.wait_connection().of_kind(mqtt.PUBLISH) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_slashes_in_client_ids_open_no_pattern(start, backend, version):
    device_of = start("allow_unsafe_clientid_chars true", acl="pattern readwrite dev/%c\n")
    device = device_of(version, "a/b")
    device.send(mqtt.publish(version, "dev/a/b", "no"))
    assert device.ping()
    assert backend.wait_connection().of_kind(mqtt.PUBLISH) == []


# ---- topics, to the device ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_forbidden_delivery(start, backend, version, qos):
    """The broker is answered in the device's place, so that nothing of it is stuck."""
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    connection = backend.wait_connection()
    secret = mqtt.publish(version, "down/secret/plans", b"s" * 70000, qos, 11)
    fine = mqtt.publish(version, "down/news", "fine", qos, 12)
    connection.send(fine[:5])
    connection.send(fine[5:] + secret[:100])
    connection.send(secret[100:] + mqtt.publish(version, "down/end", "end"))
    assert device.expect(mqtt.PUBLISH).raw == fine
    assert device.expect(mqtt.PUBLISH).topic == "down/end"
    if qos == 1:
        answer = connection.wait_packet(mqtt.PUBACK)
        assert (answer.packet_id, answer.reason) == (11, 0)
    if qos == 2:
        # The polite backend says PUBREL to our PUBREC; the exchange must end without the device.
        assert connection.wait_packet(mqtt.PUBREC).packet_id == 11
        assert connection.wait_packet(mqtt.PUBCOMP).packet_id == 11
        device.send(mqtt.ack(mqtt.PUBREC, version, 12))
        assert device.expect(mqtt.PUBREL).packet_id == 12
        device.send(mqtt.ack(mqtt.PUBCOMP, version, 12))
        assert connection.wait_packet(mqtt.PUBCOMP, 2).packet_id == 12
    assert device.ping()


def test_delivery_filter_behind_mosquitto(gate_of, broker, subscriber_of, tmp_path, port):
    """Twice the inflight window of refused QoS 2 messages does not stop what comes behind."""
    (tmp_path / "acl").write_text("topic read policy/open\ntopic read policy/+/x\n")
    gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nacl_file %s\nallow_anonymous true\n" % (broker.port, port, tmp_path / "acl"))
    subscriber = subscriber_of(port, "-t", "policy/#", "-q", 2)
    lines = b"\n".join(b"%d" % number for number in range(100))
    for topic in ("policy/closed", "policy/open", "policy/closed/y", "policy/a/x"):
        subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", topic, "-q", "2", "-l"], input=lines, check=True, timeout=60)
    got = subscriber.wait(200)
    assert [message[0] for message in got] == ["policy/open"] * 100 + ["policy/a/x"] * 100
    assert [int(message[3]) for message in got] == list(range(100)) * 2


# ---- $SYS, $share ----

@pytest.mark.parametrize("acl", [None, "topic readwrite #\ntopic readwrite $SYS/#\n"], ids=["no acl", "acl"])
@pytest.mark.parametrize("version", VERSIONS)
def test_sys(start, backend, acl, version):
    device_of = start(acl=acl)
    device = device_of(version)
    connection = backend.wait_connection()
    assert device.publish("$SYS/broker/version", "fake", 1, 1) == (0x87 if version == 5 else 0)
    assert device.publish("$SYS/broker/connection/b/state", "1", 1, 2) == 0
    assert device.publish("$share/g/t", "x", 1, 3) == (0x87 if version == 5 else 0)
    assert [one.topic for one in connection.of_kind(mqtt.PUBLISH)] == ["$SYS/broker/connection/b/state"]
    assert device.subscribe("$SYS/#", "$share/g/t", "$share") == [0, 0, 0x87 if version == 5 else 0x80]
    connection.send(mqtt.publish(version, "$SYS/broker/uptime", "1"))
    assert device.expect(mqtt.PUBLISH).topic == "$SYS/broker/uptime"


@pytest.mark.parametrize("version", VERSIONS)
def test_share_is_judged_by_its_filter(start, backend, version):
    device_of = start(acl=ACL)
    device = device_of(version, username="alice", password="p")
    no = 0x87 if version == 5 else 0x80
    assert device.subscribe("$share/g/down/a", "$share/g/up/bob", "$share/down/secret/x") == [0, no, no]
    assert backend.wait_connection().of_kind(mqtt.SUBSCRIBE)[0].filters == [("$share/g/down/a", 0)]


@pytest.mark.parametrize("version", VERSIONS)
def test_hash_grants_no_dollar_topics(start, backend, version):
    device_of = start(acl="topic readwrite #\n")
    device = device_of(version)
    no = 0x87 if version == 5 else 0x80
    assert device.publish("$mine/x", "x", 1) == (no if version == 5 else 0)
    assert device.subscribe("$SYS/#", "$mine/#", "#") == [no, no, 0]
    assert backend.wait_connection().of_kind(mqtt.PUBLISH) == []


# ---- wills ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("topic,is_allowed", [("up/alice", True), ("up/bob", False), ("$SYS/x", False)])
def test_wills(start, backend, version, topic, is_allowed):
    """What the device may not write is taken out of its CONNECT; it comes in without."""
    device_of = start(acl=ACL)
    will = {"topic": topic, "payload": "gone", "qos": 1, "retain": True}
    if version == 5:
        will["props"] = [(0x18, 60), (mqtt.USER_PROPERTY, ("k", "v"))]
    device = device_of(version, "dev", username="alice", password="p", will=will)
    assert device.ping()
    connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    assert (connect.username, connect.password, connect.client_id, connect.keep_alive) == ("alice", b"p", "dev", 60)
    if is_allowed:
        assert connect.raw == mqtt.connect(version, "dev", username="alice", password="p", will=will)
    else:
        assert connect.raw == mqtt.connect(version, "dev", username="alice", password="p")


# ---- topic aliases ----

def alias(number):
    return [(mqtt.ALIAS, number)]


def test_aliases_are_judged_by_their_topic(start, backend):
    """First set by a denied PUBLISH, then used bare; set anew; used by the broker's side as well."""
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 10)]
    device_of = start(acl=ACL)
    device = device_of(5, username="alice", password="p")
    assert device.answer.prop(mqtt.ALIAS_MAXIMUM) == 10
    connection = backend.wait_connection()
    assert device.publish("up/bob", "1", 1, 1, props=alias(1)) == 0x87
    assert device.publish("", "2", 1, 2, props=alias(1)) == 0x87
    assert device.publish("up/alice", "3", 1, 3, props=alias(1)) == 0
    assert device.publish("", "4", 1, 4, props=alias(1)) == 0
    assert device.publish("up/bob", "5", 1, 5, props=alias(1)) == 0x87
    assert device.publish("", "6", 1, 6, props=alias(1)) == 0x87
    device.send(mqtt.pingreq())
    device.expect(mqtt.PINGRESP)
    got = connection.of_kind(mqtt.PUBLISH)
    assert [(one.topic, one.payload) for one in got] == [("up/alice", b"3"), ("", b"4")]


def test_alias_that_the_broker_does_not_know(start, backend, tmp_path):
    """Set by a denied PUBLISH; allowed after a reload: the broker gets the topic with it."""
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 10)]
    device_of = start(acl=ACL)
    device = device_of(5, username="alice", password="p")
    assert device.publish("up/bob", "1", 1, 1, props=alias(2)) == 0x87
    (tmp_path / "acl").write_text("user alice\ntopic readwrite up/#\n")
    device_of.gate.reload()
    assert device.publish("", "2", 1, 2, props=alias(2)) == 0
    assert device.publish("", "3", 1, 3, props=alias(2)) == 0
    got = backend.wait_connection().of_kind(mqtt.PUBLISH)
    assert [(one.topic, one.prop(mqtt.ALIAS), one.payload) for one in got] == [("up/bob", 2, b"2"), ("", 2, b"3")]


def test_aliases_to_the_device(start, backend):
    device_of = start(acl=ACL)
    device = device_of(5, username="alice", password="p", props=[(mqtt.ALIAS_MAXIMUM, 5)])
    connection = backend.wait_connection()
    connection.send(mqtt.publish(5, "down/secret/x", "1", props=alias(3)) + mqtt.publish(5, "", "2", props=alias(3)) +
                    mqtt.publish(5, "down/fine", "3", props=alias(3)) + mqtt.publish(5, "", "4", props=alias(3)))
    assert [(one.topic, one.payload) for one in (device.expect(mqtt.PUBLISH), device.expect(mqtt.PUBLISH))] == [
        ("down/fine", b"3"), ("", b"4")]


@pytest.mark.parametrize("number", [0, 4, 65535])
def test_alias_above_the_maximum(start, backend, number):
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 10)]
    device_of = start("max_topic_alias 3")
    device = device_of(5)
    assert device.answer.prop(mqtt.ALIAS_MAXIMUM) == 3
    device.send(mqtt.publish(5, "t", "x", props=alias(number)))
    assert [one.reason for one in device.read_to_end()] == [0x94]
    backend.wait_connection().wait_closed()
    assert backend.wait_connection().behind_connect() == b""


def test_alias_that_was_never_set(start, backend):
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 10)]
    device_of = start()
    device = device_of(5)
    device.send(mqtt.publish(5, "", "x", props=alias(1)))
    assert [one.kind for one in device.read_to_end()] == [mqtt.DISCONNECT]
    backend.wait_connection().wait_closed()
    assert backend.wait_connection().behind_connect() == b""


# ---- names out of certificates ----

@pytest.fixture
def with_certificates(gate_of, backend, certs, port, device_of):
    def begin(option):
        gate_of("backend 127.0.0.1:%d\nlistener %d\n%scafile %s\nrequire_certificate true\n%s true\n" %
                (backend.port, port, certs.tls, certs.device_ca.crt, option))

        def make(pair, version=4, **fields):
            device = device_of(port, tls_context(certs.cafile, *pair), version)
            device.connect(**fields)
            return device

        return make

    return begin


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("option,name", [("use_identity_as_username", "alice"), ("use_subject_as_username", "CN=alice,OU=plant,O=firm")])
def test_username_out_of_the_certificate(with_certificates, backend, certs, version, option, name):
    """What the device says of itself is dropped."""
    device = with_certificates(option)(certs.alice, version, username="root", password="secret")
    assert device.ping()
    connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    assert connect.username == name and connect.password is None
    assert connect.raw == mqtt.connect(version, "dev", username=name)


def test_certificate_without_common_name(with_certificates, backend, certs, port):
    pair = certs.device_ca.issue_device("nameless", "/O=firm/OU=plant")
    device_of = with_certificates("use_identity_as_username")
    with pytest.raises(AssertionError, match="code 0x04"):
        device_of(pair)
    assert backend.count() == 0


# ---- limits ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("most", [0, 1])
def test_max_qos(start, backend, version, most):
    device_of = start("max_qos %d" % most)
    device = device_of(version)
    if version == 5:
        assert device.answer.prop(mqtt.MAXIMUM_QOS) == most
    assert device.subscribe(("t", 2), ("u", 0)) == [most, 0], "lowered, not refused"
    assert backend.wait_connection().of_kind(mqtt.SUBSCRIBE)[0].filters == [("t", most), ("u", 0)]
    device.publish("t", "fine", most, 1)
    device.send(mqtt.publish(version, "t", "x", most + 1, 2))
    assert [one.reason for one in device.read_to_end()] == ([0x9B] if version == 5 else [])
    backend.wait_connection().wait_closed()
    assert len(backend.wait_connection().of_kind(mqtt.PUBLISH)) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_retain_available(start, backend, version):
    device_of = start("retain_available false")
    device = device_of(version)
    if version == 5:
        assert device.answer.prop(mqtt.RETAIN_AVAILABLE) == 0
    device.send(mqtt.publish(version, "t", "x", retain=True))
    assert [one.reason for one in device.read_to_end()] == ([0x9A] if version == 5 else [])
    backend.wait_connection().wait_closed()
    assert backend.wait_connection().of_kind(mqtt.PUBLISH) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_max_packet_size(start, backend, version):
    device_of = start("max_packet_size 1000")
    device = device_of(version)
    if version == 5:
        assert device.answer.prop(mqtt.MAXIMUM_PACKET_SIZE) == 1000
    at_limit = mqtt.publish(version, "t", b"x" * (1000 - len(mqtt.publish(version, "t", b"x" * 900)) + 900))
    assert len(at_limit) == 1000
    device.send(at_limit + mqtt.publish_head(version, "t", 1000))
    assert [one.reason for one in device.read_to_end()] == ([0x95] if version == 5 else [])
    connection = backend.wait_connection()
    connection.wait_closed()
    assert connection.behind_connect() == at_limit


@pytest.mark.parametrize("version", VERSIONS)
def test_message_size_limit_of_wills(start, backend, version):
    """A larger one is taken out of the CONNECT."""
    device_of = start("message_size_limit 100")
    for size in (100, 101):
        assert device_of(version, will={"topic": "t", "payload": b"x" * size}).ping()
    wills = [backend.wait_connection(index).of_kind(mqtt.CONNECT)[0].will for index in range(2)]
    assert wills[0]["topic"] == "t" and wills[1] is None


def test_max_packet_size_counts_connect(start, backend):
    device_of = start("max_packet_size 100")
    refused(device_of, 5, 0x95, client_id="x" * 100)
    assert backend.count() == 0
    assert device_of(5, "x" * 80).ping()


def test_maximum_of_held_packets(start, backend):
    """CONNECT, SUBSCRIBE and their like have a bound of their own, even without max_packet_size."""
    device_of = start("max_packet_size 0")
    device = device_of(5, is_connected=False)
    device.send(b"\x10" + mqtt.varint(100001) + mqtt.connect(5, "x" * 100)[2:])
    assert [one.reason for one in device.read_to_end()] == [0x95]
    device = device_of(5)
    device.send(b"\x82" + mqtt.varint(200000))
    assert [one.reason for one in device.read_to_end()] == [0x95]
    assert backend.count() == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_message_size_limit(start, backend, version):
    """Larger ones are dropped, the connection stays."""
    device_of = start("message_size_limit 100")
    device = device_of(version)
    assert device.publish("t", b"x" * 100, 1, 1) == 0
    assert device.publish("t", b"x" * 101, 1, 2) == (0x97 if version == 5 else 0)
    assert device.ping()
    assert [len(one.payload) for one in backend.wait_connection().of_kind(mqtt.PUBLISH)] == [100]


@pytest.mark.parametrize("version", VERSIONS)
def test_max_keepalive(start, backend, version):
    device_of = start("max_keepalive 30")
    if version != 5:
        refused(device_of, version, 0x85, keep_alive=31)
        refused(device_of, version, 0x85, keep_alive=0)
        assert device_of(version, keep_alive=30).ping() and backend.count() == 1
        return
    assert device_of(5, keep_alive=60).answer.prop(mqtt.SERVER_KEEP_ALIVE) == 30
    assert device_of(5, keep_alive=0).answer.prop(mqtt.SERVER_KEEP_ALIVE) == 30
    assert device_of(5, keep_alive=20).answer.prop(mqtt.SERVER_KEEP_ALIVE) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_wills_within_the_limits(start, backend, version):
    device_of = start("max_qos 1\nretain_available false")
    for will, reason in (({"topic": "t", "payload": "x", "qos": 2}, 0x9B), ({"topic": "t", "payload": "x", "retain": True}, 0x9A)):
        device = device_of(version, is_connected=False)
        device.send(mqtt.connect(version, will=will))
        answers = device.read_to_end()
        assert len(answers) == 1 and answers[0].kind == mqtt.CONNACK and answers[0].reason
        assert version != 5 or answers[0].reason == reason
    assert backend.count() == 0


def test_denials_name_the_rule(start, backend, tmp_path):
    """The debug log tells which line of which file said no."""
    device_of = start(acl=ACL, arguments=["-v"])
    device = device_of(5, username="alice", password="p")
    backend.wait_connection().send(mqtt.publish(5, "down/secret/x", "no") + mqtt.publish(5, "down/x", "yes"))
    device.expect(mqtt.PUBLISH)
    device.publish("up/bob", "x", 1)
    log = device_of.gate.log()
    assert "down/secret/x" in log and "acl:6" in log
    assert "up/bob" in log and "no rule" in log


def test_hostile_names_in_the_log(start, backend):
    """Control characters of a client id do not reach the log as they are."""
    device_of = start("allow_unsafe_clientid_chars true")
    device_of(4, "evil\r\n12345: New client\x1b[31m").close()
    backend.wait_connection().wait_closed()
    device_of.gate.wait_log("evil")
    log = device_of.gate.log()
    assert "\x1b" not in log and "\r" not in log and "\n12345" not in log
