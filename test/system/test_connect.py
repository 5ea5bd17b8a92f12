"""What a CONNECT may say, what the broker sees of it, and what the CONNACK promises."""
import socket
import time

import pytest

from peers import packets as mqtt
from peers.backend import WAIT_S
from peers.device import tls_context
from peers.ports import free_port

VERSIONS = [3, 4, 5]
WILDCARDS, SUBSCRIPTION_IDS, SHARED = 0x28, 0x29, 0x2A
PROBLEM_INFORMATION, RESPONSE_INFORMATION = 0x17, 0x19


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of, tmp_path):
    """start(lines of the listener, lines in front of it, acl): a gate; returns a maker of plain devices."""

    def begin(extra="", front="", acl=None, **options):
        metrics = free_port()
        if acl is not None:
            (tmp_path / "acl").write_text(acl)
            front += "acl_file %s\n" % (tmp_path / "acl")
        config = "backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nallow_anonymous true\n%slistener %d 127.0.0.1\n%s\n" % (
            backend.port, metrics, front, port, extra)

        def make(version=4, client_id="dev", is_connected=True, **fields):
            device = device_of(port, version=version)
            if is_connected:
                device.answer = device.connect(client_id, **fields)
            return device

        make.gate, make.config, make.metrics = gate_of(config, **options), config, metrics
        return make

    return begin


def metric(device_of, name):
    with socket.create_connection(("127.0.0.1", device_of.metrics), WAIT_S) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    for line in answer.decode().splitlines():
        if line.startswith("drawbridge_%s " % name):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError("no metric " + name)


def wait_metric(device_of, name, wanted):
    """A peer may see its bytes before the worker has counted them."""
    end = time.monotonic() + WAIT_S
    while metric(device_of, name) != wanted:
        assert time.monotonic() < end, "%s is %s" % (name, metric(device_of, name))
        time.sleep(0.02)


def code_of(version, reason):
    """The CONNACK code of a version 5 reason."""
    return reason if version == 5 else {0x84: 1, 0x85: 2, 0x87: 5}.get(reason, 3)


def refused(device_of, version, reason, words=None, **fields):
    """A CONNECT that is answered with that reason and nothing else; version 5 hears `words` too."""
    device = device_of(version, is_connected=False)
    device.send(mqtt.connect(version, **fields))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == [(mqtt.CONNACK, code_of(version, reason))]
    if version == 5 and words is not None:
        assert answers[0].prop(mqtt.REASON_STRING) == words


def broker_connect(backend, index=0):
    return backend.wait_connection(index).wait_packet(mqtt.CONNECT)


# ---- which client ids come in ----

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client_id", ["a/b", "a+", "#", "a\x01", "\x7f", "a\u0085"])
def test_unsafe_chars(start, backend, version, client_id):
    device_of = start()
    refused(device_of, version, 0x85, "its client id holds + # / or a control character, against allow_unsafe_clientid_chars",
            client_id=client_id)
    assert backend.count() == 0
    wait_metric(device_of, "clientid_chars_refused_total", 1)
    device_of.gate.wait_log("allow_unsafe_clientid_chars")
    assert device_of(version, "fine - $ä").ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_unsafe_chars_allowed(start, backend, version):
    device_of = start("allow_unsafe_clientid_chars true")
    assert device_of(version, "a/b+#").ping()
    assert broker_connect(backend).client_id == "a/b+#"


@pytest.mark.parametrize("version", VERSIONS)
def test_max_clientid_length(start, backend, version):
    """Bytes, not characters; what Drawbridge makes itself is not too long."""
    device_of = start("max_clientid_length 8")
    assert device_of(version, "12345678").ping()
    refused(device_of, version, 0x85, "its client id is longer than max_clientid_length", client_id="123456789")
    refused(device_of, version, 0x85, client_id="ääääa")
    wait_metric(device_of, "clientid_length_refused_total", 2)
    if version != 3:
        assert device_of(version, "").ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_clientid_patterns(start, backend, version):
    """The first line that matches decides; with an allow line, no match is a refusal."""
    device_of = start("clientid_deny dev-?\nclientid_allow dev-*\nclientid_deny *-x\nclientid_allow ?\n")
    for good in ("dev-12", "dev-12-x", "ä"):
        assert device_of(version, good).ping()
    for bad, words in (("dev-1", "its client id is refused by clientid_deny"), ("other-x", "its client id is refused by clientid_deny"),
                       ("other", "its client id is in no clientid_allow"), ("Dev-12", "its client id is in no clientid_allow")):
        refused(device_of, version, 0x87, words, client_id=bad)
    wait_metric(device_of, "clientid_pattern_refused_total", 4)
    device_of.gate.wait_log(r"refused by clientid_deny \(.*drawbridge.conf:5\)")
    assert backend.count() == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_clientid_deny_alone(start, version):
    device_of = start("clientid_deny bad*")
    refused(device_of, version, 0x87, client_id="bad")
    assert device_of(version, "good").ping()


@pytest.mark.parametrize("version", [4, 5])
def test_clientid_rules_and_made_ids(start, version):
    """A client id that was made is judged like any other."""
    device_of = start("clientid_allow dev*")
    refused(device_of, version, 0x87, client_id="")


@pytest.mark.parametrize("version", [4, 5])
def test_clientid_rules_live(start, version):
    """A reload rules the next CONNECT; who is in stays."""
    device_of = start("clientid_allow dev*")
    old = device_of(version, "dev")
    device_of.gate.reload(device_of.config.replace("clientid_allow dev*", "clientid_deny dev*"))
    refused(device_of, version, 0x87, client_id="dev")
    assert old.ping() and device_of(version, "other").ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_wills_deny(start, backend, version):
    device_of = start("wills deny")
    refused(device_of, version, 0x87, "it has a will, against wills deny", will={"topic": "t", "payload": "x"})
    wait_metric(device_of, "will_refused_total", 1)
    assert backend.count() == 0 and device_of(version).ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_wills_allow(start, backend, version):
    """For all listeners no will, for this one it may be."""
    device_of = start("wills allow", front="wills deny\n")
    assert device_of(version, will={"topic": "t", "payload": "x", "qos": 1}).ping()
    assert broker_connect(backend).will["topic"] == "t"


@pytest.mark.parametrize("version", [4, 5])
def test_refusals_are_counted_by_reason(start, version):
    device_of = start("accept_protocol_versions %d\nmax_qos 0" % version,
                      front="allow_zero_length_clientid false\nmax_keepalive 10\nclientid_prefixes d\n")
    other = 9 - version
    refused(device_of, other, 0x84, "its version is not in accept_protocol_versions")
    refused(device_of, version, 0x85, "it has no client id", client_id="", keep_alive=1)
    refused(device_of, version, 0x87, "its client id does not begin with clientid_prefixes", client_id="x", keep_alive=1)
    refused(device_of, version, 0x9B if version == 5 else 0x87, will={"topic": "t", "payload": "x", "qos": 1}, keep_alive=1)
    names = ["protocol_version", "clientid_missing", "clientid_prefix", "will"]
    if version == 4:
        refused(device_of, version, 0x85, keep_alive=11)
        names.append("keepalive")
    for name in names:
        wait_metric(device_of, name + "_refused_total", 1)
    wait_metric(device_of, "connects_refused_total", len(names))


# ---- what the broker sees ----

@pytest.mark.parametrize("version", VERSIONS)
def test_backend_credentials(start, backend, version):
    device_of = start("backend_username proxy\nbackend_password secret word")
    assert device_of(version, username="ann", password="own").ping()
    connect = broker_connect(backend)
    assert connect.raw == mqtt.connect(version, username="proxy", password="secret word")
    assert device_of(version).ping()
    assert broker_connect(backend, 1).raw == connect.raw, "for a device without a name as well"
    device_of.gate.wait_log("u'ann'")
    assert "proxy" not in device_of.gate.log() and "secret" not in device_of.gate.log()


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_username_alone(start, backend, version):
    """The device's password belongs to its own name."""
    device_of = start("backend_username proxy")
    device_of(version, username="ann", password="own")
    connect = broker_connect(backend)
    assert (connect.username, connect.password) == ("proxy", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_password_alone(start, backend, version):
    device_of = start("backend_password secret")
    device_of(version, username="ann", password="own")
    connect = broker_connect(backend)
    assert (connect.username, connect.password) == ("ann", b"secret")
    device_of(version)
    connect = broker_connect(backend, 1)
    assert (connect.username, connect.password) == (None, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_credentials_and_rules(start, backend, version):
    """Rules mean the device's own name, whatever the broker is told."""
    device_of = start("backend_username proxy\nbackend_clientid_prefix site-", acl="user ann\npattern write %u/%c\nuser proxy\ntopic write no\n")
    device = device_of(version, "dev", username="ann")
    connection = backend.wait_connection()
    device.send(mqtt.publish(version, "no", "x") + mqtt.publish(version, "proxy/site-dev", "x") + mqtt.publish(version, "ann/dev", "x"))
    assert connection.wait_packet(mqtt.PUBLISH).topic == "ann/dev"
    assert len(connection.of_kind(mqtt.PUBLISH)) == 1


@pytest.mark.parametrize("version", [4, 5])
def test_backend_files(start, backend, tmp_path, version):
    """Read at the start and at each reload; a bad one keeps what was in force."""
    (tmp_path / "name").write_text("proxy\n")
    (tmp_path / "pw").write_bytes(b"secret\n")
    device_of = start("backend_username @%s\nbackend_password @%s" % (tmp_path / "name", tmp_path / "pw"))
    device_of(version, username="ann")
    connect = broker_connect(backend)
    assert (connect.username, connect.password) == ("proxy", b"secret")
    (tmp_path / "pw").write_bytes(b"other\r\n")
    device_of.gate.reload()
    device_of(version)
    assert broker_connect(backend, 1).password == b"other"
    for number, (content, words) in enumerate(((b"", "is empty"), (b"\n", "is empty"), (b"x" * 65536, "is longer than 65535 bytes"))):
        (tmp_path / "pw").write_bytes(content)
        log = device_of.gate.reload()
        assert "drawbridge.conf:6: %s %s" % (tmp_path / "pw", words) in log, log
        device_of(version)
        assert broker_connect(backend, 2 + number).password == b"other"
    (tmp_path / "pw").unlink()
    assert "cannot be opened" in device_of.gate.reload()


@pytest.mark.parametrize("content,words", [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "is no text in UTF-8"),
                                           (b"a\nb\n", "has more than one line"), (None, "cannot be opened")])
def test_backend_username_file_is_looked_at(gate_of, backend, port, tmp_path, content, words):
    if content is not None:
        (tmp_path / "name").write_bytes(content)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\nallow_anonymous true\nbackend_username @%s\n" %
                   (backend.port, port, tmp_path / "name"), is_started=False)
    gate.start(is_ready_awaited=False)
    assert gate.wait_end() != 0
    assert "drawbridge.conf:4: %s %s" % (tmp_path / "name", words) in gate.log()


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_clientid_prefix(start, backend, version):
    device_of = start("backend_clientid_prefix site/1/", front="max_packet_size 0\n")
    device = device_of(version, "dev")
    assert broker_connect(backend).raw == mqtt.connect(version, "site/1/dev")
    assert version != 5 or device.answer.props == []
    device_of.gate.wait_log("as dev ")


def test_backend_clientid_prefix_is_not_told(start, backend):
    """A broker that repeats the client id to the device must not confuse it."""
    backend.connack_props = [(mqtt.ASSIGNED_ID, "site-dev"), (mqtt.RECEIVE_MAXIMUM, 9)]
    device_of = start("backend_clientid_prefix site-", front="max_packet_size 0\n")
    assert device_of(5, "dev").answer.props == [(mqtt.RECEIVE_MAXIMUM, 9)]


@pytest.mark.parametrize("version", [4, 5])
def test_backend_clientid_prefix_and_empty_client_id(start, backend, version):
    device_of = start("backend_clientid_prefix site-")
    device = device_of(version, "")
    seen = broker_connect(backend).client_id
    assert seen.startswith("site-auto-")
    assert version == 4 or device.answer.prop(mqtt.ASSIGNED_ID) == seen[len("site-"):]


@pytest.mark.parametrize("version", [4, 5])
def test_username_as_clientid_is_told(start, backend, version):
    """A device without a client id hears which one it has (MQTT 5.0 3.2.2-16)."""
    device_of = start("use_username_as_clientid true")
    device = device_of(version, "", username="ann")
    assert broker_connect(backend).client_id == "ann"
    assert version == 4 or device.answer.prop(mqtt.ASSIGNED_ID) == "ann"
    assert version == 4 or device_of(5, "dev", username="ann").answer.prop(mqtt.ASSIGNED_ID) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_identity_of_a_certificate(gate_of, backend, certs, port, device_of, version):
    """The name comes out of the certificate, a password for all out of the configuration, and one prefix."""
    gate_of("backend 127.0.0.1:%d\nbackend_password shared\nlistener %d\n%scafile %s\nrequire_certificate true\n"
            "use_identity_as_username true\nbackend_clientid_prefix tls-\n" % (backend.port, port, certs.tls, certs.device_ca.crt))
    device = device_of(port, tls_context(certs.cafile, *certs.alice), version)
    device.connect("dev", username="root", password="toor", will={"topic": "w", "payload": "x"})
    assert device.ping()
    assert broker_connect(backend).raw == mqtt.connect(version, "tls-dev", username="alice", password="shared", will={"topic": "w", "payload": "x"})


def test_two_listeners_share_a_broker(gate_of, broker, port, device_of):
    """The same client id on both: neither takes over the other's session."""
    other = free_port()
    gate_of("backend 127.0.0.1:%d\nallow_anonymous true\nlistener %d 127.0.0.1\nbackend_clientid_prefix one-\n"
            "listener %d 127.0.0.1\nbackend_clientid_prefix two-\n" % (broker.port, port, other))
    devices = [device_of(place, version=version) for place, version in ((port, 5), (other, 4))]
    for device in devices:
        device.connect("dev")
    assert all(device.ping() for device in devices)


def test_auth_passes_a_rewritten_session(start, backend):
    """Enhanced authentication goes through untouched, whatever else is put into the CONNECT."""
    method = [(mqtt.AUTH_METHOD, "SCRAM")]
    first = mqtt.auth(0x18, method + [(mqtt.AUTH_DATA, b"\x00challenge\xff"), (mqtt.USER_PROPERTY, ("k", "v"))])
    response = mqtt.auth(0x18, method + [(mqtt.AUTH_DATA, b"\xff" * 2000), (mqtt.USER_PROPERTY, ("k", "w"))])

    def script(connection, raw):
        if raw[0] >> 4 == mqtt.CONNECT:
            return first
        return mqtt.connack(5, props=method + [(mqtt.AUTH_DATA, b"done")]) if raw == response else b""

    backend.script = script
    device_of = start("backend_clientid_prefix p-\nbackend_username proxy\nmax_qos 1")
    device = device_of(5, is_connected=False)
    device.send(mqtt.connect(5, props=method + [(mqtt.AUTH_DATA, b"hello")]))
    assert device.expect(mqtt.AUTH).raw == first
    device.send(response)
    answer = device.expect(mqtt.CONNACK)
    assert answer.prop(mqtt.AUTH_METHOD) == "SCRAM" and answer.prop(mqtt.AUTH_DATA) == b"done" and answer.prop(mqtt.MAXIMUM_QOS) == 1
    assert broker_connect(backend).props == method + [(mqtt.AUTH_DATA, b"hello")]
    assert backend.wait_connection().behind_connect() == response


# ---- what the CONNACK promises ----

@pytest.mark.parametrize("prop,broker_value,line,told", [
    (mqtt.RECEIVE_MAXIMUM, 20, "receive_maximum 5", 5),
    (mqtt.RECEIVE_MAXIMUM, 5, "receive_maximum 20", 5),
    (mqtt.RECEIVE_MAXIMUM, None, "receive_maximum 5", 5),
    (mqtt.RECEIVE_MAXIMUM, 7, "receive_maximum 0", 7),
    (mqtt.RECEIVE_MAXIMUM, None, "", None),
    (mqtt.MAXIMUM_QOS, None, "max_qos 1", 1),
    (mqtt.MAXIMUM_QOS, 0, "max_qos 1", 0),
    (mqtt.RETAIN_AVAILABLE, 0, "", 0),
    (mqtt.MAXIMUM_PACKET_SIZE, 100, "", 100),
    (mqtt.MAXIMUM_PACKET_SIZE, None, "", 2000000),
    (mqtt.ALIAS_MAXIMUM, 20, "max_topic_alias 3", 3),
    (mqtt.ALIAS_MAXIMUM, 2, "max_topic_alias 3", 2),
    (mqtt.SERVER_KEEP_ALIVE, 7, "", 7),
    (WILDCARDS, 0, "", 0),
    (SUBSCRIPTION_IDS, 0, "", 0),
    (SHARED, 0, "", 0),
])
def test_promises(start, backend, prop, broker_value, line, told):
    if broker_value is not None:
        backend.connack_props = [(prop, broker_value)]
    device_of = start(line)
    assert device_of(5).answer.prop(prop) == told


@pytest.mark.parametrize("version", [3, 4])
def test_no_promises_before_5(start, version):
    device_of = start("receive_maximum 1\nmax_qos 1")
    assert device_of(version).answer.raw == mqtt.connack(version)


# ---- Receive Maximum ----

def keep_publishes(connection, raw):
    return b"" if raw[0] >> 4 == mqtt.PUBLISH else None


@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum_exceeded(start, backend, qos):
    backend.script = keep_publishes
    device_of = start("receive_maximum 3")
    device = device_of(5)
    connection = backend.wait_connection()
    for number in range(1, 4):
        device.send(mqtt.publish(5, "t", "x", qos, number))
    device.send(mqtt.publish(5, "t", "x"))
    connection.wait_packet(mqtt.PUBLISH, 4)
    device.send(mqtt.publish(5, "t", "too much", qos, 4))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == [(mqtt.DISCONNECT, 0x93)]
    assert answers[0].prop(mqtt.REASON_STRING) == "more messages are unacknowledged than allowed"
    connection.wait_closed()
    assert len(connection.of_kind(mqtt.PUBLISH)) == 4
    device_of.gate.wait_log("more messages are unacknowledged than allowed")


@pytest.mark.parametrize("version", [3, 4])
def test_receive_maximum_before_5(start, backend, version):
    """There is no such limit."""
    backend.script = keep_publishes
    device_of = start("receive_maximum 1")
    device = device_of(version)
    device.send(b"".join(mqtt.publish(version, "t", "x", 1, number) for number in range(1, 50)))
    backend.wait_connection().wait_packet(mqtt.PUBLISH, 49)
    assert device.ping()


@pytest.mark.parametrize("qos", [1, 2])
def test_receive_maximum_is_freed(start, backend, qos):
    """Hundreds pass, three at a time; those that are refused here too."""
    device_of = start("receive_maximum 3", acl="topic write ok\n")
    device = device_of(5)
    for number in range(1, 200):
        topic = "ok" if number % 3 else "forbidden"
        assert device.publish(topic, "x", qos, number) == (0 if number % 3 else 0x87)
    assert device.ping()


def test_receive_maximum_after_a_reconnect(start, backend):
    """DUP retransmissions take one place each; a PUBREL of an old exchange takes none and gives none."""
    backend.script = keep_publishes
    device_of = start("receive_maximum 2")
    device = device_of(5, clean=False)
    connection = backend.wait_connection()
    device.send(mqtt.ack(mqtt.PUBREL, 5, 9))
    assert device.expect(mqtt.PUBCOMP).packet_id == 9
    device.send(mqtt.publish(5, "t", "x", 1, 1, dup=True) + mqtt.publish(5, "t", "x", 2, 2, dup=True) + mqtt.publish(5, "t", "x", 1, 1, dup=True))
    connection.wait_packet(mqtt.PUBLISH, 3)
    device.send(mqtt.publish(5, "t", "x", 1, 3))
    assert [one.reason for one in device.read_to_end()] == [0x93]


def test_receive_maximum_keeps_its_promise_at_a_reload(start, backend):
    backend.script = keep_publishes
    device_of = start("receive_maximum 3")
    device = device_of(5)
    device_of.gate.reload(device_of.config.replace("receive_maximum 3", "receive_maximum 1"))
    device.send(b"".join(mqtt.publish(5, "t", "x", 1, number) for number in (1, 2, 3)))
    backend.wait_connection().wait_packet(mqtt.PUBLISH, 3)
    assert device.ping()
    assert device_of(5).answer.prop(mqtt.RECEIVE_MAXIMUM) == 1


def test_receive_maximum_of_the_device(start, backend):
    """The broker is told of it, and is not held to it: brokers in use miscount it."""
    device_of = start()
    device = device_of(5, props=[(mqtt.RECEIVE_MAXIMUM, 2)])
    connection = backend.wait_connection()
    sent = [mqtt.publish(5, "t", "x", qos, number) for qos, number in ((1, 1), (2, 2))]
    sent.append(mqtt.publish(5, "t", "too much", 1, 3))
    connection.send(b"".join(sent))
    assert [device.expect(mqtt.PUBLISH).raw for _ in sent] == sent
    assert connection.of_kind(mqtt.CONNECT)[0].prop(mqtt.RECEIVE_MAXIMUM) == 2


def test_enforce_receive_maximum(start, backend):
    """A broker that sends more than the device allows breaks the protocol; nothing of it reaches the device."""
    device_of = start("enforce_receive_maximum true")
    device = device_of(5, props=[(mqtt.RECEIVE_MAXIMUM, 2)])
    connection = backend.wait_connection()
    sent = [mqtt.publish(5, "t", "x", qos, number) for qos, number in ((1, 1), (2, 2))]
    connection.send(b"".join(sent) + mqtt.publish(5, "t", "too much", 1, 3))
    answers = device.read_to_end()
    assert [one.raw for one in answers[:2]] == sent
    assert [(one.kind, one.reason) for one in answers[2:]] == [(mqtt.DISCONNECT, 0x80)]
    device_of.gate.wait_log("the broker broke the protocol: more messages are unacknowledged than allowed")


@pytest.mark.parametrize("version", [3, 4])
def test_enforce_receive_maximum_is_of_mqtt_5(start, backend, version):
    device_of = start("enforce_receive_maximum true")
    device = device_of(version)
    connection = backend.wait_connection()
    for number in range(1, 100):
        connection.send(mqtt.publish(version, "t", "x", 1, number))
    for number in range(1, 100):
        assert device.expect(mqtt.PUBLISH).packet_id == number


@pytest.mark.parametrize("setting", ["", "enforce_receive_maximum true"])
def test_receive_maximum_of_the_device_is_freed(start, backend, setting):
    device_of = start(setting)
    device = device_of(5, props=[(mqtt.RECEIVE_MAXIMUM, 1)])
    connection = backend.wait_connection()
    for number in range(1, 30):
        connection.send(mqtt.publish(5, "t", "x", 1 + number % 2, number))
        assert device.expect(mqtt.PUBLISH).packet_id == number
        if number % 2:
            device.send(mqtt.ack(mqtt.PUBREC, 5, number))
            assert device.expect(mqtt.PUBREL).packet_id == number
            device.send(mqtt.ack(mqtt.PUBCOMP, 5, number))
            connection.wait_packet(mqtt.PUBCOMP, (number + 1) // 2)
        else:
            device.send(mqtt.ack(mqtt.PUBACK, 5, number))
            connection.wait_packet(mqtt.PUBACK, number // 2)
    assert device.ping()


# ---- the device's wishes ----

@pytest.mark.parametrize("qos", [0, 1, 2])
def test_delivery_larger_than_the_device_allows(start, backend, qos):
    """MQTT 5.0 3.1.2-24, 3.1.2-25: left out, and answered in the device's place."""
    device_of = start()
    device = device_of(5, props=[(mqtt.MAXIMUM_PACKET_SIZE, 100)])
    connection = backend.wait_connection()
    fits = mqtt.publish(5, "t", b"x" * (100 - len(mqtt.publish(5, "t", b"", qos, 1))), qos, 1)
    assert len(fits) == 100
    connection.send(mqtt.publish(5, "t", b"x" * 100000, qos, 2) + fits)
    assert device.expect(mqtt.PUBLISH).raw == fits
    if qos == 1:
        assert connection.wait_packet(mqtt.PUBACK).packet_id == 2
    if qos == 2:
        assert connection.wait_packet(mqtt.PUBREC).packet_id == 2
        assert connection.wait_packet(mqtt.PUBCOMP).packet_id == 2
    assert device.ping()
    wait_metric(device_of, "delivery_too_large_total", 1)


@pytest.mark.parametrize("props,is_told", [([], True), ([(PROBLEM_INFORMATION, 1)], True), ([(PROBLEM_INFORMATION, 0)], False),
                                           ([(mqtt.MAXIMUM_PACKET_SIZE, 20)], False)])
def test_reason_strings(start, backend, props, is_told):
    """In the CONNACK of a refusal and in a DISCONNECT."""
    device_of = start("clientid_deny bad\nmax_qos 1")
    device = device_of(5, is_connected=False)
    device.send(mqtt.connect(5, "bad", props=props))
    words = "its client id is refused by clientid_deny" if is_told else None
    assert [(one.reason, one.prop(mqtt.REASON_STRING)) for one in device.read_to_end()] == [(0x87, words)]
    device = device_of(5, props=props)
    device.send(mqtt.publish(5, "t", "x", 2, 1))
    words = "the QoS is above the maximum of the broker" if is_told else None
    assert [(one.reason, one.prop(mqtt.REASON_STRING)) for one in device.read_to_end()] == [(0x9B, words)]


def test_response_information_passes(start, backend):
    """What the device asks of the broker, and what the broker answers, is theirs."""
    backend.connack_props = [(0x1A, "responses/dev"), (mqtt.USER_PROPERTY, ("k", "v"))]
    device_of = start("receive_maximum 5\nbackend_clientid_prefix p-")
    asked = [(RESPONSE_INFORMATION, 1), (PROBLEM_INFORMATION, 0)]
    device = device_of(5, props=asked)
    assert broker_connect(backend).props == asked
    assert device.answer.prop(0x1A) == "responses/dev" and device.answer.prop(mqtt.USER_PROPERTY) == ("k", "v")
