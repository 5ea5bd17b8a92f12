"""TLS to the broker: whom we believe, what we show, and what happens when the broker does not prove itself; with a
mosquitto and openssl s_server behind the program."""
import contextlib
import re
import socket
import ssl
import subprocess
import threading
import time
import zlib

import pytest

from peers import packets as mqtt
from peers import proxies
from peers.certs import Authority, openssl
from peers.counters import counters, wait_counter
from peers.device import tls_context
from peers.gate import run
from peers.ports import free_port

FAILED = 'backend_failures_total{cause="%s"}'
UNAVAILABLE = 0x88


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """The broker's CA and its certificates."""
    folder = tmp_path_factory.mktemp("backend-pki")
    ca = Authority(folder / "ca", "Broker CA")
    ca.client = ca.issue_device("gate")
    return ca


@pytest.fixture
def tls_broker_of(broker_of, pki):
    """A mosquitto with a TLS listener; its port is .tls_port."""

    def make(pair=None, more=""):
        port = free_port()
        crt, key = pair or (pki.folder / "server.crt", pki.folder / "server.key")
        if pair is None and not crt.exists():
            pki.issue_server()
        made = broker_of("listener %d\nallow_anonymous true\ncafile %s\ncertfile %s\nkeyfile %s\n%s" % (port, pki.crt, crt, key, more))
        made.tls_port = port
        return made

    return make


@pytest.fixture
def start(gate_of):
    def begin(port, lines, host="127.0.0.1", own="", **options):
        listening, metrics = free_port(), free_port()
        gate = gate_of("backend %s:%d\nbackend_tls true\nmetrics_listener 127.0.0.1:%d\nlog_type all\n%slistener %d\n%sallow_anonymous true\n" % (
            host, port, metrics, lines, listening, own), **options)
        gate.port, gate.metrics = listening, metrics
        return gate

    return begin


def refused(gate, device_of, cause, words):
    """A device is told that the server is unavailable, the log says why, and it is counted."""
    with device_of(gate.port, version=5) as device:
        device.send(mqtt.connect(5, "dev"))
        answer = device.expect(mqtt.CONNACK)
        assert answer.reason == UNAVAILABLE, "0x%02x" % answer.reason
        assert device.read() is None
    gate.wait_log("the broker cannot be reached: .*" + words)
    wait_counter(gate.metrics, FAILED % cause, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("version", [4, 5])
def test_good(start, tls_broker_of, pki, device_of, subscriber_of, host, version):
    """Plain devices, each with its own TLS connection to the broker, checked by name or address."""
    broker = tls_broker_of()
    gate = start(broker.tls_port, "backend_cafile %s\n" % pki.crt, host)
    subscriber = subscriber_of(broker.port, "-t", "x/#", "-q", 1)
    device = device_of(gate.port, version=version)
    device.connect("over-tls")
    assert device.subscribe(("y", 1)) == [1]
    device.publish("x/1", b"hello", 1)
    assert subscriber.wait(1) == [("x/1", 1, 0, b"hello")]
    device.send(mqtt.publish(version, "y", b"back", 0))
    assert device.expect(mqtt.PUBLISH).payload == b"back"
    assert re.search(r"New client connected from .* as over-tls", broker.log())
    gate.wait_log("The broker is at .*, over TLS")


def test_tls_on_both_sides(start, tls_broker_of, pki, device_of, certs, tls):
    broker = tls_broker_of()
    gate = start(broker.tls_port, "backend_cafile %s\n" % pki.crt, own=certs.tls)
    device = device_of(gate.port, tls)
    device.connect("both")
    assert device.ping()


def test_capath(start, tls_broker_of, pki, device_of, tmp_path):
    broker = tls_broker_of()
    (tmp_path / "ca.pem").write_bytes(open(pki.crt, "rb").read())
    openssl("rehash", tmp_path)
    gate = start(broker.tls_port, "backend_capath %s\n" % tmp_path)
    device_of(gate.port).connect()


def test_wrong_ca(start, tls_broker_of, device_of, certs):
    gate = start(tls_broker_of().tls_port, "backend_cafile %s\n" % certs.ca.crt)
    refused(gate, device_of, "unknown_ca", "not signed by a CA")


def test_the_systems_cas_are_the_default(start, tls_broker_of, device_of):
    gate = start(tls_broker_of().tls_port, "")
    refused(gate, device_of, "unknown_ca", "not signed by a CA")


@pytest.mark.parametrize("san", ["DNS:broker.example", "DNS:127.0.0.1", "IP:127.0.0.2"])
def test_wrong_name(start, tls_broker_of, pki, device_of, san):
    """The address stands in the common name, which counts for nothing beside a subjectAltName."""
    pair = pki.issue("other-%s" % zlib.crc32(san.encode()), "/CN=127.0.0.1", san)
    gate = start(tls_broker_of(pair).tls_port, "backend_cafile %s\n" % pki.crt)
    refused(gate, device_of, "wrong_name", "another name or address")


def test_expired(start, tls_broker_of, pki, device_of):
    pair = pki.issue_server("old", from_days=-20, to_days=-10)
    gate = start(tls_broker_of(pair).tls_port, "backend_cafile %s\n" % pki.crt)
    refused(gate, device_of, "certificate_expired", "expired")


def test_a_clients_certificate_is_no_servers(start, tls_broker_of, pki, device_of):
    pair = pki.issue("clientish", "/CN=localhost", "IP:127.0.0.1", usage="clientAuth")
    gate = start(tls_broker_of(pair).tls_port, "backend_cafile %s\n" % pki.crt)
    refused(gate, device_of, "certificate_bad", "not made for a server")


def test_sni_names_the_certificate(start, tls_broker_of, pki, device_of):
    pair = pki.issue("named", "/CN=x", "DNS:broker.example")
    broker = tls_broker_of(pair)
    good = start(broker.tls_port, "backend_cafile %s\nbackend_sni broker.example\n" % pki.crt)
    device_of(good.port).connect()
    bad = start(broker.tls_port, "backend_cafile %s\nbackend_sni other.example\n" % pki.crt)
    refused(bad, device_of, "wrong_name", "another name or address")


@pytest.mark.parametrize("ca", ["none", "wrong", "right"])
def test_insecure(start, tls_broker_of, pki, device_of, certs, ca):
    """No name is checked; with a CA its signature still is."""
    pair = pki.issue("stranger-" + ca, "/CN=x", "DNS:broker.example")
    lines = {"none": "", "wrong": "backend_cafile %s\n" % certs.ca.crt, "right": "backend_cafile %s\n" % pki.crt}[ca]
    gate = start(tls_broker_of(pair).tls_port, lines + "backend_insecure true\n")
    gate.wait_log("backend_insecure: the " + ("broker's certificate is not checked" if ca == "none" else "name in the broker's certificate is not"))
    if ca == "wrong":
        refused(gate, device_of, "unknown_ca", "not signed by a CA")
    else:
        device_of(gate.port).connect()
    assert "backend_insecure: the" in gate.reload(), "said at each start and reload"


def test_client_certificate(start, tls_broker_of, pki, device_of, certs):
    broker = tls_broker_of(more="require_certificate true\nuse_identity_as_username true\n")
    lines = "backend_cafile %s\n" % pki.crt
    gate = start(broker.tls_port, lines + "backend_certfile %s\nbackend_keyfile %s\n" % pki.client)
    device_of(gate.port).connect("with-certificate")
    assert "u'gate'" in broker.log()
    assert counters(gate.metrics)["backend_certificate_expires_seconds"] > time.time()
    for own in ("", "backend_certfile %s\nbackend_keyfile %s\n" % certs.device_ca.issue_device("strange")):
        other = start(broker.tls_port, lines + own)
        with device_of(other.port, version=5) as device:  # the broker's reset may overtake its alert, so the log may not know why
            device.send(mqtt.connect(5, "dev"))
            assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_what_the_broker_says_of_our_certificate(start, server_of, pki, device_of, certs, version):
    server = server_of(version, "-Verify", "3", "-verify_return_error", "-CAfile", str(pki.crt))
    lines = "backend_cafile %s\n" % pki.crt
    good = start(server.port, lines + "backend_certfile %s\nbackend_keyfile %s\n" % pki.client)
    device_of(good.port).send(mqtt.connect(4))
    server.wait("subject=CN = gate")
    strange = start(server.port, lines + "backend_certfile %s\nbackend_keyfile %s\n" % certs.device_ca.issue_device("strange" + version))
    refused(strange, device_of, "certificate_refused", "it refuses our certificate")
    without = start(server.port, lines)
    refused(without, device_of, *(("certificate_wanted", "it wants a certificate of ours") if version == "-tls1_3" else
                                  ("handshake_refused", "it wants a certificate of ours")))


def test_no_tls_there(start, broker, device_of, pki):
    gate = start(broker.port, "backend_cafile %s\n" % pki.crt)
    with device_of(gate.port, version=5) as device:
        device.send(mqtt.connect(5, "dev"))
        assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE
    gate.wait_log("the broker cannot be reached: it (closed the connection in the middle of the TLS handshake|does not speak TLS)")


class Server:
    """openssl s_server; what it says is in .log()."""

    def __init__(self, folder, pair, *more):
        self.port, self.path = free_port(), folder / "s_server.log"
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(["stdbuf", "-oL", "openssl", "s_server", "-accept", str(self.port), "-cert", pair[0], "-key", pair[1], *more],
                                            stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.wait("ACCEPT")

    def log(self):
        return self.path.read_text(errors="replace")

    def wait(self, words):
        end = time.monotonic() + 30
        while words not in self.log():
            assert time.monotonic() < end and self.process.poll() is None, self.log()
            time.sleep(0.02)


@pytest.fixture
def server_of(tmp_path, pki):
    made = []

    def make(*more, san="DNS:localhost,IP:127.0.0.1"):
        pair = pki.issue("s%d" % free_port(), "/CN=x", san)
        made.append(Server(tmp_path, pair, *more))
        return made[-1]

    yield make
    for server in made:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("lines,host,seen", [
    ("", "localhost", 'Hostname in TLS extension: "localhost"'), ("backend_sni other.example\n", "127.0.0.1", 'Hostname in TLS extension: "other.example"'),
    ("", "127.0.0.1", None)])
def test_sni(start, server_of, pki, device_of, lines, host, seen):
    server = server_of("-servername", "localhost", "-cert2", pki.client[0], "-key2", pki.client[1], san="DNS:localhost,DNS:other.example,IP:127.0.0.1")
    gate = start(server.port, "backend_insecure true\n" + lines, host)
    device = device_of(gate.port)
    device.send(mqtt.connect(4))
    server.wait("CIPHER is")
    found = re.findall(r'Hostname in TLS extension: "[^"]*"', server.log())
    assert found[:1] == ([seen] if seen else [])


def test_alpn(start, server_of, pki, device_of):
    server = server_of("-alpn", "mqtt")
    gate = start(server.port, "backend_cafile %s\nbackend_alpn x-amzn-mqtt-ca,mqtt\n" % pki.crt)
    device_of(gate.port).send(mqtt.connect(4))
    server.wait("ALPN protocols advertised by the client: x-amzn-mqtt-ca, mqtt")
    server.wait("ALPN protocols selected: mqtt")
    refusing = start(server.port, "backend_cafile %s\nbackend_alpn h2\n" % pki.crt)
    refused(refusing, device_of, "alpn_refused", "protocols of alpn")


@pytest.mark.parametrize("flag,is_good", [("-tls1_2", True), ("-tls1_3", True), ("-tls1_1", False)])
def test_versions(start, server_of, pki, device_of, flag, is_good):
    server = server_of(flag, "-cipher", "ALL:@SECLEVEL=0")
    gate = start(server.port, "backend_cafile %s\n" % pki.crt)
    if is_good:
        device_of(gate.port).send(mqtt.connect(4))
        server.wait("CIPHER is")
    else:
        refused(gate, device_of, "unsupported_version", "no TLS 1.2 or newer")


@pytest.mark.parametrize("kind", ["silent", "closing", "garbage"])
def test_handshakes_that_do_not_end(start, device_of, pki, kind):
    """backend_timeout is for the handshake too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate = start(listener.getsockname()[1], "backend_cafile %s\nbackend_timeout 700ms\n" % pki.crt)
        device = device_of(gate.port, version=5)
        device.send(mqtt.connect(5, "dev"))
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(1) == b"\x16"
            if kind == "closing":
                while not sock.recv(65536):
                    pass
                sock.shutdown(socket.SHUT_WR)
            elif kind == "garbage":
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE
        gate.wait_log({"silent": "the broker did not answer within backend_timeout", "closing": "it closed the connection in the middle",
                       "garbage": "does not speak TLS"}[kind])


def test_header_in_front_of_the_handshake(start, tls_broker_of, pki, device_of, tmp_path):
    """backend_proxy_protocol with backend_tls: one write, then haproxy takes the header off and ends TLS."""
    pair = pki.issue_server("haproxy")
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(open(pair[0]).read() + open(pair[1]).read())
    broker = tls_broker_of()
    port = free_port()
    front = proxies.haproxy(tmp_path / "front", port, "accept-proxy ssl crt %s" % bundle, str(broker.port), '    log-format "from %ci:%cp over %sslv"')
    try:
        gate = start(port, "backend_cafile %s\nbackend_proxy_protocol v2-ssl\n" % pki.crt)
        device = device_of(gate.port, source="127.0.0.81")
        device.connect("behind")
        assert device.ping()
        source = device.sock.getsockname()[1]
        device.close()
        front.wait_log("from 127.0.0.81:%d over TLSv1.3" % source)
    finally:
        front.stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate = start(listener.getsockname()[1], "backend_cafile %s\nbackend_proxy_protocol v2\n" % pki.crt)
        device_of(gate.port).send(mqtt.connect(4))
        sock, _ = listener.accept()
        with sock:
            first = sock.recv(65536)
            header = proxies.Header(first)
            assert first[header.size:header.size + 2] == b"\x16\x03", "header and ClientHello in one write"


def test_reload(start, tls_broker_of, pki, device_of, certs):
    """Devices that are in stay; new ones are under the new rule; a bad set changes nothing."""
    broker = tls_broker_of()
    good = "backend_cafile %s\n" % pki.crt
    gate = start(broker.tls_port, good)
    config = gate.path.read_text()
    early = device_of(gate.port)
    early.connect("early")
    assert "refused" in gate.reload(config.replace(good, "backend_cafile %s\n" % pki.key))
    device_of(gate.port).connect("after-bad")
    assert "in force" in gate.reload(config.replace(good, "backend_cafile %s\n" % certs.ca.crt))
    assert early.ping()
    refused(gate, device_of, "unknown_ca", "not signed by a CA")
    assert "in force" in gate.reload(config)
    device_of(gate.port).connect("after")
    assert early.ping()


class SlowServer:
    """A TLS broker of our own that reads, or not, as it is told."""

    def __init__(self, pair, receive_buffer=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pair)
        self.listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port = self.listener.getsockname()[1]

    def accept(self):
        sock, _ = self.listener.accept()
        sock.settimeout(60)
        sock = self.context.wrap_socket(sock, server_side=True)
        assert sock.recv(65536)[0] == 0x10
        sock.sendall(mqtt.connack(4))
        return sock


def settle(value):
    """The number, when it has stopped growing."""
    last, since, end = value(), time.monotonic(), time.monotonic() + 60
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < end
        time.sleep(0.02)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("way", ["to_broker", "to_device"])
def test_backpressure_through_tls(start, pki, device_of, certs, tls, kind, way):
    """A receiver that does not read stops its sender, memory stays flat, and every byte comes."""
    total = 40_000_000
    pair = pki.issue_server("slow")
    server = SlowServer(pair, 64 * 1024 if way == "to_broker" else None)
    gate = start(server.port, "backend_cafile %s\nmax_packet_size 0\n" % pki.crt, own=certs.tls if kind == "tls" else "")
    accepted = []
    acceptor = threading.Thread(target=lambda: accepted.append(server.accept()), daemon=True)
    acceptor.start()
    device = device_of(gate.port, tls if kind == "tls" else None, receive_buffer=64 * 1024 if way == "to_device" else None)
    device.connect()
    acceptor.join(30)
    broker = accepted[0]
    device.sock.settimeout(60)
    packet = mqtt.publish(4, "flood", bytes(range(256)) * 200)
    sender, receiver = (device.sock, broker) if way == "to_broker" else (broker, device.sock)
    sent = [0]

    def flood():
        with contextlib.suppress(OSError):
            while sent[0] < total:
                sender.sendall(packet)
                sent[0] += len(packet)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    stuck = settle(lambda: sent[0])
    assert 0 < stuck < 20_000_000, "%d bytes were taken although nobody reads" % stuck
    assert counters(gate.metrics)["backpressure_stops_total"] >= 1
    expected, crc, size = 0, 0, 0
    wanted = -(-total // len(packet)) * len(packet)
    for _ in range(wanted // len(packet)):
        expected = zlib.crc32(packet, expected)
    while size < wanted:
        data = receiver.recv(65536)
        assert data, "the stream ended %d bytes early" % (wanted - size)
        crc, size = zlib.crc32(data, crc), size + len(data)
    assert crc == expected, "the bytes arrived changed"
    thread.join(30)
    broker.close()


def test_what_configurations_say(tmp_path, pki, certs):
    def check(lines, words, is_good=False, backend="127.0.0.1"):
        path = tmp_path / "t.conf"
        path.write_text("backend %s\nuser root\n%slistener 1884\n" % (backend, lines))
        done = run("-c", path, "-t")
        assert (done.returncode == 0) == is_good and words in done.stderr, done.stderr

    check("backend_tls true\n", "is good", True)
    for line in ("backend_cafile x", "backend_capath x", "backend_certfile x", "backend_keyfile x", "backend_sni x", "backend_alpn x", "backend_insecure true"):
        check(line + "\n", "t.conf:3: %s needs backend_tls true" % line.split()[0])
    check("backend_insecure false\n", "is good", True)
    tls = "backend_tls true\n"
    check(tls + "backend_certfile %s\n" % pki.client[0], "backend_certfile needs backend_keyfile")
    check(tls + "backend_certfile %s\nbackend_keyfile %s\n" % (pki.client[0], certs.alice[1]), "is not the key of the first certificate")
    check(tls + "backend_certfile %s\nbackend_keyfile %s\n" % (pki.client[1], pki.client[0]), "backend_certfile")
    check(tls + "backend_certfile %s\nbackend_keyfile %s\n" % pki.issue_device("late", from_days=-9, to_days=-3), "expired on")
    check(tls + "backend_certfile %s\nbackend_keyfile %s\n" % pki.issue_server("asserver"), "not made for a client", True)
    encrypted = tmp_path / "encrypted.key"
    openssl("pkey", "-in", pki.client[1], "-aes256", "-passout", "pass:x", "-out", encrypted)
    check(tls + "backend_certfile %s\nbackend_keyfile %s\n" % (pki.client[0], encrypted), "is encrypted")
    (tmp_path / "empty").touch()
    for path in (tmp_path / "none", tmp_path / "empty", pki.client[1], tmp_path):
        check(tls + "backend_cafile %s\n" % path, "t.conf:1: backend_cafile")
    check(tls + "backend_capath %s\n" % tmp_path, "run openssl rehash")
    check(tls + "backend_sni 192.0.2.1\n", "only names can be asked for")
    check(tls + "backend_alpn a,,b\n", "protocol of 0 bytes")
    check(tls, "needs backend_sni", backend="unix:/run/x")
    check(tls + "backend_sni x\n", "is good", True, backend="unix:/run/x")
    check(tls + "backend_insecure true\n", "the broker's certificate is not checked", True)
