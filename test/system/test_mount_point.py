"""mount_point: every topic of a device, both ways, against a recording backend, and side by side with mosquitto's own."""
import time
import urllib.request

import pytest

from peers import packets as mqtt
from peers.ports import free_port

VERSIONS = [3, 4, 5]
RESPONSE_TOPIC = 0x08
MOUNT = "plant 7/"


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of, tmp_path):
    """start(mount_point, more lines, acl=...): a gate; returns a maker of connected devices."""

    def begin(mount_point=MOUNT, extra="", acl=None):
        config = "backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmount_point %s\n%s\n" % (backend.port, port, mount_point, extra)
        if acl is not None:
            (tmp_path / "acl").write_text(acl)
            config += "acl_file %s\n" % (tmp_path / "acl")
        metrics = free_port()
        gate = gate_of(config + "metrics_listener 127.0.0.1:%d\n" % metrics)

        def make(version=4, client_id="dev", is_connected=True, **fields):
            device = device_of(port, version=version)
            if is_connected:
                device.answer = device.connect(client_id, **fields)
            return device

        make.gate, make.config, make.metrics = gate, config, metrics
        return make

    return begin


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_to_the_broker(start, backend, version, qos):
    device = start()(version)
    assert device.publish("a/b", b"x" * 70000, qos, 7, retain=True) in (0, None)
    arrived = backend.wait_connection().wait_packet(mqtt.PUBLISH)
    assert (arrived.topic, arrived.qos, arrived.retain, arrived.payload) == (MOUNT + "a/b", qos, True, b"x" * 70000)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_to_the_device(start, backend, version, qos):
    device = start()(version)
    connection = backend.wait_connection()
    connection.send(mqtt.publish(version, MOUNT + "a/b", b"x" * 70000, qos, 7, retain=True))
    assert device.expect(mqtt.PUBLISH).raw == mqtt.publish(version, "a/b", b"x" * 70000, qos, 7, retain=True)


def metrics_of(port):
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=15) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def wait_metric(device_of, name, wanted):
    """A peer may see its answer before the worker has counted it."""
    end = time.monotonic() + 30
    while metrics_of(device_of.metrics)["drawbridge_%s_total" % name] != wanted:
        assert time.monotonic() < end, "%s is %s" % (name, metrics_of(device_of.metrics)["drawbridge_%s_total" % name])
        time.sleep(0.02)


@pytest.mark.parametrize("version", VERSIONS)
def test_subscribe_and_unsubscribe(start, backend, version):
    device = start()(version)
    assert device.subscribe(("a/#", 1), "#", ("$share/g/b", 2), "$SYS/#", packet_id=5) == [1, 0, 2, 0]
    connection = backend.wait_connection()
    arrived = connection.of_kind(mqtt.SUBSCRIBE)[0]
    wanted = [MOUNT + "a/#", MOUNT + "#", "$share/g/" + MOUNT + "b", MOUNT + "$SYS/#"]
    assert arrived.packet_id == 5 and [text for text, _ in arrived.filters] == wanted
    device.send(mqtt.unsubscribe(version, 6, ["a/#", "#", "$share/g/b", "$SYS/#"]))
    assert device.expect(mqtt.UNSUBACK).packet_id == 6
    assert connection.of_kind(mqtt.UNSUBSCRIBE)[0].filters == wanted


def test_subscribe_keeps_its_properties_and_options(start, backend):
    device = start()(5)
    props = [(mqtt.SUBSCRIPTION_ID, 7), (mqtt.USER_PROPERTY, ("k", "v"))]
    device.send(mqtt.subscribe(5, 5, [("a", 0x2D)], props))
    assert device.expect(mqtt.SUBACK).codes == [1]
    arrived = backend.wait_connection().of_kind(mqtt.SUBSCRIBE)[0]
    assert arrived.raw == mqtt.subscribe(5, 5, [(MOUNT + "a", 0x2D)], props)


@pytest.mark.parametrize("version", VERSIONS)
def test_byte_by_byte(start, backend, version):
    """Both ways, each byte on its own."""
    device = start()(version)
    connection = backend.wait_connection()
    props = [(RESPONSE_TOPIC, "r"), (mqtt.USER_PROPERTY, ("k", "v"))] if version == 5 else []
    longer = [(RESPONSE_TOPIC, MOUNT + "r"), (mqtt.USER_PROPERTY, ("k", "v"))] if version == 5 else []
    sent = (mqtt.publish(version, "a/b", "payload", 1, 3, props=props) + mqtt.subscribe(version, 4, ["x/#"]) +
            mqtt.unsubscribe(version, 5, ["x/#"]) + mqtt.publish(version, "c", "end"))
    wanted = (mqtt.publish(version, MOUNT + "a/b", "payload", 1, 3, props=longer) + mqtt.subscribe(version, 4, [MOUNT + "x/#"]) +
              mqtt.unsubscribe(version, 5, [MOUNT + "x/#"]) + mqtt.publish(version, MOUNT + "c", "end"))
    for at in range(len(sent)):
        device.send(sent[at:at + 1])
    connection.wait(lambda: len(connection.behind_connect()) >= len(wanted), what="all of it")
    assert connection.behind_connect() == wanted
    assert [device.read().kind for _ in range(3)] == [mqtt.PUBACK, mqtt.SUBACK, mqtt.UNSUBACK]
    back = mqtt.publish(version, MOUNT + "a/b", "payload", 1, 3, props=longer) + mqtt.publish(version, MOUNT + "c", "end")
    for at in range(len(back)):
        connection.send(back[at:at + 1])
    assert device.expect(mqtt.PUBLISH).raw == mqtt.publish(version, "a/b", "payload", 1, 3, props=props)
    assert device.expect(mqtt.PUBLISH).raw == mqtt.publish(version, "c", "end")


@pytest.mark.parametrize("version", VERSIONS)
def test_flood_both_ways(start, backend, version):
    """64 KiB of little PUBLISHes in one write, each of which grows by a hundred bytes, and the same back."""
    mount = "m" * 99 + "/"
    device = start(mount)(version)
    connection = backend.wait_connection()
    count = 65536 // len(mqtt.publish(version, "t", "00000"))
    small = b"".join(mqtt.publish(version, "t", "%05d" % index) for index in range(count))
    large = b"".join(mqtt.publish(version, mount + "t", "%05d" % index) for index in range(count))
    device.send(small)
    connection.wait(lambda: len(connection.received) >= len(large), what="the flood")
    assert device.ping()
    assert connection.behind_connect() == large + mqtt.pingreq()
    connection.send(large)
    assert [device.read_raw() for _ in range(count)] == mqtt.split(small)[0]


# ---- version 5 ----

def test_aliases(start, backend):
    """Told once with the mounted topic; a bare one passes as it came, either way."""
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 5)]
    device = start()(5, props=[(mqtt.ALIAS_MAXIMUM, 5)])
    assert device.answer.prop(mqtt.ALIAS_MAXIMUM) == 5
    connection = backend.wait_connection()
    alias = [(mqtt.ALIAS, 1)]
    bare = mqtt.publish(5, "", "2", props=alias)
    device.send(mqtt.publish(5, "a/b", "1", props=alias) + bare)
    assert device.ping()
    assert connection.behind_connect() == mqtt.publish(5, MOUNT + "a/b", "1", props=alias) + bare + mqtt.pingreq()
    connection.send(mqtt.publish(5, MOUNT + "c", "1", props=alias) + bare)
    assert device.expect(mqtt.PUBLISH).raw == mqtt.publish(5, "c", "1", props=alias)
    assert device.expect(mqtt.PUBLISH).raw == bare


def test_alias_of_a_refused_publish(start, backend):
    """The broker never heard the refused one: the next bare one tells it the mounted topic."""
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 5)]
    device = start(extra="message_size_limit 10")(5)
    alias = [(mqtt.ALIAS, 1)]
    assert device.publish("a/b", "0123456789x", 1, 3, props=alias) == 0x97
    assert device.publish("", "fits", 1, 4, props=alias) == 0
    arrived = backend.wait_connection().of_kind(mqtt.PUBLISH)
    assert [(one.topic, one.payload) for one in arrived] == [(MOUNT + "a/b", b"fits")]


def test_maximum_packet_size(start, backend):
    """The device is told so much less as its packets grow; one that is too large all the same ends here, not at the broker."""
    backend.connack_props = [(mqtt.MAXIMUM_PACKET_SIZE, 100)]
    device = start()(5)
    told = device.answer.prop(mqtt.MAXIMUM_PACKET_SIZE)
    assert told == 100 - 2 * len(MOUNT) - 4
    fits = mqtt.publish(5, "t", b"x" * (told - 6))
    assert len(fits) == told
    device.send(fits)
    connection = backend.wait_connection()
    assert len(connection.wait_packet(mqtt.PUBLISH).raw) <= 100
    device.send(mqtt.publish(5, "t", b"x" * 94))
    assert [(one.kind, one.reason) for one in device.read_to_end()] == [(mqtt.DISCONNECT, 0x95)]
    assert len(connection.of_kind(mqtt.PUBLISH)) == 1


def test_response_topic(start, backend):
    """A request and its answer stay within; a response topic from outside is left out, the rest passes."""
    device = start()(5)
    connection = backend.wait_connection()
    data = (0x09, b"id")
    device.send(mqtt.publish(5, "ask", "?", props=[(RESPONSE_TOPIC, "answer/1"), data]))
    assert connection.wait_packet(mqtt.PUBLISH).props == [(RESPONSE_TOPIC, MOUNT + "answer/1"), data]
    connection.send(mqtt.publish(5, MOUNT + "in", "?", props=[(RESPONSE_TOPIC, MOUNT + "answer/2"), data]))
    assert device.expect(mqtt.PUBLISH).props == [(RESPONSE_TOPIC, "answer/2"), data]
    connection.send(mqtt.publish(5, MOUNT + "in", "?", props=[(RESPONSE_TOPIC, "elsewhere"), data]))
    assert device.expect(mqtt.PUBLISH).props == [data]


# ---- wills ----

@pytest.mark.parametrize("version", VERSIONS)
def test_will(start, backend, version):
    props = [(0x18, 60), (RESPONSE_TOPIC, "r"), (mqtt.USER_PROPERTY, ("k", "v"))] if version == 5 else []
    will = {"topic": "gone/x", "payload": "bye", "qos": 1, "retain": True, "props": props}
    start()(version, username="alice", password="p", will=will)
    arrived = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    if version == 5:
        will["props"] = [(0x18, 60), (RESPONSE_TOPIC, MOUNT + "r"), (mqtt.USER_PROPERTY, ("k", "v"))]
    will["topic"] = MOUNT + "gone/x"
    assert arrived.raw == mqtt.connect(version, "dev", username="alice", password="p", will=will)


@pytest.mark.parametrize("version", VERSIONS)
def test_will_is_judged_behind_the_mount_point(start, backend, version):
    device_of = start(acl="topic write %sok/#\n" % MOUNT)
    device_of(version, "one", will={"topic": "ok/x", "payload": "bye"})
    device_of(version, "two", will={"topic": "no/x", "payload": "bye"})
    device_of(version, "three", will={"topic": MOUNT + "ok/x", "payload": "bye"})
    wills = [backend.wait_connection(index).of_kind(mqtt.CONNECT)[0].will for index in range(3)]
    assert wills[0]["topic"] == MOUNT + "ok/x" and wills[1] is None and wills[2] is None


@pytest.mark.parametrize("version", VERSIONS)
def test_will_that_is_too_long(start, backend, version):
    device_of = start()
    device = device_of(version, is_connected=False)
    device.send(mqtt.connect(version, will={"topic": "w" * (65536 - len(MOUNT)), "payload": "x"}))
    assert [(one.kind, one.reason) for one in device.read_to_end()] == [(mqtt.CONNACK, 0x90 if version == 5 else 5)]
    device_of(version, "next", will={"topic": "w" * (65535 - len(MOUNT)), "payload": "x"})
    assert len(backend.wait_connection().of_kind(mqtt.CONNECT)[0].will["topic"]) == 65535
    wait_metric(device_of, "mount_point_refused", 1)


# ---- what is refused ----

@pytest.mark.parametrize("version", VERSIONS)
def test_rules_speak_of_whole_topics(start, backend, version):
    """WRITE behind the mount point, READ before it is cut off, SUBSCRIBE as the broker would get it."""
    device_of = start(acl="topic write %sup/#\ntopic read %sdown/#\ntopic readwrite x/#\n" % (MOUNT, MOUNT))
    device = device_of(version)
    connection = backend.wait_connection()
    no = 0x87 if version == 5 else 0
    assert device.publish("up/1", "yes", 1, 2) == 0
    assert device.publish("x/1", "no", 1, 3) == no and device.publish("down/1", "no", 1, 4) == no
    assert [one.topic for one in connection.of_kind(mqtt.PUBLISH)] == [MOUNT + "up/1"]
    assert device.subscribe("x/#", "down/#", "$share/g/up/#", "$share/g/down/#") == [no or 0x80, 0, no or 0x80, 0]
    connection.send(mqtt.publish(version, MOUNT + "up/1", "no") + mqtt.publish(version, MOUNT + "down/1", "yes"))
    assert device.expect(mqtt.PUBLISH).raw == mqtt.publish(version, "down/1", "yes")


@pytest.mark.parametrize("version", VERSIONS)
def test_outside_never_arrives(start, backend, version):
    """Whatever the broker thinks: it is answered for the device, so that nothing is stuck, and counted."""
    device_of = start()
    device = device_of(version)
    connection = backend.wait_connection()
    outside = ["x", "plant 7", MOUNT, "plant 8/x", "plant 77/x", "$SYS/broker/uptime"]
    for index, topic in enumerate(outside):
        connection.send(mqtt.publish(version, topic, b"s" * 70000, index % 3, index + 1))
    connection.send(mqtt.publish(version, MOUNT + "fine", "in"))
    assert device.expect(mqtt.PUBLISH).topic == "fine"
    # The polite backend says PUBREL to PUBREC.
    connection.wait_packet(mqtt.PUBCOMP, 2)
    assert [one.packet_id for one in connection.of_kind(mqtt.PUBACK)] == [2, 5]
    assert [one.packet_id for one in connection.of_kind(mqtt.PUBREC)] == [3, 6]
    assert [one.packet_id for one in connection.of_kind(mqtt.PUBCOMP)] == [3, 6]
    wait_metric(device_of, "delivery_outside_mount_point", 6)
    wait_metric(device_of, "delivery_refused", 6)


@pytest.mark.parametrize("version", VERSIONS)
def test_topic_that_is_too_long(start, backend, version):
    device_of = start()
    device = device_of(version)
    assert device.publish("t" * (65535 - len(MOUNT)), "x", 1, 2) == 0
    connection = backend.wait_connection()
    assert len(connection.of_kind(mqtt.PUBLISH)[0].topic) == 65535
    no = 0x8F if version == 5 else 0x80
    assert device.subscribe("t" * (65536 - len(MOUNT)), "a") == [no, 0]
    device.send(mqtt.publish(version, "t" * (65536 - len(MOUNT)), "x", 1, 3))
    assert [(one.kind, one.reason) for one in device.read_to_end()] == ([(mqtt.DISCONNECT, 0x90)] if version == 5 else [])
    assert len(connection.of_kind(mqtt.PUBLISH)) == 1
    device_of.gate.wait_log("refused by policy")


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_slash(start, backend, version):
    """Joined as they are, as in mosquitto; a filter that would be none then is refused."""
    device_of = start("plant")
    device = device_of(version)
    assert "without a / at its end" in device_of.gate.log()
    no = 0x8F if version == 5 else 0x80
    assert device.subscribe("#", "7/x", "+/x") == [no, 0, no]
    connection = backend.wait_connection()
    assert connection.of_kind(mqtt.SUBSCRIBE)[0].filters == [("plant7/x", 0)]
    connection.send(mqtt.publish(version, "plant7/x", "x"))
    assert device.expect(mqtt.PUBLISH).topic == "7/x"
    device.send(mqtt.unsubscribe(version, 9, ["#"]))
    assert [(one.kind, one.reason) for one in device.read_to_end()] == ([(mqtt.DISCONNECT, 0x8F)] if version == 5 else [])
    assert connection.of_kind(mqtt.UNSUBSCRIBE) == []


# ---- %c and %u ----

@pytest.mark.parametrize("version", VERSIONS)
def test_placeholders(start, backend, version):
    device_of = start("tenants/%u/%c/")
    device = device_of(version, "dev-1", username="ann", password="p", will={"topic": "gone", "payload": "x"})
    device.send(mqtt.publish(version, "t", "x"))
    connection = backend.wait_connection()
    assert connection.wait_packet(mqtt.PUBLISH).topic == "tenants/ann/dev-1/t"
    assert connection.of_kind(mqtt.CONNECT)[0].will["topic"] == "tenants/ann/dev-1/gone"
    connection.send(mqtt.publish(version, "tenants/ann/dev-2/t", "no") + mqtt.publish(version, "tenants/ann/dev-1/t", "yes"))
    assert device.expect(mqtt.PUBLISH).raw == mqtt.publish(version, "t", "yes")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client_id,username,code", [("a/b", "ann", (2, 0x85)), ("+", "ann", (2, 0x85)), ("dev", "#", (5, 0x87)),
                                                     ("dev", "../bob", (5, 0x87)), ("dev", None, (5, 0x87)), ("dev", "", (5, 0x87))])
def test_names_that_lead_out(start, backend, version, client_id, username, code):
    device_of = start("t/%u/%c/", "allow_unsafe_clientid_chars true")
    device = device_of(version, is_connected=False)
    device.send(mqtt.connect(version, client_id, username=username, password=None if username is None else "p"))
    assert [(one.kind, one.reason) for one in device.read_to_end()] == [(mqtt.CONNACK, code[version == 5])]
    device_of.gate.wait_log("the CONNECT was refused: (its|it has no) .*mount_point")
    assert backend.count() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_name_that_begins_with_dollar(start, backend, version):
    device_of = start("%u/")
    device = device_of(version, is_connected=False)
    device.send(mqtt.connect(version, username="$share", password="p"))
    assert [(one.kind, one.reason) for one in device.read_to_end()] == [(mqtt.CONNACK, 0x87 if version == 5 else 5)]
    assert backend.count() == 0


@pytest.mark.parametrize("version", [4, 5])
def test_generated_client_id(start, backend, version):
    device = start("%c/")(version, "")
    device.send(mqtt.publish(version, "t", "x"))
    connection = backend.wait_connection()
    client_id = connection.of_kind(mqtt.CONNECT)[0].client_id
    assert client_id.startswith("auto-") and connection.wait_packet(mqtt.PUBLISH).topic == client_id + "/t"


# ---- reload ----

@pytest.mark.parametrize("version", VERSIONS)
def test_reload(start, backend, version):
    """A session keeps the one that its subscriptions at the broker begin with; the next one has the new one."""
    device_of = start("old/")
    old = device_of(version, "old")
    assert "in force" in device_of.gate.reload(device_of.config.replace("mount_point old/", "mount_point new/"))
    new = device_of(version, "new")
    assert old.publish("t", "1", 1, 2) == 0 and new.publish("t", "2", 1, 2) == 0
    first, second = backend.wait_connection(0), backend.wait_connection(1)
    assert [one.topic for one in first.of_kind(mqtt.PUBLISH) + second.of_kind(mqtt.PUBLISH)] == ["old/t", "new/t"]
    for connection, device in ((first, old), (second, new)):
        connection.send(mqtt.publish(version, "old/x", "old") + mqtt.publish(version, "new/x", "new") + mqtt.pingresp())
    assert [(old.read().payload, old.read().kind), (new.read().payload, new.read().kind)] == [
        (b"old", mqtt.PINGRESP), (b"new", mqtt.PINGRESP)]
    # Taken away altogether, the running ones keep theirs still.
    assert "in force" in device_of.gate.reload(device_of.config.replace("mount_point old/\n", "\n"))
    plain = device_of(version, "plain")
    assert old.publish("t", "3", 1, 3) == 0 and plain.publish("t", "4", 1, 3) == 0
    assert [one.topic for one in first.of_kind(mqtt.PUBLISH) + backend.wait_connection(2).of_kind(mqtt.PUBLISH)] == [
        "old/t", "old/t", "t"]


def test_bad_one_changes_nothing(start, backend):
    device_of = start("old/")
    log = device_of.gate.reload(device_of.config.replace("mount_point old/", "mount_point new/#"))
    assert "refused" in log and "drawbridge.conf:3: mount_point is 'new/#', but may not hold the wildcards" in log
    device = device_of(4)
    assert device.publish("t", "1", 1, 2) == 0
    assert backend.wait_connection().of_kind(mqtt.PUBLISH)[0].topic == "old/t"


def test_listeners_have_their_own(gate_of, backend, device_of):
    ports = [free_port() for _ in range(3)]
    gate_of("backend 127.0.0.1:%d\nlistener %d\nmount_point a/\nlistener %d\nmount_point b/\nlistener %d\n" %
            (backend.port, *ports))
    for index, port in enumerate(ports):
        device = device_of(port)
        device.connect("dev%d" % index)
        assert device.publish("t", "x", 1, 1) == 0
    topics = [backend.wait_connection(index).of_kind(mqtt.PUBLISH)[0].topic for index in range(3)]
    assert topics == ["a/t", "b/t", "t"]


# ---- side by side with mosquitto ----

@pytest.fixture
def both(gate_of, broker_of, port, device_of):
    """both(scenario): what the scenario saw with a mosquitto behind Drawbridge, and with mosquitto's own mount_point. The
    scenario gets two makers: of devices below the mount point, and of outsiders, who see the broker's topics."""
    own = free_port()
    plain = broker_of()
    mounted = broker_of("listener %d 127.0.0.1\nmount_point %s\n" % (own, MOUNT))
    gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmount_point %s\n" % (plain.port, port, MOUNT))

    def run(version, scenario):
        seen = []
        for inside, outside in ((port, plain.port), (own, mounted.port)):
            def maker(where):
                def make(client_id, **fields):
                    device = device_of(where, version=version)
                    device.connect(client_id, **fields)
                    return device
                return make
            seen.append(scenario(maker(inside), maker(outside)))
        return seen

    return run


def message(packet):
    return packet.topic, packet.qos, packet.retain, packet.payload


def messages(device, count):
    """That many, each answered as its QoS wants it."""
    seen = []
    while len(seen) < count:
        packet = device.read()
        if packet.kind == mqtt.PUBLISH:
            seen.append(message(packet))
        if packet.kind == mqtt.PUBLISH and packet.qos:
            device.send(mqtt.ack(mqtt.PUBACK if packet.qos == 1 else mqtt.PUBREC, device.version, packet.packet_id))
        if packet.kind == mqtt.PUBREL:
            device.send(mqtt.ack(mqtt.PUBCOMP, device.version, packet.packet_id))
    return seen


def cut(one):
    """mosquitto 2.0.11 forgets to cut the mount point off (later ones do it): its deliveries are compared without it."""
    topic, *rest = one
    return (topic[len(MOUNT):] if topic.startswith(MOUNT) else topic, *rest)


@pytest.mark.parametrize("version", VERSIONS)
def test_as_mosquitto_publish(both, version):
    def scenario(inside, outside):
        watcher = outside("watcher")
        watcher.subscribe(("#", 2))
        device = inside("device")
        for qos in range(3):
            device.publish("a/%d" % qos, "p%d" % qos, qos, qos + 1)
        device.publish("$SYS/x", "s", 1, 4)
        device.publish("kept", "r", 1, 5, retain=True)
        seen = messages(watcher, 5)
        later = outside("later")
        later.subscribe((MOUNT + "#", 0))
        return seen, message(later.expect(mqtt.PUBLISH))

    ours, theirs = both(version, scenario)
    assert ours == theirs and ours[0][0] == (MOUNT + "a/0", 0, False, b"p0")


@pytest.mark.parametrize("version", VERSIONS)
def test_as_mosquitto_subscribe(both, version):
    def scenario(inside, outside):
        teller = outside("teller")
        teller.publish(MOUNT + "kept", "retained", 1, 1, retain=True)
        teller.publish("kept", "elsewhere", 1, 2, retain=True)
        device = inside("device")
        codes = device.subscribe(("a/+", 2), ("kept", 1), ("$SYS/#", 0))
        seen = messages(device, 1)
        for number, topic in enumerate((MOUNT + "a/1", "a/1", MOUNT + "b", "plant 7", MOUNT + "a/end")):
            teller.publish(topic, topic, 1, number + 3)
        while seen[-1][3] != (MOUNT + "a/end").encode():
            seen += messages(device, 1)
        device.send(mqtt.unsubscribe(version, 9, ["a/+"]))
        device.expect(mqtt.UNSUBACK)
        teller.publish(MOUNT + "a/1", "late", 1, 20)
        teller.publish(MOUNT + "kept", "last", 1, 21)
        return codes, seen + messages(device, 1)

    ours, theirs = both(version, scenario)
    # Nor does mosquitto 2.0.11 put it on in UNSUBSCRIBE: what follows that still comes there, and not here.
    assert ours[0] == theirs[0] and ours[1][:3] == [cut(one) for one in theirs[1][:3]]
    assert [one[0] for one in ours[1]] == ["kept", "a/1", "a/end", "kept"] and ours[1][-1][3] == b"last"


@pytest.mark.parametrize("version", VERSIONS)
def test_as_mosquitto_wills(both, version):
    def scenario(inside, outside):
        watcher = outside("watcher")
        watcher.subscribe(("#", 0))
        inside("device", will={"topic": "gone/x", "payload": "bye", "qos": 1}).kill()
        return message(watcher.expect(mqtt.PUBLISH))

    ours, theirs = both(version, scenario)
    assert ours == theirs == (MOUNT + "gone/x", 0, False, b"bye")


def test_as_mosquitto_aliases(both):
    def scenario(inside, outside):
        watcher = outside("watcher")
        watcher.subscribe(("#", 0))
        device = inside("device")
        for topic, alias in (("a", 1), ("b", 2), ("", 1), ("c", 1), ("", 1), ("", 2)):
            device.send(mqtt.publish(5, topic, topic, props=[(mqtt.ALIAS, alias)]))
        return [message(watcher.expect(mqtt.PUBLISH)) for _ in range(6)]

    ours, theirs = both(5, scenario)
    assert ours == theirs and [one[0] for one in ours] == [MOUNT + name for name in "abaccb"]


@pytest.mark.parametrize("version", VERSIONS)
def test_as_mosquitto_between_two_devices(both, version):
    """QoS 2 from one mounted device to the other, in a session that outlives its connection."""
    keep = {"clean": False, "props": [(mqtt.SESSION_EXPIRY, 100)] if version == 5 else ()}

    def scenario(inside, outside):
        first = inside("first", **keep)
        codes = first.subscribe(("t/#", 2))
        first.send(mqtt.disconnect(version))
        assert first.read_to_end() == []
        second = inside("second")
        for number in range(3):
            second.publish("t/%d" % number, "x", 2, number + 1)
        again = inside("first", **keep)
        return codes, messages(again, 3)

    ours, theirs = both(version, scenario)
    assert ours[0] == theirs[0] and ours[1] == [cut(one) for one in theirs[1]]
    assert [one[:2] for one in ours[1]] == [("t/0", 2), ("t/1", 2), ("t/2", 2)]


@pytest.mark.parametrize("version", VERSIONS)
def test_shared_subscriptions(both, version):
    """Beyond mosquitto 2.0, where nothing arrives: the mount point goes behind the name of the share."""
    def scenario(inside, outside):
        device = inside("device")
        codes = device.subscribe(("$share/g/b", 0), ("b/end", 0))
        teller = outside("teller")
        for topic in ("b", MOUNT + "b", MOUNT + "b/end"):
            teller.publish(topic, topic, 1, 1)
        seen = [message(device.expect(mqtt.PUBLISH))]
        while cut(seen[-1])[0] != "b/end":
            seen.append(message(device.expect(mqtt.PUBLISH)))
        return codes, [cut(one)[0] for one in seen]

    ours, theirs = both(version, scenario)
    assert ours == ([0, 0], ["b", "b/end"]) and theirs == ([0, 0], ["b/end"])


def test_as_mosquitto_but_for_response_topics(both):
    """mosquitto leaves them alone, so that an answer never finds its way; here it does."""
    def scenario(inside, outside):
        watcher = outside("watcher")
        watcher.subscribe(("#", 0))
        device = inside("device")
        device.subscribe("answer")
        device.send(mqtt.publish(5, "ask", "?", props=[(RESPONSE_TOPIC, "answer")]))
        topic = watcher.expect(mqtt.PUBLISH).prop(RESPONSE_TOPIC)
        outside("teller").publish(topic, "!", 1, 1)
        return topic, None if topic == "answer" else device.expect(mqtt.PUBLISH).topic

    assert both(5, scenario) == [(MOUNT + "answer", "answer"), ("answer", None)]
