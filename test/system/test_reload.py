"""SIGHUP: everything that can change at once does, and a bad file changes nothing."""
import os
import re
import shutil
import ssl
import subprocess
import time

import pytest

from peers import packets as mqtt
from peers.device import Device, tls_context

WAIT_S = 15


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def files(tmp_path):
    """Writes files of the test's folder and gives their path."""

    def write(name, text):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
        return tmp_path / name

    return write


def test_acl_acts_at_the_next_packet(gate_of, backend, port, device_of, files):
    acl = files("acl", "topic readwrite a\n")
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\nacl_file %s\n" % (backend.port, port, acl))
    device = device_of(port, version=5)
    device.connect()
    connection = backend.wait_connection()
    assert device.publish("a", "1", 1) == 0 and device.publish("b", "2", 1) == 0x87
    assert device.subscribe("a", "b") == [0, 0x87]
    files("acl", "topic readwrite b\n")
    assert "in force" in gate.reload()
    assert device.publish("a", "3", 1) == 0x87 and device.publish("b", "4", 1) == 0
    assert device.subscribe("a", "b") == [0x87, 0]
    connection.send(mqtt.publish(5, "a", "of an old subscription") + mqtt.publish(5, "b", "fine"))
    assert device.expect(mqtt.PUBLISH).payload == b"fine"
    assert [one.payload for one in connection.of_kind(mqtt.PUBLISH)] == [b"1", b"4"]
    assert backend.count() == 1, "the session went on"


@pytest.mark.parametrize("text,line", [("topic readwrite b\nnonsense\n", 2), ("", 0), ("# only words\n", 0),
                                       ("user x\ntopic read a/#/b\n", 2), ("pattern rread x\n", 1)])
def test_bad_acl_changes_nothing(gate_of, backend, port, device_of, files, text, line):
    acl = files("acl", "topic readwrite a\n")
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\nacl_file %s\n" % (backend.port, port, acl))
    device = device_of(port, version=5)
    device.connect()
    files("acl", text)
    log = gate.reload()
    assert "refused" in log and (("acl:%d" % line) if line else "acl") in log
    for other in (device, device_of(port, version=5)):
        if other is not device:
            other.connect("other")
        assert other.publish("a", "x", 1) == 0 and other.publish("b", "x", 1) == 0x87


def test_missing_acl_changes_nothing(gate_of, backend, port, device_of, files):
    acl = files("acl", "topic readwrite a\n")
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\nacl_file %s\n" % (backend.port, port, acl))
    acl.unlink()
    log = gate.reload()
    assert "refused" in log and "drawbridge.conf:3" in log
    device = device_of(port, version=5)
    device.connect()
    assert device.publish("a", "x", 1) == 0 and device.publish("b", "x", 1) == 0x87


@pytest.mark.parametrize("broken,line", [("no_such_keyword 1\n", 4), ("max_qos 7\n", 4), ("listener\n", 4), ("allow_anonymous yes\n", 4)])
def test_bad_configuration_changes_nothing(gate_of, backend, port, device_of, broken, line):
    good = "backend 127.0.0.1:%d\nlistener %d\nmax_qos 1\n" % (backend.port, port)
    gate = gate_of(good)
    log = gate.reload(good.replace("max_qos 1", "max_qos 0") + broken)
    assert "refused" in log and "drawbridge.conf:%d:" % line in log
    device = device_of(port, version=5)
    assert device.connect().prop(mqtt.MAXIMUM_QOS) == 1
    gate.write(good.replace("max_qos 1", "max_qos 0"))
    assert "in force" in gate.reload()
    assert device_of(port, version=5).connect("next").prop(mqtt.MAXIMUM_QOS) == 0


def test_configuration_that_is_gone(gate_of, backend, port, device_of):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    gate.path.unlink()
    assert "refused" in gate.reload()
    device = device_of(port)
    device.connect()
    assert device.ping()


def test_new_certificate_for_new_connections(gate_of, backend, certs, tls, port, device_of, tmp_path):
    crt, key = tmp_path / "server.crt", tmp_path / "server.key"
    shutil.copy(certs.server_crt, crt)
    shutil.copy(certs.server_key, key)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\ncertfile %s\nkeyfile %s\n" % (backend.port, port, crt, key))
    old = device_of(port, tls)
    old.connect("old")
    first = old.sock.getpeercert()["serialNumber"]
    new_crt, new_key = certs.ca.issue_server("renewed")
    shutil.copy(new_crt, crt)
    log = gate.reload()
    assert "refused" in log, "the new certificate does not fit the old key yet"
    assert device_of(port, tls).sock.getpeercert()["serialNumber"] == first
    shutil.copy(new_key, key)
    assert "in force" in gate.reload()
    assert device_of(port, tls).sock.getpeercert()["serialNumber"] != first
    assert old.ping(), "connections that exist stay"


def test_removed_user_is_disconnected(gate_of, backend, port, device_of, tmp_path):
    """At once; who changed his password too; everybody else stays."""
    passwords = tmp_path / "passwords"

    def passwd(*arguments):
        subprocess.run(["mosquitto_passwd", *arguments], check=True, timeout=30)

    passwords.touch(mode=0o600)
    for name in ("alice", "bob", "carol"):
        passwd("-b", passwords, name, "secret")
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\nallow_anonymous true\npassword_file %s\n" % (backend.port, port, passwords))
    devices = {}
    for name in ("alice", "bob", "carol", None):
        devices[name] = device_of(port, version=5)
        devices[name].connect(str(name), username=name, password=name and "secret")
    passwd("-D", passwords, "alice")
    passwd("-b", passwords, "bob", "changed")
    assert "in force" in gate.reload()
    for index, name in enumerate(("alice", "bob")):
        assert [(one.kind, one.reason) for one in devices[name].read_to_end()] == [(mqtt.DISCONNECT, 0x87)]
        connection = backend.wait_connection(index)
        connection.wait_closed()
        assert connection.behind_connect() == b""
    assert devices["carol"].ping() and devices[None].ping()
    again = device_of(port, version=5)
    again.connect("bob", username="bob", password="changed")
    assert again.ping()


def test_removed_user_gets_nothing_more(gate_of, backend, port, device_of, tmp_path):
    """A message that the broker sends meanwhile does not arrive."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    for name in ("alice", "bob"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, name, "secret"], check=True, timeout=30)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\npassword_file %s\n" % (backend.port, port, passwords))
    device = device_of(port)
    device.connect(username="alice", password="secret")
    subprocess.run(["mosquitto_passwd", "-D", passwords, "alice"], check=True, timeout=30)
    gate.reload()
    try:
        backend.wait_connection().send(mqtt.publish(4, "t", "secret"))
    except OSError:
        pass  # closed already
    assert device.read_to_end() == []


@pytest.mark.parametrize("text", ["", "garbage", "alice:plain\n", "alice:$7$101$xx$yy\n", ":$6$x$y\n"])
def test_bad_passwords_change_nothing(gate_of, backend, port, device_of, tmp_path, text):
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "alice", "secret"], check=True, timeout=30)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\npassword_file %s\n" % (backend.port, port, passwords))
    device = device_of(port)
    device.connect(username="alice", password="secret")
    passwords.write_text(text)
    assert "refused" in gate.reload()
    assert device.ping()
    device = device_of(port)
    device.connect(username="alice", password="secret")
    stranger = device_of(port)
    stranger.send(mqtt.connect(4))
    assert stranger.read().reason == 5


def test_backend_moves(gate_of, backend_of, port, device_of):
    old, new = backend_of(), backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (old.port, port))
    first = device_of(port)
    first.connect("first")
    assert "in force" in gate.reload("backend 127.0.0.1:%d\nlistener %d\n" % (new.port, port))
    second = device_of(port)
    second.connect("second")
    assert second.ping() and first.ping()
    assert (old.count(), new.count()) == (1, 1)


def test_moved_listener_needs_a_restart(gate_of, backend, port, device_of):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n" % (backend.port, port))
    log = gate.reload("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n" % (backend.port, port + 1))
    assert "restart" in log
    device = device_of(port)
    device.connect()
    assert device.ping()


def test_options_that_need_a_restart_are_named(gate_of, backend, port):
    text = "backend 127.0.0.1:%d\nlistener %d\nworkers %d\n"
    gate = gate_of(text % (backend.port, port, 1))
    log = gate.reload(text % (backend.port, port, 2))
    assert re.search(r"drawbridge\.conf:3: workers .*restart", log)


def test_log_file_is_rotated(gate_of, backend, port, device_of, tmp_path):
    log = tmp_path / "own.log"
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\nlog_dest file %s\nlog_dest stderr\n" % (backend.port, port, log))
    assert "ready" in log.read_text()
    for signal in (10, 34):  # USR1, RTMIN
        moved = tmp_path / ("own.log.%d" % signal)
        log.rename(moved)
        gate.process.send_signal(signal)
        end = time.monotonic() + WAIT_S
        while not log.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        device = device_of(port)
        device.connect("dev%d" % signal)
        end = time.monotonic() + WAIT_S
        while "dev%d" % signal not in log.read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert "dev%d" % signal not in moved.read_text()


def test_reload_under_load(gate_of, broker, certs, tls, port, device_of, subscriber_of):
    """Fifty reloads while messages flow: none is lost or doubled."""
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (broker.port, port, certs.tls))
    subscriber = subscriber_of(port, "--cafile", certs.cafile, "-t", "reload/load", "-q", 1)
    device = device_of(port, tls)
    device.connect()
    for number in range(500):
        device.publish("reload/load", "%d" % number, 1, number + 1)
        if number % 10 == 0:
            gate.process.send_signal(1)
    gate.wait_log("in force", 10)
    assert [int(message[3]) for message in subscriber.wait(500)] == list(range(500))


def test_many_reloads_do_not_grow(gate_of, backend, certs, tls, port, device_of, files):
    acl = files("acl", "".join("user u%d\ntopic read a/%d/#\n" % (number, number) for number in range(2000)) + "pattern write #\n")
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%sacl_file %s\n" % (backend.port, port, certs.tls, acl))
    device = device_of(port, tls)
    device.connect()

    def reload(count):
        for _ in range(count):
            before = len(re.findall("in force", gate.log()))
            gate.process.send_signal(1)
            gate.wait_log("in force", before + 1)
        device.ping()

    reload(5)
    descriptors, before = gate.descriptor_count(), gate.memory_kib()
    reload(40)
    assert gate.descriptor_count() == descriptors
    assert gate.memory_kib() - before < 60 * 1024, "every reload leaves something behind"


def test_include_dir(gate_of, backend, port, device_of):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\ninclude_dir more\n" % (backend.port, port), is_started=False)
    (gate.folder / "more").mkdir()
    (gate.folder / "more/a.conf").write_text("max_keepalive 30\n")
    (gate.folder / "more/ignored.txt").write_text("nonsense\n")
    gate.start()
    assert device_of(port, version=5).connect(keep_alive=60).prop(mqtt.SERVER_KEEP_ALIVE) == 30
    (gate.folder / "more/a.conf").write_text("max_keepalive 20\nnonsense 1\n")
    log = gate.reload()
    assert "a.conf:2:" in log and "refused" in log
    (gate.folder / "more/a.conf").write_text("max_keepalive 20\n")
    gate.reload()
    assert device_of(port, version=5).connect("next", keep_alive=60).prop(mqtt.SERVER_KEEP_ALIVE) == 20


def test_clients_ca_and_crl_change(gate_of, backend, certs, port):
    text = "backend 127.0.0.1:%d\nlistener %d\n%scafile %s\nrequire_certificate true\n" % (
        backend.port, port, certs.tls, certs.device_ca.crt)
    gate = gate_of(text)

    def may_enter(pair):
        try:
            with Device(port, tls_context(certs.cafile, *pair)) as device:
                device.connect()
                return True
        except (ssl.SSLError, ConnectionError, AssertionError):
            return False

    assert may_enter(certs.alice) and may_enter(certs.mallory)
    gate.reload(text + "crlfile %s\n" % certs.crl)
    assert may_enter(certs.alice) and not may_enter(certs.mallory)
    gate.wait_log("revoked")
