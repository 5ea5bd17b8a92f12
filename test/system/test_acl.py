"""What an acl_file may say beyond mosquitto, live and told by `drawbridge explain`, and what the log says of refusals."""
import re

import pytest

from peers import gate as gates
from peers import packets as mqtt
from peers.counters import wait_counter
from peers.device import tls_context
from peers.ports import free_port

VERSIONS = [3, 4, 5]

ACL = """user alice
topic read news/#
topic write maxqos=1 noretain desk/#
topic write maxqos=0 desk/#
group staff
member alice "Bob B"
topic readwrite maxqos=1 staff/#
topic deny staff/shut
pattern readwrite own/%u/#
group subscribers
member carol
topic read #
topic subscribe maxqos=1 halls/+/#
topic deny halls/shut/#
"""


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of, tmp_path):
    """start(acl, extra lines): a gate; returns a maker of devices and something that asks explain."""

    def begin(acl=ACL, extra="", tls=None):
        (tmp_path / "acl").write_text(acl)
        gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nallow_anonymous true\nacl_file %s\n%s\n"
                       % (backend.port, port, tmp_path / "acl", extra))

        def make(version, username=None, client_id="dev", context=tls):
            device = device_of(port, context, version=version)
            device.connect(client_id, username=username)
            return device

        def explain(version, username, *words, client_id="dev"):
            who = () if username is None else ("--user", username)
            done = gates.run("-c", gate.path, "explain", *who, "--clientid", client_id, "--mqtt", version, *words)
            # Of the paths the names alone.
            return done.returncode, re.sub(r"\S*/(acl|drawbridge\.conf):", r"\1:", done.stdout).strip(), done.stderr

        make.gate, make.explain = gate, explain
        return make

    return begin


def refused_publish(version, qos):
    """What a device hears of a refused PUBLISH: the reason in 5.0, a plain success before."""
    return None if qos == 0 else 0x87 if version == 5 else 0


# user, topic, qos, retain, who decides: "allow acl:N" or "refuse acl:N...".
PUBLISHES = [
    ("alice", "desk/1", 1, False, "allow acl:3"),
    ("alice", "desk/1", 2, False, "refuse acl:3: its QoS is above the maxqos of the rule"),
    ("alice", "desk/1", 1, True, "refuse acl:3: it is retained, and the rule says noretain"),
    ("alice", "staff/1", 1, True, "allow acl:7"),
    ("alice", "staff/1", 2, False, "refuse acl:7: its QoS is above the maxqos of the rule"),
    ("Bob B", "staff/1", 0, False, "allow acl:7"),
    ("Bob B", "staff/shut", 1, False, "refuse acl:8"),
    ("Bob B", "own/Bob B/x", 2, False, "allow acl:9"),
    ("Bob B", "desk/1", 0, False, "refuse drawbridge.conf:4: no rule grants it"),
    ("carol", "staff/1", 0, False, "refuse drawbridge.conf:4: no rule grants it"),
    ("carol", "own/carol/x", 1, False, "refuse drawbridge.conf:4: no rule grants it"),
    (None, "staff/1", 1, False, "refuse drawbridge.conf:4: no rule grants it"),
]


@pytest.mark.parametrize("version", VERSIONS)
def test_publish(start, backend, version):
    """Groups, maxqos, noretain."""
    make = start()
    for number, (user, topic, qos, retain, expected) in enumerate(PUBLISHES):
        device = make(version, user)
        connection = backend.wait_connection(number)
        answer = device.publish(topic, b"x", qos=qos, retain=retain)
        device.ping()
        came = [packet.topic for packet in connection.of_kind(mqtt.PUBLISH)]
        is_allowed = expected.startswith("allow")
        assert came == ([topic] if is_allowed else []), (user, topic)
        if not is_allowed:
            assert answer == refused_publish(version, qos), (user, topic)
        device.close()
        words = ("publish", topic, "--qos", qos) + (("--retain",) if retain else ())
        status, said, _ = make.explain(version, user, *words)
        assert (status, said) == (0 if is_allowed else 1, expected)


# user, filter, qos, the code: 0..2 or None for refused, and explain's words.
SUBSCRIBES = [
    ("alice", "news/#", 2, 2, "allow acl:2"),
    ("alice", "staff/#", 2, 1, "allow acl:7: QoS 1 instead of 2"),
    ("alice", "staff/#", 0, 0, "allow acl:7"),
    ("alice", "staff/shut", 1, None, "refuse acl:8"),
    ("carol", "halls/1/#", 2, 1, "allow acl:13: QoS 1 instead of 2"),
    ("carol", "halls/#", 1, None, "refuse drawbridge.conf:4: no subscribe rule covers the whole of it"),
    ("carol", "news/1", 1, None, "refuse drawbridge.conf:4: no subscribe rule covers the whole of it"),
    ("carol", "halls/shut/+", 1, None, "refuse acl:14"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("silent", ["refuse", "silent"])
def test_subscribe(start, backend, version, silent):
    """`subscribe` rules alone judge where there is one, with acl_subscribe silent as well; maxqos lowers."""
    make = start(extra="acl_subscribe " + silent)
    for number, (user, text, qos, code, expected) in enumerate(SUBSCRIBES):
        device = make(version, user)
        connection = backend.wait_connection(number)
        device.send(mqtt.subscribe(version, 1, [(text, qos)]))
        is_silent = silent == "silent" and code is None and user != "carol"
        if code is None and not is_silent:
            assert device.expect(mqtt.SUBACK).codes == [0x87 if version == 5 else 0x80]
            device.ping()
            assert connection.of_kind(mqtt.SUBSCRIBE) == []
        else:
            packet = connection.wait_packet(mqtt.SUBSCRIBE)
            assert [(one, options & 3) for one, options in packet.filters] == [(text, qos if is_silent else code)]
        device.close()
        status, said, _ = make.explain(version, user, "subscribe", text, "--qos", qos)
        if is_silent:
            assert (status, said) == (0, "allow drawbridge.conf:5: acl_subscribe silent lets it pass, nothing will arrive")
        else:
            assert (status, said) == (1 if code is None else 0, expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_will(start, backend, port, device_of, version):
    """A will is held to maxqos and noretain of its rule when the device connects."""
    make = start()
    for number, (qos, retain, is_allowed) in enumerate([(1, False, True), (2, False, False), (1, True, False)]):
        will = {"topic": "desk/w", "payload": "x", "qos": qos, "retain": retain}
        device_of(port, version=version).connect("dev", username="alice", will=will)
        connect = backend.wait_connection(number).of_kind(mqtt.CONNECT)[0]
        assert (connect.will is not None) == is_allowed
        words = ("connect", "desk/w", "--qos", qos) + (("--retain",) if retain else ())
        assert make.explain(version, "alice", *words)[0] == (0 if is_allowed else 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_counted(start, device_of, port, version):
    """What maxqos and noretain refuse or lower, apart from all other refusals."""
    metrics = free_port()
    make = start(extra="metrics_listener 127.0.0.1:%d" % metrics)
    device = make(version, "alice")
    for qos, retain in [(2, False), (2, True), (1, True), (1, False)]:  # of both the QoS is named
        device.publish("desk/1", b"x", qos=qos, retain=retain)
    device.publish("staff/shut", b"x", qos=2)
    for number, (text, qos) in enumerate([("staff/#", 2), ("staff/+", 1), ("news/#", 2), ("staff/shut", 2)], 1):
        device.send(mqtt.subscribe(version, number, [(text, qos)]))
        device.expect(mqtt.SUBACK)
    for qos, retain in [(2, False), (1, True), (1, True)]:
        will = {"topic": "desk/w", "payload": "x", "qos": qos, "retain": retain}
        device_of(port, version=version).connect("will", username="alice", will=will)
    wanted = {"publish_refused": 7, "subscribe_refused": 1, "acl_maxqos_refused": 3, "acl_noretain_refused": 3,
              "acl_maxqos_lowered": 1}
    for name, count in wanted.items():
        wait_counter(metrics, name + "_total", count)


FACTS = """pattern readwrite cn/%{cn}/#
pattern readwrite san/%{san}
pattern readwrite ou/%{ou}/%c
pattern deny cn/%{cn}/shut
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_certificate_facts(start, backend, certs, version):
    subject = "/O=firm/OU=plant/OU=hall/CN=pump"
    crt, key = certs.device_ca.issue_device("pump-%d" % version, subject,
                                            san="DNS:one.example,URI:urn:pump,email:p@firm.example,IP:192.0.2.1")
    context = tls_context(certs.cafile, crt, key)
    make = start(FACTS, certs.tls + "cafile %s\nrequire_certificate true" % certs.device_ca.crt, context)
    device = make(version)
    connection = backend.wait_connection()
    allowed = {"cn/pump/1": 1, "san/one.example": 2, "san/urn:pump": 2, "san/p@firm.example": 2, "ou/plant/dev": 3, "ou/hall/dev": 3}
    refused = {"cn/pumps/1": 0, "cn/pump/shut": 4, "san/192.0.2.1": 0, "san/two.example": 0, "ou/plant/other": 0, "cn//1": 0}
    for topic in [*allowed, *refused]:
        device.publish(topic, b"x")
    device.ping()
    assert [packet.topic for packet in connection.of_kind(mqtt.PUBLISH)] == list(allowed)
    for topic, line in [*allowed.items(), *refused.items()]:
        status, said, _ = make.explain(version, None, "publish", topic, "--cert", crt)
        assert status == (0 if topic in allowed else 1)
        assert line == 0 or said == "%s acl:%d" % ("allow" if status == 0 else "refuse", line)
    # Without a certificate, and with one that the handshake would refuse.
    status, said, _ = make.explain(version, None, "publish", "cn/pump/1")
    assert status == 1 and "without a certificate" in said and "drawbridge.conf:" in said
    status, said, _ = make.explain(version, None, "publish", "cn/pump/1", "--cert", certs.server_crt)
    assert status == 1 and "refused by the TLS handshake" in said
    status, _, error = make.explain(version, None, "publish", "cn/pump/1", "--cert", "/nowhere")
    assert status == 2 and "/nowhere" in error


@pytest.mark.parametrize("version", VERSIONS)
def test_facts_without_certificate(start, backend, version):
    make = start(FACTS + "pattern write ok\n")
    device = make(version)
    for topic in ("cn/", "cn//1", "san/", "ou//dev", "cn/%{cn}/1", "ok"):
        device.publish(topic, b"x")
    device.ping()
    assert [packet.topic for packet in backend.wait_connection().of_kind(mqtt.PUBLISH)] == ["ok"]


@pytest.mark.parametrize("version", [4, 5])
def test_reload_of_a_group(start, backend, tmp_path, version):
    """Who leaves a group, leaves its rules, with the connection as it is."""
    make = start()
    device = make(version, "Bob B")
    connection = backend.wait_connection()
    device.publish("staff/1", b"before")
    device.ping()
    (tmp_path / "acl").write_text(ACL.replace(' "Bob B"', ""))
    assert "error" not in make.gate.reload().lower()
    device.publish("staff/1", b"after")
    device.ping()
    assert [packet.payload for packet in connection.of_kind(mqtt.PUBLISH)] == [b"before"]
    (tmp_path / "acl").write_text(ACL + "topic write maxqos=9 x\n")
    assert "acl:15: \"maxqos=9\": maxqos is 0, 1 or 2" in make.gate.reload()


FLOODS = """user alice
topic write maxqos=0 noretain a/calm
topic write a/#
topic read b/#
user bob
topic write b/#
topic read a/#
"""


def flood(version, *topics, count=30, **fields):
    return b"".join(mqtt.publish(version, topic, b"x", **fields) for topic in topics) * count


def delivered(device, connection, raw):
    """The topics that the broker's bytes bring to the device, each once, in order."""
    connection.send(raw + mqtt.publish(device.version, "end", b"x") + mqtt.pingresp())
    packets = []
    while not packets or packets[-1].kind != mqtt.PINGRESP:
        packets.append(device.read())
    return [packet.topic for packet in packets[:-1]]


@pytest.mark.parametrize("version", VERSIONS)
def test_floods(start, backend, tmp_path, version):
    """Topics that take turns, as fast as they can: what has passed is passed again without a look, but not for another user,
    the other way, another flag, or after a reload."""
    make = start(FLOODS, extra="workers 1")
    devices = [make(version, name, client_id=name) for name in ("alice", "bob")]
    connections = [backend.wait_connection(i) for i in range(2)]

    def published(number, raw):
        before = len(connections[number].of_kind(mqtt.PUBLISH))
        devices[number].send(raw)
        devices[number].ping()
        return [packet.topic for packet in connections[number].of_kind(mqtt.PUBLISH)[before:]]

    both = flood(version, "a/1", "b/1", "a/2", "b/2")
    for _ in range(2):
        assert published(0, both) == ["a/1", "a/2"] * 30
        assert published(1, both) == ["b/1", "b/2"] * 30
        assert delivered(devices[0], connections[0], both) == ["b/1", "b/2"] * 30
        assert delivered(devices[1], connections[1], both) == ["a/1", "a/2"] * 30
    calm, loud = (mqtt.publish(version, "a/calm", b"x", retain=retain) for retain in (False, True))
    other = mqtt.publish(version, "a/1", b"x")
    assert published(0, (calm + other + loud) * 30) == ["a/calm", "a/1"] * 30
    (tmp_path / "acl").write_text(FLOODS.replace("alice", "nobody").replace("bob", "alice").replace("nobody", "bob"))
    assert "error" not in make.gate.reload().lower()
    assert published(0, both) == ["b/1", "b/2"] * 30
    assert published(1, both) == ["a/1", "a/2"] * 30
    assert delivered(devices[0], connections[0], both) == ["a/1", "a/2"] * 30
    assert delivered(devices[1], connections[1], both) == ["b/1", "b/2"] * 30


@pytest.mark.parametrize("version", VERSIONS)
def test_refusals_in_the_log(start, version):
    make = start()
    device = make(version, "alice", client_id="d\u00e9v 1")
    for _ in range(50):
        device.publish("staff/shut", b"x")
    device.ping()
    line = make.gate.wait_log(r"^.*Denied PUBLISH to 'staff/shut', client d\u00e9v 1, u'alice' \[127\.0\.0\.1:\d+\]: a rule denies it, "
                              r"\S+/acl:8$")
    device.send(mqtt.disconnect(version))
    make.gate.wait_log(r"Denied PUBLISH to 'staff/shut'.* \.\.\. and 49 more like it\.$")
    assert len(re.findall("Denied", make.gate.log())) == 2, line.group(0)


# ---- explain ----

@pytest.mark.parametrize("version", [4, 5])
def test_explain_connect(start, tmp_path, version):
    make = start(extra="clientid_prefixes de\nmax_qos 1\nretain_available false")
    assert make.explain(version, "alice", "connect") == (0, "allow: nothing stands against it", "")
    for words, line, why in [(("connect",), 5, "clientid_prefixes"), (("publish", "staff/1"), 5, "clientid_prefixes")]:
        status, said, _ = make.explain(version, "alice", *words, client_id="other")
        assert status == 1 and "drawbridge.conf:%d: " % line in said and why in said
    for words, line in [(("--qos", 2), 6), (("--retain",), 7)]:
        status, said, _ = make.explain(version, "alice", "publish", "staff/1", *words)
        assert status == 1 and "drawbridge.conf:%d: " % line in said
    status, said, _ = make.explain(version, "alice", "publish", "$SYS/x")
    assert (status, said) == (1, "refuse: $SYS may not be written")


def test_explain_passwords(start, tmp_path):
    """A password is taken as right; a username must exist."""
    (tmp_path / "passwords").touch(mode=0o600)
    assert gates.run("passwd", "-b", tmp_path / "passwords", "alice", "secret").returncode == 0
    make = start(extra="password_file %s" % (tmp_path / "passwords"))
    assert make.explain(5, "alice", "connect")[0] == 0
    status, said, _ = make.explain(5, "bob", "connect")
    assert status == 1 and "unknown user or wrong password" in said


@pytest.mark.parametrize("words", [(), ("push", "x"), ("publish",), ("publish", "a/#"), ("subscribe", "a#"), ("publish", "x", "y"),
                                   ("publish", "x", "--qos", "3"), ("publish", "x", "--qos"), ("publish", "x", "--mqtt", "6"),
                                   ("publish", "x", "--listener", "1"), ("publish", "x", "--what", "1"),
                                   ("publish", "x", "--address", "home")])
def test_explain_wrong_questions(start, words):
    status, said, error = start().explain(5, "alice", *words)
    assert (status, said) == (2, "") and "Usage: drawbridge" in error


def test_explain_wrong_configuration(tmp_path):
    (tmp_path / "c").write_text("backend 127.0.0.1\nlistener 1884\nnonsense 1\n")
    done = gates.run("-c", tmp_path / "c", "explain", "connect")
    assert done.returncode == 2 and "c:3: " in done.stderr and done.stdout == ""


def test_explain_many_listeners(tmp_path):
    (tmp_path / "c").write_text("backend 127.0.0.1\nlistener 1884\nlistener 1885\nmax_qos 0\n")
    assert gates.run("-c", tmp_path / "c", "explain", "publish", "a", "--qos", "1").returncode == 2
    assert gates.run("-c", tmp_path / "c", "explain", "publish", "a", "--qos", "1", "--listener", "1884").returncode == 0
    assert gates.run("-c", tmp_path / "c", "explain", "publish", "a", "--qos", "1", "--listener", "1885").returncode == 1
