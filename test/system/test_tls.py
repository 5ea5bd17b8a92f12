"""TLS: versions, certificates of devices, resumption, and bytes that are no TLS."""
import socket
import ssl
import subprocess
import time

import pytest

from peers import packets as mqtt
from peers.certs import Authority
from peers.device import Device, tls_context
from peers.ports import free_port

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def backend(shared_backend_of):
    return shared_backend_of()


@pytest.fixture(scope="module")
def place(shared_gate_of, backend, certs):
    """One gate: a plain TLS listener, one that demands certificates, one with a CRL, TLS 1.3 alone, certain ciphers."""
    ports = {name: free_port() for name in ("open", "mutual", "crl", "tls13", "ciphers", "rsa", "dates")}
    mutual = "%scafile %s\nrequire_certificate true\n" % (certs.tls, certs.device_ca.crt)
    rsa = "certfile %s\nkeyfile %s\n" % certs.ca.issue_server("rsa", is_rsa=True)
    gate = shared_gate_of("backend 127.0.0.1:%d\n" % backend.port + "".join("listener %d\n%s" % (ports[name], lines) for name, lines in (
        ("open", certs.tls), ("mutual", mutual), ("crl", mutual + "crlfile %s\n" % certs.crl),
        ("tls13", certs.tls + "tls_version tlsv1.3\n"),
        ("ciphers", certs.tls + "ciphers ECDHE-ECDSA-CHACHA20-POLY1305\nciphers_tls1.3 TLS_AES_256_GCM_SHA384\n"),
        ("rsa", rsa), ("dates", mutual + "disable_client_cert_date_checks true\n"))))
    gate.ports = ports
    return gate


def enter(port, context, **options):
    """A device that is in, or None when TLS or the program said no. In TLS 1.3 that is heard behind the handshake."""
    try:
        device = Device(port, context, **options)
    except (ssl.SSLError, ConnectionError):
        return None
    try:
        device.connect()
        assert device.ping()
        return device
    except (ssl.SSLError, ConnectionError, AssertionError):
        device.close()
        return None


@pytest.mark.parametrize("version,name", [(V12, "TLSv1.2"), (V13, "TLSv1.3")])
@pytest.mark.parametrize("listener", ["open", "rsa"])
def test_versions(place, certs, version, name, listener):
    with enter(place.ports[listener], tls_context(certs.cafile, minimum=version, maximum=version)) as device:
        assert device.sock.version() == name
        assert device.sock.compression() is None


def test_old_versions_are_refused(place):
    for flag in ("-tls1", "-tls1_1"):
        done = subprocess.run(["openssl", "s_client", flag, "-cipher", "ALL:@SECLEVEL=0", "-connect", "127.0.0.1:%d" % place.ports["open"]],
                              input=b"", capture_output=True, timeout=20)
        assert done.returncode != 0 and b"protocol version" in done.stderr, done.stderr
    place.wait_log("offers no TLS version")


def test_tls_version(place, certs):
    assert enter(place.ports["tls13"], tls_context(certs.cafile, maximum=V12)) is None
    with enter(place.ports["tls13"], tls_context(certs.cafile)) as device:
        assert device.sock.version() == "TLSv1.3"


def test_ciphers(place, certs):
    with enter(place.ports["ciphers"], tls_context(certs.cafile, maximum=V12)) as device:
        assert device.sock.cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    with enter(place.ports["ciphers"], tls_context(certs.cafile)) as device:
        assert device.sock.cipher()[0] == "TLS_AES_256_GCM_SHA384"
    assert enter(place.ports["ciphers"], tls_context(certs.cafile, maximum=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")) is None
    place.wait_log("no cipher")


def test_x25519_and_aes128_first(place):
    done = subprocess.run(["openssl", "s_client", "-tls1_3", "-connect", "127.0.0.1:%d" % place.ports["open"]], input=b"",
                          capture_output=True, timeout=20)
    assert b"X25519" in done.stdout and b"TLS_AES_128_GCM_SHA256" in done.stdout, done.stdout[-2000:]


@pytest.mark.parametrize("version", [V12, V13])
def test_certificate_required(place, certs, backend, version):
    port = place.ports["mutual"]
    versions = {"minimum": version, "maximum": version}
    before = backend.count()
    assert enter(port, tls_context(certs.cafile, **versions)) is None
    place.wait_log("sends no certificate")
    stranger = certs.ca.issue_device("stranger%d" % version)
    assert enter(port, tls_context(certs.cafile, *stranger, **versions)) is None
    place.wait_log("not signed by a CA")
    expired = certs.device_ca.issue_device("expired%d" % version, from_days=-20, to_days=-10)
    assert enter(port, tls_context(certs.cafile, *expired, **versions)) is None
    place.wait_log("certificate of the device.*has expired")
    future = certs.device_ca.issue_device("future%d" % version, from_days=10, to_days=20)
    assert enter(port, tls_context(certs.cafile, *future, **versions)) is None
    server = certs.device_ca.issue_server("server%d" % version)
    assert enter(port, tls_context(certs.cafile, *server, **versions)) is None, "a server's certificate is no device's"
    assert backend.count() == before
    with enter(port, tls_context(certs.cafile, *certs.alice, **versions)) as device:
        assert device.sock.version()


def test_dates_may_be_ignored(place, certs):
    """disable_client_cert_date_checks: for devices without a clock; all else is checked."""
    expired = certs.device_ca.issue_device("clockless", from_days=-20, to_days=-10)
    with enter(place.ports["dates"], tls_context(certs.cafile, *expired)) as device:
        assert device
    assert enter(place.ports["dates"], tls_context(certs.cafile, *certs.ca.issue_device("stranger-dates"))) is None


@pytest.mark.parametrize("version", [V12, V13])
def test_revoked(place, certs, version):
    versions = {"minimum": version, "maximum": version}
    with enter(place.ports["crl"], tls_context(certs.cafile, *certs.alice, **versions)) as device:
        assert device
    assert enter(place.ports["crl"], tls_context(certs.cafile, *certs.mallory, **versions)) is None
    place.wait_log("revoked")


def test_no_certificate_is_asked_for(place):
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % place.ports["open"]], input=b"",
                          capture_output=True, timeout=20)
    assert b"No client certificate CA names sent" in done.stdout
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % place.ports["mutual"]], input=b"",
                          capture_output=True, timeout=20)
    assert b"Device CA" in done.stdout


def test_no_renegotiation(place, certs):
    """TLS 1.2, asked for by the device: refused, whether the connection lives on or not."""
    done = subprocess.run(["openssl", "s_client", "-tls1_2", "-CAfile", str(certs.cafile), "-connect",
                           "127.0.0.1:%d" % place.ports["open"]], input=b"R\n", capture_output=True, timeout=30)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr.lower() or b"alert" in done.stderr.lower(), done.stderr
    assert b"Secure Renegotiation IS supported" in done.stdout  # RFC 5746 is known, it is just not done


def resume(port, context, other=None, hostname="127.0.0.1"):
    """Connects twice, the second time with the ticket of the first; is the second one resumed?"""
    with Device(port, context, server_hostname=hostname) as first:
        first.connect("first")
        first.ping()  # TLS 1.3: tickets come behind the handshake
        session = first.sock.session
    sock = socket.create_connection(("127.0.0.1", other or port))
    try:
        sock = context.wrap_socket(sock, server_hostname=hostname, session=session)
        return sock.session_reused
    finally:
        sock.close()


@pytest.mark.parametrize("version", [V12, V13])
def test_resumption(place, certs, version):
    context = tls_context(certs.cafile, minimum=version, maximum=version)
    assert resume(place.ports["open"], context)


@pytest.mark.parametrize("version", [V12, V13])
def test_a_ticket_opens_no_other_listener(place, certs, version):
    """The ticket of a listener without certificates is no pass for one with, nor past a CRL."""
    versions = {"minimum": version, "maximum": version}
    context = tls_context(certs.cafile, *certs.mallory, **versions)
    try:
        assert not resume(place.ports["mutual"], context, place.ports["crl"])
    except (ssl.SSLError, ConnectionError):
        pass  # a full handshake, in which mallory is refused
    plain = tls_context(certs.cafile, **versions)
    try:
        assert not resume(place.ports["open"], plain, place.ports["mutual"])
    except (ssl.SSLError, ConnectionError):
        pass


def test_resumed_device_keeps_its_name(gate_of, backend_of, certs, port):
    backend = backend_of()
    gate_of("backend 127.0.0.1:%d\nlistener %d\n%scafile %s\nrequire_certificate true\nuse_identity_as_username true\n" %
            (backend.port, port, certs.tls, certs.device_ca.crt))
    for version in (V12, V13):
        context = tls_context(certs.cafile, *certs.alice, minimum=version, maximum=version)
        with Device(port, context) as first:
            first.connect()
            first.ping()
            session = first.sock.session
        with Device.__new__(Device) as second:
            second.version, second.buffer, second.was_reset = 4, b"", False
            second.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1", session=session)
            assert second.sock.session_reused
            second.connect()
        assert backend.wait_connection(-1).of_kind(mqtt.CONNECT)[0].username == "alice"


def test_tickets_do_not_outlive_a_new_crl(gate_of, backend_of, certs, port):
    """A revoked device must not come back with a ticket from before (reload, same CRL path)."""
    backend = backend_of()
    ca = Authority(certs.folder / ("ca-%d" % port), "Another Device CA")
    pair = ca.issue_device("soon-revoked")
    crl = ca.write_crl()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%scafile %s\nrequire_certificate true\ncrlfile %s\n" %
                   (backend.port, port, certs.tls, ca.crt, crl))
    for version in (V12, V13):
        context = tls_context(certs.cafile, *pair, minimum=version, maximum=version)
        assert resume(port, context)
    contexts, sessions = {}, {}
    for version in (V12, V13):
        contexts[version] = tls_context(certs.cafile, *pair, minimum=version, maximum=version)
        with Device(port, contexts[version]) as device:
            device.connect()
            device.ping()
            sessions[version] = device.sock.session
    ca.revoke("soon-revoked")
    ca.write_crl()
    assert "in force" in gate.reload()
    before = backend.count()
    for version in (V12, V13):
        sock = socket.create_connection(("127.0.0.1", port))
        try:
            sock = contexts[version].wrap_socket(sock, server_hostname="127.0.0.1", session=sessions[version])
            sock.sendall(mqtt.connect(4))
            assert sock.recv(100) == b"", "a revoked device came in with an old ticket"
        except (ssl.SSLError, ConnectionError):
            pass
        finally:
            sock.close()
    assert backend.count() == before


@pytest.mark.parametrize("data,words", [
    (mqtt.connect(4), "MQTT without TLS"), (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP without TLS"),
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY"), (bytes(range(100)), "not TLS"), (b"\x16\x03\x01\xff\xff" + b"\0" * 100, "")],
    ids=["mqtt", "http", "proxy", "garbage", "huge record"])
def test_not_tls(place, backend, data, words):
    before = backend.count()
    with Device(place.ports["open"]) as device:
        device.send(data)
        device._receive(15)
        assert mqtt.CONNACK << 4 != (device.buffer or b"\0")[0]
        while device._receive(15):
            pass
    if words:
        place.wait_log(words)
    assert backend.count() == before and place.is_alive()


def test_garbage_inside_tls(place, certs, tls):
    """A record that cannot be decrypted ends the session; the rest lives on."""
    with Device(place.ports["open"], tls) as device:
        device.connect()
        raw = socket.socket(fileno=device.sock.detach())
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        raw.settimeout(15)
        try:
            while raw.recv(4096):
                pass
        except ConnectionResetError:
            pass
        raw.close()
    assert enter(place.ports["open"], tls)


def test_devices_without_close_notify(place, backend, tls):
    """Many devices just close; that is no error in the log."""
    before = backend.count()
    device = Device(place.ports["open"], tls)
    device.connect("silent-closer")
    raw = socket.socket(fileno=device.sock.detach())
    raw.close()
    backend.wait_connection(before).wait_closed()
    line = place.wait_log("silent-closer.*gone.*").group(0)
    assert "closed the connection" in line


def test_close_notify_is_sent(place, tls):
    """The program's own end is a proper one: no truncation for the device."""
    device = Device(place.ports["open"], tls)
    device.connect()
    device.send(mqtt.disconnect(4))
    device.sock.settimeout(15)
    assert device.sock.recv(100) == b""  # SSLEOFError otherwise
    device.close()


def test_records_of_one_byte(place, certs, tls):
    """A CONNECT in as many TLS records as it has bytes."""
    with Device(place.ports["open"], tls) as device:
        for byte in mqtt.connect(4, "bytewise"):
            device.send(bytes([byte]))
        assert device.expect(mqtt.CONNACK).reason == 0


def test_everything_in_one_segment(place, backend, tls):
    """Handshake's end, CONNECT and PUBLISHes may arrive together."""
    before = backend.count()
    with Device(place.ports["open"], tls) as device:
        device.send(mqtt.connect(4) + b"".join(mqtt.publish(4, "t", "%d" % number) for number in range(100)))
        assert device.expect(mqtt.CONNACK).reason == 0
        connection = backend.wait_connection(before)
        connection.wait(lambda: len(connection.of_kind(mqtt.PUBLISH)) == 100, what="100 PUBLISHes")


def test_chain_certificates(gate_of, backend, certs, port, tmp_path):
    """certfile holds the server's certificate and the intermediate's: a device that knows the root alone is content."""
    root = Authority(tmp_path / "root", "Root")
    middle = Authority(tmp_path / "middle", "Middle")
    # The intermediate's own certificate, signed by the root.
    (root.folder / "middle.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
    subprocess.run(["openssl", "req", "-new", "-key", middle.key, "-subj", "/CN=Middle", "-out", root.folder / "m.csr"], check=True)
    subprocess.run(["openssl", "x509", "-req", "-in", root.folder / "m.csr", "-CA", root.crt, "-CAkey", root.key, "-CAcreateserial",
                    "-days", "30", "-extfile", root.folder / "middle.ext", "-out", root.folder / "m.crt"], check=True, capture_output=True)
    crt, key = middle.issue_server()
    chain = tmp_path / "chain.crt"
    chain.write_bytes(crt.read_bytes() + (root.folder / "m.crt").read_bytes())
    gate_of("backend 127.0.0.1:%d\nlistener %d\ncertfile %s\nkeyfile %s\n" % (backend.port, port, chain, key))
    with enter(port, tls_context(root.crt)) as device:
        assert device


def test_silent_peers_cost_nothing(place):
    """Connections that say nothing, half a hello, or half a record: no busy loop."""
    socks = [socket.create_connection(("127.0.0.1", place.ports["open"])) for _ in range(20)]
    for sock in socks[10:]:
        sock.sendall(b"\x16\x03\x01\x02\x00")
    time.sleep(0.3)
    before = place.cpu_s()
    time.sleep(1)
    assert place.cpu_s() - before < 0.1
    for sock in socks:
        sock.close()
