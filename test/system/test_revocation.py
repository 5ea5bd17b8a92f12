"""A new crlfile ends the sessions of devices it revokes, at once, idle or not; everybody else stays."""
import re
import socket
import ssl
import subprocess
import urllib.request

import pytest

from peers import packets as mqtt
from peers.certs import Authority, openssl
from peers.device import Device, tls_context
from peers.ports import free_port

VERSIONS = [3, 4, 5]
WORDS = "its certificate was revoked by a new crlfile"


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path / "ca", "Revoking CA")


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, certs, ca, device_of):
    """start(lines): a gate whose devices are the CA's; returns a maker of devices."""

    def begin(lines="", require="true"):
        ca.write_crl()
        gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n%scafile %s\nrequire_certificate %s\ncrlfile %s\n%s" %
                       (backend.port, port, certs.tls, ca.crt, require, ca.crl_path, lines))

        def make(pair, version=4):
            return device_of(port, tls_context(certs.cafile, *(pair or ())), version)

        make.gate = gate
        return make

    return begin


@pytest.mark.parametrize("version", VERSIONS)
def test_idle_devices(start, backend, ca, version):
    make = start()
    pairs = {name: ca.issue_device("%s-%d" % (name, version)) for name in ("good", "thief")}
    devices = {(name, number): make(pairs[name], version) for name in pairs for number in range(6)}  # on both workers
    for (name, number), device in devices.items():
        device.connect("%s%d" % (name, number))
    ca.revoke("thief-%d" % version)
    ca.write_crl()
    assert "in force" in make.gate.reload()
    for (name, number), device in devices.items():
        if name == "thief":  # it has not said a word since
            answers = device.read_to_end()
            assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x87)] if version == 5 else [])
            assert not answers or answers[0].prop(mqtt.REASON_STRING) == WORDS
        else:
            device.ping()
    make.gate.wait_log("thief.*is gone: " + WORDS, count=6)
    assert len([one for one in backend.connections if one.packets and not one.of_kind(mqtt.DISCONNECT)]) == 12, "the wills are sent"
    again = None
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        again = make(pairs["thief"], version)
        again.connect("thief")
    make.gate.wait_log("is revoked by this listener's crlfile")


def test_a_list_taken_back(start, ca):
    """The same list again, or one of another CA, ends nobody."""
    make = start()
    pair = ca.issue_device("dev")
    device = make(pair)
    device.connect("dev")
    for _ in range(3):
        make.gate.reload()
    ca.write_crl()
    make.gate.reload()
    device.ping()
    ca.revoke("dev")
    ca.crl_path.write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    assert "refused" in make.gate.reload()
    device.ping()  # a bad file changes nothing
    ca.write_crl(days=-1)
    assert "expired" in make.gate.reload()
    device.ping()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_during_the_handshake(start, backend, ca, port, certs, version):
    """The list comes while the device shakes hands under the old one: it is not let in."""
    make = start()
    pair = ca.issue_device("dev")
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(b"\x16")  # the first byte of a ClientHello: it was accepted
    make.gate.reload()
    ca.revoke("dev")
    ca.write_crl()
    make.gate.reload()
    context = tls_context(certs.cafile, *pair, minimum=version, maximum=version)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    sock.settimeout(15)
    is_first, ended = True, False
    while not ended:
        try:
            tls.do_handshake()
            tls.write(mqtt.connect(4))
            sock.sendall(outgoing.read())
            while True:
                try:
                    data = tls.read(100)
                    ended = data == b""
                    break
                except ssl.SSLWantReadError:
                    more = sock.recv(65536)
                    if not more:
                        ended = True
                        break
                    incoming.write(more)
            assert ended, "it was let in: %r" % data
        except ssl.SSLWantReadError:
            data = outgoing.read()
            sock.sendall(data[1:] if is_first and data else data)
            is_first = is_first and not data
            more = sock.recv(65536)
            ended = not more
            incoming.write(more)
        except (ssl.SSLError, ConnectionError):
            ended = True
    sock.close()
    make.gate.wait_log(r"Client \(no client id\) .*127\.0\.0\.1.* is gone: " + WORDS)
    assert backend.count() == 0


def test_before_the_connect(start, ca):
    make = start()
    device = make(ca.issue_device("dev"))
    ca.revoke("dev")
    ca.write_crl()
    make.gate.reload()
    assert device.read_to_end() == []


def test_without_a_certificate(start, ca):
    """require_certificate optional: who came without one has nothing that could be revoked."""
    make = start(require="optional")
    bare, thief = make(None), make(ca.issue_device("thief"))
    bare.connect("bare")
    thief.connect("thief")
    ca.revoke("thief")
    ca.write_crl()
    make.gate.reload()
    assert thief.read_to_end() == []
    bare.ping()


def test_a_resumed_session(start, backend, ca, port, certs):
    """A session that came in with a ticket is revoked like any other, and its ticket is worth nothing then."""
    make = start()
    pair = ca.issue_device("dev")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = tls_context(certs.cafile, *pair, minimum=version, maximum=version)
        with Device(port, context) as first:
            first.connect()
            first.ping()
            session = first.sock.session
        second = Device.__new__(Device)
        second.version, second.buffer, second.was_reset = 4, b"", False
        second.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1", session=session)
        assert second.sock.session_reused
        second.connect()
        session = second.sock.session
        ca.revoke("dev")
        ca.write_crl()
        make.gate.reload()
        assert second.read_to_end() == []
        second.close()
        before = backend.count()
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1", session=session) as third:
                third.sendall(mqtt.connect(4))
                assert third.recv(100) != b""
        assert backend.count() == before
        pair = ca.issue_device("dev")


def chain(tmp_path, root):
    """A CA below the root, whose certificate the root's revocation can reach."""
    middle = Authority(tmp_path / "middle", "Middle CA")
    (tmp_path / "middle.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n")
    csr = tmp_path / "middle.csr"
    openssl("req", "-new", "-key", middle.key, "-subj", "/CN=Middle CA", "-out", csr)
    openssl("ca", "-batch", "-notext", "-config", root.folder / "ca.cnf", "-in", csr, "-out", root.folder / "middle.crt", "-extfile",
            tmp_path / "middle.ext", "-days", 30)
    middle.crt.write_bytes((root.folder / "middle.crt").read_bytes())
    return middle


@pytest.mark.parametrize("mode", ["leaf", "chain"])
def test_crl_check(start, backend, ca, tmp_path, mode):
    """Two crlfiles; a CA that is revoked takes its devices along only with crl_check chain."""
    middle = chain(tmp_path, ca)
    crt, key = middle.issue_device("dev")
    crt.write_bytes(crt.read_bytes() + middle.crt.read_bytes())
    other = middle.issue_device("thief")
    other[0].write_bytes(other[0].read_bytes() + middle.crt.read_bytes())
    middle.write_crl()
    make = start("crlfile %s\ncrl_check %s\n" % (middle.crl_path, mode))
    device, thief = make((crt, key)), make(other)
    device.connect("dev")
    thief.connect("thief")
    subprocess.run(["openssl", "ca", "-config", middle.folder / "ca.cnf", "-revoke", middle.folder / "thief.crt"], check=True, capture_output=True)
    middle.write_crl()
    make.gate.reload()
    assert thief.read_to_end() == []  # by the second file
    device.ping()
    ca.revoke("middle")
    ca.write_crl()
    make.gate.reload()
    if mode == "leaf":
        device.ping()
        make((crt, key)).connect("again")
    else:
        assert device.read_to_end() == []
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            make((crt, key)).connect("again")


def test_metrics(start, ca):
    metrics = free_port()
    make = start("metrics_listener 127.0.0.1:%d\n" % metrics)
    device = make(ca.issue_device("dev"))
    device.connect()
    ca.revoke("dev")
    ca.write_crl()
    make.gate.reload()
    device.read_to_end()
    text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % metrics, timeout=15).read().decode()
    assert re.search(r'^drawbridge_\w+\{\w+="certificate_revoked"\} 1$', text, re.M), text


@pytest.mark.parametrize("version", VERSIONS)
def test_removed_users(gate_of, backend, port, device_of, tmp_path, version):
    """The same for users who are gone from password_file, also when they are silent."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    for name in ("alice", "bob"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, name, "secret"], check=True, timeout=30)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\npassword_file %s\n" % (backend.port, port, passwords))
    devices = {name: device_of(port, version=version) for name in ("alice", "bob")}
    for name, device in devices.items():
        device.connect(name, username=name, password="secret")
    subprocess.run(["mosquitto_passwd", "-D", passwords, "alice"], check=True, timeout=30)
    gate.reload()
    answers = devices["alice"].read_to_end()
    assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x87)] if version == 5 else [])
    devices["bob"].ping()
