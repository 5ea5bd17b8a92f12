"""The main job: mosquitto's own clients over TLS, through the program, to an unmodified mosquitto, and back."""
import os
import subprocess

import pytest

from peers.broker import publish
from peers.ports import free_port

VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


@pytest.fixture(scope="module")
def gate(shared_gate_of, broker, certs):
    port = free_port()
    made = shared_gate_of("backend 127.0.0.1:%d\nlistener %d\ncafile %s\n%s" % (broker.port, port, certs.cafile, certs.tls))
    made.port = port
    return made


@pytest.fixture(params=VERSIONS)
def words(request, certs):
    """The words every client gets."""
    return ["-V", request.param, "--cafile", certs.cafile]


@pytest.fixture
def topic(request):
    return "main/" + request.node.name.replace("[", "/").rstrip("]")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_qos(gate, words, topic, subscriber_of, qos):
    subscriber = subscriber_of(gate.port, *words, "-t", topic, "-q", qos)
    publish(gate.port, *words, "-t", topic, "-q", qos, "-m", "hello %d" % qos)
    assert subscriber.wait(1) == [(topic, qos, 0, b"hello %d" % qos)]


def test_retained(gate, words, topic, subscriber_of):
    publish(gate.port, *words, "-t", topic, "-q", 1, "-r", "-m", "kept")
    assert subscriber_of(gate.port, *words, "-t", topic).wait(1) == [(topic, 0, 1, b"kept")]
    publish(gate.port, *words, "-t", topic, "-r", "-n")
    later = subscriber_of(gate.port, *words, "-t", topic)
    publish(gate.port, *words, "-t", topic, "-m", "live")
    assert later.wait(1) == [(topic, 0, 0, b"live")], "the retained message was deleted"


def test_will_of_a_killed_device(gate, words, topic, subscriber_of):
    watcher = subscriber_of(gate.port, *words, "-t", topic, "-q", 1)
    device = subscriber_of(gate.port, *words, "-t", "main/nothing", "--will-topic", topic, "--will-payload", "gone",
                           "--will-qos", 1)
    device.kill()
    assert watcher.wait(1) == [(topic, 1, 0, b"gone")]


def test_no_will_after_a_disconnect(gate, words, topic, subscriber_of):
    watcher = subscriber_of(gate.port, *words, "-t", topic, "-q", 1)
    device = subscriber_of(gate.port, *words, "-t", topic + "/end", "--will-topic", topic, "--will-payload", "gone", "-C", 1)
    publish(gate.port, *words, "-t", topic + "/end", "-m", "end")
    assert device.wait_end() == 0
    publish(gate.port, *words, "-t", topic, "-q", 1, "-m", "marker")
    assert watcher.wait(1) == [(topic, 1, 0, b"marker")], "the will was sent although the device said DISCONNECT"


def test_will_asked_for_in_disconnect(gate, certs, topic, subscriber_of):
    """mosquitto_sub -V mqttv5 says DISCONNECT with reason 0x04 when it is interrupted: the word arrives."""
    words = ["-V", "mqttv5", "--cafile", certs.cafile]
    watcher = subscriber_of(gate.port, *words, "-t", topic, "-q", 1)
    device = subscriber_of(gate.port, *words, "-t", "main/nothing", "--will-topic", topic, "--will-payload", "gone")
    device.stop()
    assert watcher.wait(1) == [(topic, 0, 0, b"gone")]


def test_will_when_the_program_ends(gate_of, broker, certs, words, topic, subscriber_of, port):
    """To the broker, an end of the program is the loss of the devices."""
    watcher = subscriber_of(broker.port, "-t", topic)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (broker.port, port, certs.tls))
    subscriber_of(port, *words, "-t", "main/nothing", "--will-topic", topic, "--will-payload", "gone")
    gate.stop()
    assert watcher.wait(1) == [(topic, 0, 0, b"gone")]


@pytest.mark.parametrize("qos", [0, 2])
def test_one_mebibyte(gate, words, topic, subscriber_of, tmp_path, qos):
    payload = os.urandom(1 << 20)
    (tmp_path / "payload").write_bytes(payload)
    subscriber = subscriber_of(gate.port, *words, "-t", topic, "-q", qos)
    publish(gate.port, *words, "-t", topic, "-q", qos, "-f", tmp_path / "payload")
    assert subscriber.wait(1) == [(topic, qos, 0, payload)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_thousand_messages_in_order(gate, words, topic, subscriber_of, qos):
    if "mqttv5" in words:
        # libmosquitto 2.0.11 miscounts its Receive Maximum of 20 with QoS 2, without any proxy too.
        words += ["-D", "CONNECT", "receive-maximum", "5000"]
    lines = [b"message %d" % number for number in range(1000)]
    subscriber = subscriber_of(gate.port, *words, "-t", topic, "-q", qos)
    publish(gate.port, *words, "-t", topic, "-q", qos, "-l", stdin=b"\n".join(lines) + b"\n")
    assert [payload for _, _, _, payload in subscriber.wait(1000)] == lines
    assert {level for _, level, _, _ in subscriber.messages} == {qos}


def test_credentials_go_to_the_broker(gate_of, broker_of, certs, words, topic, subscriber_of, tmp_path, port):
    """Without a password_file here the broker decides."""
    subprocess.run(["mosquitto_passwd", "-c", "-b", tmp_path / "passwords", "user", "secret"], check=True, timeout=30)
    broker = broker_of("allow_anonymous false\npassword_file %s\n" % (tmp_path / "passwords"))
    gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (broker.port, port, certs.tls))
    words += ["-t", topic]
    subscriber = subscriber_of(port, *words, "-u", "user", "-P", "secret")
    publish(port, *words, "-u", "user", "-P", "secret", "-m", "let in")
    assert subscriber.wait(1)[0][3] == b"let in"
    for refused in (["-u", "user", "-P", "wrong"], ["-u", "nobody", "-P", "secret"], []):
        done = publish(port, *words, *refused, "-m", "kept out", is_good=False)
        assert done.returncode != 0 and b"not auth" in done.stderr.lower(), done
    publish(port, *words, "-u", "user", "-P", "secret", "-m", "again")
    assert [message[3] for message in subscriber.wait(2)] == [b"let in", b"again"]


def test_password_file_here(gate_of, broker, certs, words, topic, subscriber_of, tmp_path, port):
    """With a password_file here the broker is not asked; it takes everybody."""
    subprocess.run(["mosquitto_passwd", "-c", "-b", tmp_path / "passwords", "user", "secret"], check=True, timeout=30)
    gate_of("backend 127.0.0.1:%d\nlistener %d\n%spassword_file %s\n" %
            (broker.port, port, certs.tls, tmp_path / "passwords"))
    words += ["-t", topic]
    subscriber = subscriber_of(port, *words, "-u", "user", "-P", "secret")
    for refused in (["-u", "user", "-P", "wrong"], ["-u", "nobody", "-P", "secret"], ["-u", "user"], []):
        done = publish(port, *words, *refused, "-m", "kept out", is_good=False)
        assert done.returncode != 0 and b"not auth" in done.stderr.lower(), done
    publish(port, *words, "-u", "user", "-P", "secret", "-m", "let in")
    assert subscriber.wait(1)[0][3] == b"let in"
