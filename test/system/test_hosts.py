"""Many hosts on one listener: certificates, demands, policy and broker by the name that a device asks for."""
import re
import socket
import ssl
import subprocess
import time

import pytest

from peers.device import Device, tls_context
from peers.ports import free_port

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def backend(shared_backend_of):
    return shared_backend_of()


@pytest.fixture(scope="module")
def issued(certs):
    """certfile and keyfile lines by name."""
    return {name: certs.ca.issue("host-" + name, subject="/CN=" + name, san=san) for name, san in (
        ("own", "DNS:own.test,DNS:localhost"), ("a", "DNS:a.example.com"), ("star", "DNS:*.example.com"), ("m", "DNS:m.test"))}


def pair(issued, name):
    return "certfile %s\nkeyfile %s\n" % issued[name]


def shown(port, name, *arguments):
    """The common name of the certificate that is shown, or the alert."""
    names = ["-servername", name] if name else ["-noservername"]
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, *names, *arguments], input=b"",
                          capture_output=True, timeout=30)
    text = (done.stdout + done.stderr).decode(errors="replace")
    for line in text.splitlines():
        if line.startswith("subject=CN = "):
            return line[len("subject=CN = "):]
    return "unrecognized_name" if "unrecognized name" in text else text


def come(port, certs, name, own=(), version=4, **options):
    device = Device(port, tls_context(certs.cafile, *own), version=version, server_hostname=name)
    try:
        device.connect(**options)
    except BaseException:
        device.close()
        raise
    return device


def test_the_most_specific_name_wins(gate_of, backend, issued, port):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%shost *.Example.com\n%shost a.example.com\n%s" % (
        backend.port, port, pair(issued, "own"), pair(issued, "star"), pair(issued, "a")))
    for version in ("-tls1_2", "-tls1_3"):
        assert shown(port, None, version) == "own" and shown(port, "other.test", version) == "own"
        assert shown(port, "a.example.com", version) == "a" and shown(port, "A.EXAMPLE.COM", version) == "a"
        assert shown(port, "b.example.com", version) == "star"
        assert shown(port, "c.b.example.com", version) == "own" and shown(port, "example.com", version) == "own"
    assert "host a.example.com" in gate.log()


def test_sni_strict(gate_of, backend, issued, port):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%ssni_strict true\nhost a.example.com\n%s" % (
        backend.port, port, pair(issued, "own"), pair(issued, "a")))
    for version in ("-tls1_2", "-tls1_3"):
        assert shown(port, None, version) == "unrecognized_name"
        assert shown(port, "other.test", version) == "unrecognized_name"
        assert shown(port, "a.example.com", version) == "a"
        assert shown(port, "own.test", version) == "own", "a name of the listener's own certificate"
    gate.wait_log("asks for no host")
    assert "in force" in gate.reload(gate.path.read_text().replace("sni_strict true", "sni_strict false"))
    assert shown(port, None) == "own"


def test_policy_of_a_host(gate_of, backend_of, certs, issued, port, tmp_path):
    first, second = backend_of(), backend_of()
    for name, text in (("all", "topic readwrite common\n"), ("own", "topic readwrite only-a\n")):
        (tmp_path / name).write_text(text)
    config = ("backend 127.0.0.1:%d\nacl_file %s\nlistener %d\n%shost a.example.com\n%sacl_file %s\nmax_qos 1\nbackend 127.0.0.1:%d\n" %
              (first.port, tmp_path / "all", port, pair(issued, "own"), pair(issued, "a"), tmp_path / "own", second.port))
    gate = gate_of(config)
    with come(port, certs, "own.test", version=5) as own, come(port, certs, "a.example.com", version=5) as other:
        first.wait_connection(0)
        second.wait_connection(0)
        assert (own.publish("common", "x", 1), own.publish("only-a", "x", 1)) == (0, 0x87)
        assert (other.publish("common", "x", 1), other.publish("only-a", "x", 1)) == (0x87, 0)
        assert first.count() == second.count() == 1
        # A reload changes the host's rules for who is connected.
        (tmp_path / "own").write_text("topic readwrite new-a\n")
        assert "in force" in gate.reload()
        assert (other.publish("only-a", "x", 1), other.publish("new-a", "x", 1), own.publish("common", "x", 1)) == (0x87, 0, 0)
        # A host that is gone: its devices are the listener's.
        assert "in force" in gate.reload(config[:config.index("host ")])
        assert (other.publish("common", "x", 1), other.publish("new-a", "x", 1)) == (0, 0x87)
        # And back.
        assert "in force" in gate.reload(config)
        assert (other.publish("common", "x", 1), other.publish("new-a", "x", 1)) == (0x87, 0)


def test_backends_of_hosts_move(gate_of, backend_of, certs, issued, port):
    first, second, third = backend_of(), backend_of(), backend_of()
    config = "backend localhost:%d\nlistener %d\n%shost a.example.com\n%sbackend localhost:%d\n"
    gate = gate_of(config % (first.port, port, pair(issued, "own"), pair(issued, "a"), second.port))
    for name in ("own.test", "a.example.com", "a.example.com"):
        come(port, certs, name).close()
    assert (first.count(), second.count()) == (1, 2)
    assert "in force" in gate.reload(config % (third.port, port, pair(issued, "own"), pair(issued, "a"), first.port))
    for name in ("own.test", "a.example.com"):
        come(port, certs, name).close()
    assert (first.count(), second.count(), third.count()) == (2, 2, 1)


def test_passwords_of_a_host(gate_of, backend, certs, issued, port, tmp_path):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "ann", "secret"], check=True)
    gate_of("backend 127.0.0.1:%d\nallow_anonymous true\nlistener %d\n%shost a.example.com\n%spassword_file %s\nallow_anonymous false\n" % (
        backend.port, port, pair(issued, "own"), pair(issued, "a"), passwords))
    come(port, certs, "own.test").close()
    come(port, certs, "a.example.com", username="ann", password="secret").close()
    for wrong in ({}, {"username": "ann", "password": "wrong"}):
        come(port, certs, "a.example.com", code=5, **wrong).close()


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_stays_with_its_host(gate_of, backend, certs, issued, port, version):
    gate_of("backend 127.0.0.1:%d\nlistener %d\n%shost a.example.com\n%shost m.test\n%scafile %s\nrequire_certificate true\n" % (
        backend.port, port, pair(issued, "own"), pair(issued, "a"), pair(issued, "m"), certs.device_ca.crt))
    context = tls_context(certs.cafile, *certs.alice, minimum=version, maximum=version)
    sessions = {}
    for name in ("own.test", "a.example.com", "m.test"):
        with Device(port, context, server_hostname=name) as device:
            device.connect()
            device.ping()
            sessions[name] = device.sock.session
    for source, session in sessions.items():
        for target in sessions:
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=target, session=session) as sock:
                assert sock.session_reused == (source == target), (source, target)
    # Without a certificate no ticket of another host opens the one that demands it.
    bare = tls_context(certs.cafile, minimum=version, maximum=version)
    with Device(port, bare, server_hostname="a.example.com") as device:
        device.connect()
        device.ping()
        session = device.sock.session
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with bare.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="m.test", session=session) as sock:
            sock.sendall(b"\x10")
            assert not sock.session_reused
            if not sock.recv(1):
                raise ConnectionError


def test_pem_dir(gate_of, backend, certs, issued, port, tmp_path):
    folder = tmp_path / "pems"
    folder.mkdir()

    def put(file, name):
        crt, key = issued[name]
        (folder / file).write_text(crt.read_text() + key.read_text())
        (folder / file).chmod(0o600)

    put("2.pem", "a")
    put("1.pem", "own")
    put("ignored.crt", "m")
    config = "backend 127.0.0.1:%d\nlistener %d\npem_dir %s\n" % (backend.port, port, folder)
    gate = gate_of(config)
    assert shown(port, None) == "own" and shown(port, "a.example.com") == "a" and shown(port, "m.test") == "own"
    put("3.pem", "star")
    assert "in force" in gate.reload()
    assert shown(port, "b.example.com") == "star" and shown(port, "a.example.com") == "a"
    # A host section of the same name wins.
    assert "in force" in gate.reload(config + "host a.example.com\n%s" % pair(issued, "m"))
    assert shown(port, "a.example.com") == "m"
    assert "in force" in gate.reload(config)
    # A bad file changes nothing, and is named.
    (folder / "4.pem").write_text(issued["m"][0].read_text())
    log = gate.reload()
    assert "refused" in log and "4.pem" in log
    put("4.pem", "a")
    assert "4.pem is not shown for a.example.com" in gate.reload()
    for one in folder.glob("*.pem"):
        one.unlink()
    log = gate.reload()
    assert "refused" in log and "holds no file that ends in .pem" in log
    assert shown(port, "b.example.com") == "star"


def test_a_bad_host_changes_nothing(gate_of, backend, certs, issued, port):
    config = "backend 127.0.0.1:%d\nlistener %d\n%shost a.example.com\n%s" % (backend.port, port, pair(issued, "own"), pair(issued, "a"))
    gate = gate_of(config)
    for broken in (config.replace("host-a.key", "host-m.key"), config + "cafile /nowhere\nrequire_certificate true\n",
                   config + "acl_file /nowhere\n", config + "host a.example.com\n"):
        assert "refused" in gate.reload(broken)
        assert shown(port, "a.example.com") == "a"


def test_expiry(gate_of, backend, certs, issued, port, tmp_path):
    """Each certfile of each host has its own row, and is named when its end is near."""
    metrics = free_port()
    soon = certs.ca.issue("host-soon", subject="/CN=soon", san="DNS:soon.test", to_days=5)
    folder = tmp_path / "pems"
    folder.mkdir()
    (folder / "m.pem").write_text(issued["m"][0].read_text() + issued["m"][1].read_text())
    gate = gate_of("backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nlistener %d\n%s%spem_dir %s\nhost soon.test\n%s" % (
        backend.port, metrics, port, pair(issued, "own"),
        "certfile %s\nkeyfile %s\n" % certs.ca.issue("own-rsa", subject="/CN=own", san="DNS:own.test", is_rsa=True), folder,
        "certfile %s\nkeyfile %s\n" % soon))
    text = scrape(metrics)
    rows = dict(re.findall(r'^drawbridge_certificate_expires_seconds\{listener="listener %d",(.*)\} (\d+)$' % port, text, re.M))
    assert len(rows) == 4, text
    days = {labels: round((int(seconds) - time.time()) / 86400) for labels, seconds in rows.items()}
    assert days['host="",certificate="%s"' % issued["own"][0]] == 90
    assert days['host="soon.test",certificate="%s"' % soon[0]] == 5
    assert days['host="",certificate="%s"' % (folder / "m.pem")] == 90
    assert re.search(r"host-soon.crt: the certificate CN=soon expires on [-0-9]+, in [45] days", gate.log())


def scrape(port):
    with socket.create_connection(("127.0.0.1", port), 15) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b""
        while data := sock.recv(65536):
            text += data
    return text.decode()
