"""PROXY protocol headers that come in: from hand-made proxies, haproxy and nginx."""
import socket
import ssl
import time

import pytest

from peers import packets as mqtt
from peers import proxies
from peers.counters import counters, wait_counter
from peers.device import Device, tls_context
from peers.gate import run
from peers.ports import free_port

REFUSED = 'proxy_headers_refused_total{cause="%s"}'


@pytest.fixture(scope="module")
def backend(shared_backend_of):
    return shared_backend_of()


@pytest.fixture
def start(gate_of, backend):
    """start(lines for all, lines of the listener): a gate with a listener of its own and counters."""

    def begin(own, shared="", has_senders=True):
        port, metrics = free_port(), free_port()
        gate = gate_of("backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nlog_type all\n%s%slistener %d\n%s" % (
            backend.port, metrics, "proxy_protocol_from 127.0.0.1\n" if has_senders else "", shared, port, own))
        gate.port, gate.metrics = port, metrics
        return gate

    return begin


@pytest.fixture
def front_of(tmp_path):
    made = []

    def make(kind, *arguments, **options):
        made.append(kind(tmp_path / ("front%d" % len(made)), *arguments, **options))
        return made[-1]

    yield make
    for front in made:
        front.stop()


class Announced(Device):
    """A device behind a hand-made proxy: its header stands in front of everything, TLS too."""

    def __init__(self, port, header, tls=None, version=4):
        super().__init__(port, version=version)
        self.sock.sendall(header)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")


def is_closed(port, data, source="127.0.0.1"):
    """Whatever was said: the program closes without a byte of its own."""
    with socket.socket() as sock:
        sock.settimeout(15)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
        try:
            sock.sendall(data)
            assert sock.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    return True


SOURCES = ["198.51.100.7", "2001:db8::7"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_the_address_is_the_devices(start, certs, tls, source, version, kind):
    gate = start("enable_proxy_protocol %d\n%s" % (version, certs.tls if kind == "tls" else ""))
    destination = "2001:db8::1" if ":" in source else "192.0.2.1"
    header = proxies.line(source, destination) if version == 1 else proxies.header(source, destination, has_sum=True, tlvs=proxies.tlv(0xE0, b"x" * 900))
    with Announced(gate.port, header, tls if kind == "tls" else None) as device:
        device.connect("dev-%d" % version)
        assert device.ping()
        shown = "[%s]:4711" % source if ":" in source else source + ":4711"
        assert shown in gate.wait_log("New client connected from .*").group(0)
        device.send(mqtt.disconnect(4))
    assert shown in gate.wait_log(r"is gone: disconnected").string
    assert counters(gate.metrics)["proxy_headers_total"] == 1


def test_header_and_connect_in_one_segment_and_byte_by_byte(start, backend):
    """Nothing behind the header is taken for it, and nothing of it for the CONNECT."""
    for version in (1, 2):
        gate = start("enable_proxy_protocol %d\n" % version)
        header = proxies.line(SOURCES[0]) if version == 1 else proxies.header(SOURCES[0])
        for pieces in ([header + mqtt.connect(4, "one") + mqtt.pingreq()],
                       [bytes([byte]) for byte in header + mqtt.connect(4, "one") + mqtt.pingreq()]):
            with Device(gate.port) as device:
                for piece in pieces:
                    device.send(piece)
                assert device.expect(mqtt.CONNACK).reason == 0
                assert device.expect(mqtt.PINGRESP)
        wait_counter(gate.metrics, "proxy_headers_total", 2)


def test_only_from_the_proxies(start, backend):
    before = backend.count()
    gate = start("enable_proxy_protocol 1\nproxy_protocol_from 127.0.0.2\n")
    assert is_closed(gate.port, proxies.line(SOURCES[0]) + mqtt.connect(4))
    wait_counter(gate.metrics, "connections_not_proxy_total", 1)
    gate.wait_log("127.0.0.1:[0-9]+ closed: its address is not in proxy_protocol_from")
    assert backend.count() == before
    with Device(gate.port, source="127.0.0.2") as device:
        device.send(proxies.line(SOURCES[0]))
        device.connect()
    assert counters(gate.metrics)["proxy_headers_total"] == 1


def test_without_a_header_nobody_comes_in(start, backend, tls, certs):
    before = backend.count()
    gate = start("enable_proxy_protocol 2\n%s" % certs.tls)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Device(gate.port, tls)
    wait_counter(gate.metrics, REFUSED % "no_header", 1)
    assert is_closed(gate.port, mqtt.connect(4, "a-client-id"))
    wait_counter(gate.metrics, REFUSED % "no_header", 2)
    assert is_closed(gate.port, proxies.line(SOURCES[0]))
    wait_counter(gate.metrics, REFUSED % "other_version", 1)
    gate.wait_log("not of the version that enable_proxy_protocol names")
    assert backend.count() == before


def test_each_cause_is_counted(start):
    gate = start("enable_proxy_protocol 2\n")
    short = proxies.header(SOURCES[0])
    for cause, data in (("bad_command", short[:12] + b"\x22" + short[13:]), ("bad_family", short[:13] + b"\x12" + short[14:]),
                        ("bad_length", short[:14] + b"\0\4abcd"), ("too_long", short[:14] + b"\xff\xff"),
                        ("bad_tlv", proxies.header(SOURCES[0], tlvs=b"\x20\0\1\1")),
                        ("bad_checksum", proxies.header(SOURCES[0], has_sum=True)[:-1] + b"\0")):
        assert is_closed(gate.port, data)
        wait_counter(gate.metrics, REFUSED % cause, 1)
    with socket.create_connection(("127.0.0.1", gate.port)) as sock:
        sock.sendall(short[:20])
    wait_counter(gate.metrics, REFUSED % "cut_short", 1)
    with socket.create_connection(("127.0.0.1", gate.port)):
        pass  # a check that only connects is nobody's fault
    lines = start("enable_proxy_protocol 1\n")
    for cause, data in (("bad_text", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"), ("bad_address", b"PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n"),
                        ("bad_port", b"PROXY TCP4 1.1.1.1 1.1.1.1 0 1\r\n"), ("too_long", b"PROXY UNKNOWN " + b"x" * 100)):
        assert is_closed(lines.port, data)
        wait_counter(lines.metrics, REFUSED % cause, 1)
    assert counters(gate.metrics)["connections_open"] == 0


def test_local_is_a_health_check(start, backend):
    before = backend.count()
    gate = start("enable_proxy_protocol 2\n")
    for tlvs in (b"", b"whatever"):
        with socket.create_connection(("127.0.0.1", gate.port), 15) as sock:
            sock.sendall(proxies.header(tlvs=tlvs))
            assert sock.recv(1) == b"", "closed in order, without a reset"
    wait_counter(gate.metrics, "proxy_health_checks_total", 2)
    assert "closed" not in gate.log() and backend.count() == before


def test_unknown_is_the_proxy_itself(start):
    gate = start("enable_proxy_protocol 1\n")
    with Announced(gate.port, b"PROXY UNKNOWN\r\n") as device:
        device.connect("itself")
        gate.wait_log(r"New client connected from 127.0.0.1:\d+ as itself")


def test_header_and_handshake_have_a_deadline(start, certs):
    gate = start("enable_proxy_protocol 2\n%s" % certs.tls, shared="handshake_timeout 700ms\n")
    header = proxies.header(SOURCES[0])
    with socket.create_connection(("127.0.0.1", gate.port), 15) as sock:
        sock.sendall(header[:20])
        assert sock.recv(1) == b""
        wait_counter(gate.metrics, REFUSED % "timeout", 1)
    with socket.create_connection(("127.0.0.1", gate.port), 15) as sock:
        sock.sendall(header)
        assert sock.recv(1) == b""
    gate.wait_log("198.51.100.7:4711. is gone: no TLS handshake within handshake_timeout")


def test_lists_rates_and_bans_are_of_the_true_address(start, backend):
    gate = start("enable_proxy_protocol 2\n", "allow_from 198.51.100.0/24 203.0.113.0/24\ndeny_from 198.51.100.66\nconnection_rate 2/h\nban_after 1/60s for 10m\n"
                 "clientid_deny bad\n")
    for source in ("192.0.2.99", "198.51.100.66"):
        assert is_closed(gate.port, proxies.header(source) + mqtt.connect(4))
    wait_counter(gate.metrics, "connections_denied_total", 2)
    for _ in range(2):
        with Announced(gate.port, proxies.header("198.51.100.1")) as device:
            device.connect()
    assert is_closed(gate.port, proxies.header("198.51.100.1") + mqtt.connect(4))
    wait_counter(gate.metrics, "connections_over_rate_total", 1)
    with Announced(gate.port, proxies.header("198.51.100.2")) as device:
        device.send(mqtt.connect(4, "bad"))
        device.read_to_end()
    gate.wait_log("Failure from 198.51.100.2: ")
    gate.wait_log("Banned address 198.51.100.2 ")
    assert is_closed(gate.port, proxies.header("198.51.100.2") + mqtt.connect(4))
    wait_counter(gate.metrics, "connections_banned_total", 1)
    with Announced(gate.port, proxies.header("203.0.113.3")) as device:
        device.connect()  # the proxy itself is neither banned nor above a rate
    wait_counter(gate.metrics, "connections_open", 0)


def test_the_proxy_names_the_user(start, backend):
    gate = start("enable_proxy_protocol 2\nproxy_protocol_v2_require_tls true\nrequire_certificate true\nuse_identity_as_username true\n")
    assert is_closed(gate.port, proxies.header(SOURCES[0]) + mqtt.connect(4))
    wait_counter(gate.metrics, REFUSED % "no_tls", 1)
    for client, verify in ((1, 0), (5, 1), (3, 0)):
        assert is_closed(gate.port, proxies.header(SOURCES[0], tlvs=proxies.tls_tlv(client, verify, name=b"alice")) + mqtt.connect(4))
    wait_counter(gate.metrics, REFUSED % "no_certificate", 3)
    with Announced(gate.port, proxies.header(SOURCES[0], tlvs=proxies.tls_tlv(name=b"alice"))) as device:
        device.connect("named", username="mallory", password=b"x")
        packet = backend.wait_connection(-1).wait_packet(mqtt.CONNECT)
        assert packet.username == "alice" and packet.password is None
    gate.wait_log(r"as named \(p4, .*u'alice', TLSv1.3\)")
    for name in (None, b"", b"al\0ice", b"\xff"):
        with Announced(gate.port, proxies.header(SOURCES[0], tlvs=proxies.tls_tlv(name=name))) as device:
            device.send(mqtt.connect(4, "nameless"))
            assert device.expect(mqtt.CONNACK).reason != 0


def test_certificate_facts_rule_topics(start, backend, tmp_path):
    (tmp_path / "acl").write_text("pattern readwrite of/%{cn}/#\n")
    gate = start("enable_proxy_protocol 2\n", "acl_file %s\n" % (tmp_path / "acl"))
    for verify, codes in ((0, [0]), (1, [0x80])):
        with Announced(gate.port, proxies.header(SOURCES[0], tlvs=proxies.tls_tlv(verify=verify, name=b"alice"))) as device:
            device.connect()
            assert device.subscribe(("of/alice/x", 0)) == codes


def test_unix_socket(gate_of, backend, tmp_path):
    path = tmp_path / "s"
    gate = gate_of("backend 127.0.0.1:%d\nlistener 0 %s\nenable_proxy_protocol 1\n" % (backend.port, path))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(15)
        sock.connect(str(path))
        sock.sendall(proxies.line(SOURCES[0]) + mqtt.connect(4, "by-unix"))
        assert sock.recv(4)
    gate.wait_log("New client connected from 198.51.100.7:4711 as by-unix")


def test_stop_with_an_unfinished_header(start):
    gate = start("enable_proxy_protocol 2\n")
    with socket.create_connection(("127.0.0.1", gate.port), 15) as sock:
        sock.sendall(proxies.SIGNATURE)
        wait_counter(gate.metrics, "descriptors_used", 2)
        gate.stop()


def test_reload_turns_it_on_and_off(start, backend):
    gate = start("allow_anonymous true\n")
    config = gate.path.read_text()
    with Device(gate.port) as device:
        device.connect()
        gate.reload(config.replace("allow_anonymous true\n", "allow_anonymous true\nenable_proxy_protocol 1\n"))
        assert device.ping()
        assert is_closed(gate.port, mqtt.connect(4))
        with Announced(gate.port, proxies.line(SOURCES[0])) as other:
            other.connect("other")
            gate.reload(config)
            assert other.ping() and device.ping()
    with Device(gate.port) as device:
        device.connect()


# ---- real proxies ----

@pytest.mark.parametrize("send,version", [("send-proxy", 1), ("send-proxy-v2", 2)])
def test_haproxy(start, front_of, certs, tls, send, version):
    """Behind haproxy that passes TLS through."""
    gate = start("enable_proxy_protocol %d\n%s" % (version, certs.tls))
    port = free_port()
    front_of(proxies.haproxy, port, "", "%d %s" % (gate.port, send))
    with Device(port, tls, source="127.0.0.77") as device:
        device.connect("by-haproxy")
        assert device.ping()
    gate.wait_log(r"New client connected from 127.0.0.77:\d+ as by-haproxy \(p4, .*TLSv1.3")


def test_haproxy_ends_tls_and_names_the_certificate(start, front_of, certs, backend):
    """send-proxy-v2-ssl-cn: haproxy verifies, we take the name."""
    gate = start("enable_proxy_protocol 2\nrequire_certificate true\nuse_identity_as_username true\nproxy_protocol_v2_require_tls true\n")
    bundle = certs.folder / "haproxy.pem"
    bundle.write_text(open(certs.server_crt).read() + open(certs.server_key).read())
    port = free_port()
    front_of(proxies.haproxy, port, "ssl crt %s ca-file %s verify optional" % (bundle, certs.device_ca.crt), "%d send-proxy-v2-ssl-cn" % gate.port)
    with Device(port, tls_context(certs.cafile, *certs.alice), source="127.0.0.78") as device:
        device.connect("named", username="mallory", password=b"x")
        assert backend.wait_connection(-1).wait_packet(mqtt.CONNECT).username == "alice"
    gate.wait_log(r"New client connected from 127.0.0.78:\d+ as named \(p4, .*u'alice', TLSv1.3\)")
    with Device(port, tls_context(certs.cafile)) as device:
        device.send(mqtt.connect(4))
        assert device.read_to_end() == []
    wait_counter(gate.metrics, REFUSED % "no_certificate", 1)


def test_haproxy_checks_the_health(start, front_of):
    gate = start("enable_proxy_protocol 2\n")
    front = front_of(proxies.haproxy, free_port(), "", "%d send-proxy-v2 check inter 100ms" % gate.port)
    end = time.monotonic() + 30
    while counters(gate.metrics)["proxy_health_checks_total"] < 3:
        assert time.monotonic() < end, gate.log()
        time.sleep(0.05)
    assert "DOWN" not in front.log() and "Connection from the proxy" not in gate.log()


def test_nginx(start, front_of, certs, tls):
    gate = start("enable_proxy_protocol 1\n%s" % certs.tls)
    port = free_port()
    front_of(proxies.nginx, port, gate.port)
    with Device(port, tls, source="127.0.0.79") as device:
        device.connect("by-nginx")
        assert device.ping()
    gate.wait_log(r"New client connected from 127.0.0.79:\d+ as by-nginx")


# ---- configuration ----

def test_what_configurations_say(tmp_path):
    def check(lines, words, is_good=False):
        path = tmp_path / "t.conf"
        path.write_text("backend 127.0.0.1\nuser root\nlistener 1884\n" + lines)
        done = run("-c", path, "-t")
        assert (done.returncode == 0) == is_good and words in done.stderr, done.stderr

    check("enable_proxy_protocol 1\n", "t.conf:4: enable_proxy_protocol needs proxy_protocol_from")
    check("enable_proxy_protocol 1\nproxy_protocol_from none\n", "needs proxy_protocol_from")
    check("enable_proxy_protocol 3\nproxy_protocol_from 192.0.2.1\n", "must be from 0 to 2")
    check("enable_proxy_protocol 0\n", "is good", True)
    check("enable_proxy_protocol 2\nproxy_protocol_from 0.0.0.0/0\n", "lets everybody say that he is somebody else", True)
    check("proxy_protocol_from 192.0.2.1\n", "no effect without enable_proxy_protocol", True)
    check("enable_proxy_protocol 1\nproxy_protocol_from 192.0.2.1\nproxy_protocol_v2_require_tls true\n", "t.conf:6: proxy_protocol_v2_require_tls needs enable_proxy_protocol 2")
    check("enable_proxy_protocol 2\nproxy_protocol_from 192.0.2.1\nuse_subject_as_username true\n", "does not hold the subject")
    check("enable_proxy_protocol 1\nproxy_protocol_from 192.0.2.1\nrequire_certificate true\n", "require_certificate needs TLS")
    check("enable_proxy_protocol 2\nproxy_protocol_from 192.0.2.1\nrequire_certificate true\n", "is good", True)
