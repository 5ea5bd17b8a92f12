"""The bridge between two real mosquittos: what crosses it, in either direction, and what becomes of it when a side is away."""
import os
import pwd
import sqlite3
import tempfile
import time

import pytest

from peers import packets as mqtt
from peers import torture
from peers.bridge import section
from peers.broker import publish
from peers.faults import FaultProxy
from peers.ports import free_port

VERSIONS = ["mqttv31", "mqttv311", "mqttv50"]
# Messages of QoS 1 and of QoS 2, cuts of the link, restarts of the remote broker, kills of the program, seconds.
TORTURE = [int(word) for word in os.environ.get("DRAWBRIDGE_TORTURE", "4000 1000 10 3 4 20").split()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_out(world, subscriber_of, version, qos):
    there = subscriber_of(world.remote.port, "-t", "sensors/#", "-q", 2)
    world.start("topic sensors/# out 2\nbridge_protocol_version %s" % version)
    publish(world.local.port, "-t", "sensors/a", "-m", "hello", "-q", qos)
    assert there.wait(1) == [("sensors/a", qos, 0, b"hello")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_in(world, subscriber_of, version, qos):
    here = subscriber_of(world.local.port, "-t", "commands/#", "-q", 2)
    world.start("topic commands/# in 2\nbridge_protocol_version %s" % version)
    publish(world.remote.port, "-t", "commands/a", "-m", "hello", "-q", qos)
    assert here.wait(1) == [("commands/a", qos, 0, b"hello")]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_directions_make_no_loop(world, subscriber_of, version):
    here, there = (subscriber_of(broker.port, "-t", "#", "-q", 2) for broker in (world.local, world.remote))
    world.start("topic # both 2\nbridge_protocol_version %s" % version)
    for i in range(20):
        publish(world.local.port, "-t", "a/%d" % i, "-m", "up", "-q", i % 3)
        publish(world.remote.port, "-t", "b/%d" % i, "-m", "down", "-q", i % 3)
    for side in (here, there):
        side.wait(40)
    time.sleep(1)
    for side in (here, there):
        assert sorted(topic for topic, *_ in side.messages) == sorted("%s/%d" % (kind, i) for kind in "ab" for i in range(20))


def test_prefixes(world, subscriber_of):
    here, there = (subscriber_of(broker.port, "-t", "#", "-q", 2) for broker in (world.local, world.remote))
    world.start("topic temperature/# both 1 house/ acme/site1/")
    publish(world.local.port, "-t", "house/temperature/attic", "-m", "21", "-q", 1)
    publish(world.remote.port, "-t", "acme/site1/temperature/set", "-m", "19", "-q", 1)
    assert {message[0] for message in there.wait(2)} == {"acme/site1/temperature/attic", "acme/site1/temperature/set"}
    assert {message[0] for message in here.wait(2)} == {"house/temperature/attic", "house/temperature/set"}


def test_remap(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "eu/#", "-q", 1)
    world.start("remap sensors/+/temp out 1 eu/$1/t")
    publish(world.local.port, "-t", "sensors/attic/temp", "-m", "21", "-q", 1)
    assert there.wait(1) == [("eu/attic/t", 1, 0, b"21")]


def test_properties_are_carried(world, device_of):
    world.start("topic # both 2\nbridge_protocol_version mqttv50")
    there = device_of(world.remote.port, version=5)
    there.connect("reader")
    there.subscribe(("p/#", 1))
    here = device_of(world.local.port, version=5)
    here.connect("writer")
    here.publish("p/a", b"x", qos=1, props=[(0x01, 1), (0x03, "text/plain"), (0x08, "answer/to"), (0x09, b"corr"),
                                            (0x26, ("k", "v1")), (0x26, ("k", "v2")), (0x02, 1000)])
    came = there.expect(mqtt.PUBLISH)
    assert (came.topic, came.payload) == ("p/a", b"x")
    assert came.prop(0x01) == 1 and came.prop(0x03) == "text/plain" and came.prop(0x08) == "answer/to" and came.prop(0x09) == b"corr"
    assert [value for identifier, value in came.props if identifier == 0x26] == [("k", "v1"), ("k", "v2")]
    assert 990 <= came.prop(0x02) <= 1000


def test_state_topics(world, subscriber_of):
    here, there = (subscriber_of(broker.port, "-t", "$SYS/broker/connection/+/state", "-q", 1) for broker in (world.local, world.remote))
    world.start("topic a out\nremote_clientid edge7")
    topic = "$SYS/broker/connection/edge7/state"

    def last(side, payload):
        side._wait(lambda: side.messages and side.messages[-1][0::3] == (topic, payload), 30, "state %s" % payload)

    last(there, b"1")
    last(here, b"1")
    world.remote.stop(is_killed=True)
    last(here, b"0")


def test_offline_messages_come_in_order_after_a_restart(world, subscriber_of):
    """The remote is away, the gate is killed in between: nothing is lost."""
    proxy = world.break_links()
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    proxy.is_refusing = True
    world.start("topic q/# out 2", is_up=False)
    world.gate.wait_log("connected to the local broker")
    for i in range(50):
        publish(world.local.port, "-t", "q/a", "-m", i, "-q", 1 + i % 2)
    world.wait_metric("queued", 50, direction="out")
    world.gate.kill()
    world.gate.start()
    for i in range(50, 60):
        publish(world.local.port, "-t", "q/a", "-m", i, "-q", 1 + i % 2)
    assert not there.messages
    proxy.is_refusing = False
    came = [(message[1], int(message[3])) for message in there.wait(60)]
    for qos in (1, 2): # a broker passes QoS 1 on at the PUBLISH, QoS 2 at the PUBREL
        assert [number for one, number in came if one == qos] == list(range(qos - 1, 60, 2))
    world.wait_metric("queued", 0, direction="out")


def test_the_queue_is_a_database(world):
    world.remote.stop()
    world.start("topic q/# out 2", is_up=False)
    world.gate.wait_log("connected to the local broker")
    publish(world.local.port, "-t", "q/a", "-m", "hello", "-q", 1)
    world.wait_metric("queued", 1, direction="out")
    rows = sqlite3.connect("file:%s/queue/cloud.db?mode=ro" % world.folder, uri=True).execute(
        "select topic, payload, qos, retain, lane from message").fetchall()
    assert [(bytes(topic), bytes(payload), *rest) for topic, payload, *rest in rows] == [(b"q/a", b"hello", 1, 0, 0)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
def test_the_folder_of_the_queues_belongs_to_the_user(gate_of, broker_of):
    """It is made by root, where root alone may write, and used by the user who is left."""
    local, remote = broker_of(), broker_of()
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        gate = gate_of("user nobody\n" + section(local.port, remote.port, place, "topic q/# out 1"))
        gate.wait_log("connected to the remote broker")
        status = os.stat(place + "/queue")
        assert (status.st_uid, status.st_mode & 0o777) == (pwd.getpwnam("nobody").pw_uid, 0o700)
        assert os.stat(place + "/queue/cloud.db").st_uid == status.st_uid
        gate.stop()


def test_a_torture(tmp_path, broker_of, gate_of):
    """Cuts, restarts of the remote broker and kills of the program while messages pass: QoS 1 loses none, QoS 2 none and has none twice,
    the order of each topic is kept."""
    extra = "max_queued_messages 0\nmax_inflight_messages 0\n"
    local, remote = broker_of(extra), broker_of(extra + "persistence true\npersistence_location %s/\n" % tmp_path)
    proxy = FaultProxy(free_port(), remote.port)
    ledger = torture.Ledger()
    listener = torture.Listener(remote.port, [("q1/#", 2), ("q2/#", 2)], ledger)
    gate = gate_of(section(local.port, proxy.port, tmp_path, "topic # out 2\nkeepalive_interval 10"))
    gate.wait_log("connected to the remote broker")
    of_qos1, of_qos2, cuts, restarts, kills, seconds = TORTURE
    counts = {**torture.topics("q1", 5, of_qos1), **torture.topics("q2", 5, of_qos2)}
    talker = torture.Talker(local.port, counts, rate=(of_qos1 + of_qos2) / seconds)
    torture.torture(gate, proxy, remote, talker, cuts=cuts, restarts=restarts, kills=kills, seconds=seconds - 2, seed=7)
    talker.wait(seconds * 5)
    total = sum(counts.values())
    ledger.wait(total, 60 + seconds)
    time.sleep(1)
    wrong, missing, doubled = ledger.verdict(counts, [topic for topic in counts if topic.startswith("q2")])
    print("%d published, %d arrived, %d missing, %d doubled (QoS 1), %d repeated by the remote broker itself" % (
        total, ledger.count, missing, doubled, ledger.repeated))
    talker.stop()
    listener.stop()
    proxy.stop()
    assert not wrong, "\n".join(wrong) + "\n" + gate.log()[-3000:]
