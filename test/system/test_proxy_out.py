"""The PROXY protocol header that the broker gets: read by a strict reader of our own, and by haproxy in front of mosquitto."""
import contextlib
import socket
import struct
import threading

import pytest

from peers import packets as mqtt
from peers import proxies
from peers.device import Device, tls_context
from peers.ports import free_port


class HeaderBackend:
    """A broker that keeps what each connection's first read brings, and answers every packet politely."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.firsts, self.segments, self.changed = [], [], threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            first = sock.recv(65536)
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            with self.changed:
                self.segments.append(struct.unpack_from("I", info, 152)[0])  # tcpi_data_segs_in
                self.firsts.append(first)
                self.changed.notify_all()
            sock.sendall(mqtt.connack(4))
            while sock.recv(65536):
                sock.sendall(mqtt.pingresp())

    def wait(self, count):
        """Header and rest of the newest connection, when there are that many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.firsts) >= count, 15)
        header = proxies.Header(self.firsts[-1])
        return header, self.firsts[-1][header.size:]

    def stop(self):
        self.listener.close()


@pytest.fixture
def backend():
    made = HeaderBackend()
    yield made
    made.stop()


@pytest.fixture
def start(gate_of, backend):
    def begin(form, own="", shared="", to=None):
        port = free_port()
        gate = gate_of("backend 127.0.0.1:%d\nbackend_proxy_protocol %s\nlog_type all\n%slistener %d\n%s" % (to or backend.port, form, shared, port, own))
        gate.port = port
        return gate

    return begin


def check_connect(rest, client_id):
    """Behind the header came the CONNECT, and nothing else."""
    whole, left = mqtt.split(rest)
    assert len(whole) == 1 and not left
    assert mqtt.Packet(whole[0], 4).client_id == client_id


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("form", ["v1", "v2", "v2-ssl"])
def test_addresses_in_one_write_with_the_connect(start, backend, form, host):
    gate = start(form)
    with Device(gate.port, host=host) as device:
        device.connect("dev")
        own = device.sock.getsockname()[:2]
        header, rest = backend.wait(1)
        assert header.version == (1 if form == "v1" else 2) and not header.is_local
        assert header.source == own and header.destination == (host, gate.port)
        assert header.tls is None
        check_connect(rest, "dev")
        assert backend.segments == [1], "one write: the kernel sends each on its own, without delay"
        assert device.ping()


@pytest.mark.parametrize("form", ["v2", "v2-ssl"])
def test_tls_of_the_device(start, backend, certs, form):
    gate = start(form, "%scafile %s\nrequire_certificate true\n" % (certs.tls, certs.device_ca.crt))
    with Device(gate.port, tls_context(certs.cafile, *certs.alice)) as device:
        device.connect("dev")
        header, rest = backend.wait(1)
        check_connect(rest, "dev")
        if form == "v2":
            assert header.tlvs == {}
            return
        client, verify, parts = header.tls
        assert (client, verify) == (7, 0)
        assert parts == {0x21: b"TLSv1.3", 0x22: b"alice", 0x23: device.sock.cipher()[0].encode()}
        assert header.body_size <= 500


def test_resumed_and_without_certificate(start, backend, certs):
    gate = start("v2-ssl", certs.tls)
    with Device(gate.port, tls_context(certs.cafile)) as device:
        device.connect()
        client, verify, parts = backend.wait(1)[0].tls
        assert client == 1 and verify != 0 and sorted(parts) == [0x21, 0x23]
    # With a certificate, resumed: it was shown on an earlier connection of the session.
    mutual = start("v2-ssl", "%scafile %s\nrequire_certificate true\n" % (certs.tls, certs.device_ca.crt))
    context = tls_context(certs.cafile, *certs.alice)
    with Device(mutual.port, context) as device:
        device.connect()
        assert device.ping()
        session = device.sock.session
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", mutual.port)), server_hostname="127.0.0.1", session=session)
    with sock:
        sock.sendall(mqtt.connect(4))
        assert sock.recv(4)
        assert sock.session_reused
        client, verify, parts = backend.wait(3)[0].tls
        assert (client, verify) == (5, 0) and parts[0x22] == b"alice"


def test_500_bytes(start, backend, certs):
    """The common name stays as long as it fits, then the rest has its room."""
    gate = start("v2-ssl", "enable_proxy_protocol 2\n", "proxy_protocol_from 127.0.0.1\n")
    count = 0
    for size, kept in ((400, {0x21, 0x22, 0x23}), (470, {0x22}), (477, {0x22}), (478, {0x21, 0x23})):
        tlvs = proxies.tls_tlv(name=b"n" * size, cipher=b"AES128-SHA")
        with Device(gate.port) as device:
            device.send(proxies.header("198.51.100.7", tlvs=tlvs))
            device.connect()
            count += 1
            header, _ = backend.wait(count)
            assert header.body_size <= 500 and set(header.tls[2]) == kept
            assert header.source == ("198.51.100.7", 4711) and header.destination == ("192.0.2.1", 8883)


@pytest.mark.parametrize("form", ["v1", "v2", "v2-ssl"])
def test_an_announced_address_is_passed_on(start, backend, form):
    gate = start(form, "enable_proxy_protocol 1\n", "proxy_protocol_from 127.0.0.1\n")
    with Device(gate.port) as device:
        device.send(proxies.line("2001:db8::7", "2001:db8::1"))
        device.connect("dev")
        header, rest = backend.wait(1)
        assert header.source == ("2001:db8::7", 4711) and header.destination == ("2001:db8::1", 8883)
        check_connect(rest, "dev")


@pytest.mark.parametrize("form", ["v1", "v2", "v2-ssl"])
def test_unix_sockets_are_unknown(gate_of, backend, tmp_path, form):
    path = tmp_path / "s"
    gate_of("backend 127.0.0.1:%d\nbackend_proxy_protocol %s\nlistener 0 %s\n" % (backend.port, form, path))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(mqtt.connect(4, "dev"))
        header, rest = backend.wait(1)
        assert header.is_local
        check_connect(rest, "dev")


def test_reload(start, backend):
    gate = start("off")
    with Device(gate.port) as early, Device(gate.port) as later:
        early.connect("early")
        with backend.changed:
            assert backend.changed.wait_for(lambda: backend.firsts, 15)
        assert backend.firsts[0][0] == 0x10
        gate.reload(gate.path.read_text().replace("backend_proxy_protocol off", "backend_proxy_protocol v2"))
        assert early.ping()
        later.connect("later")  # was accepted before
        header, rest = backend.wait(2)
        assert header.source == later.sock.getsockname()
        check_connect(rest, "later")


@pytest.fixture
def front_of(tmp_path):
    made = []

    def make(*arguments):
        made.append(proxies.haproxy(tmp_path / "front", *arguments))
        return made[-1]

    yield make
    for front in made:
        front.stop()


@pytest.mark.parametrize("form", ["v1", "v2", "v2-ssl"])
@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_haproxy_understands_it(start, front_of, broker, certs, form, kind):
    """mosquitto behind haproxy, whose parser is what everybody's is measured by."""
    port = free_port()
    front = front_of(port, "accept-proxy", str(broker.port), '    log-format "from %ci:%cp to %[dst]:%[dst_port] bytes %U"')
    own = "%scafile %s\nrequire_certificate true\n" % (certs.tls, certs.device_ca.crt) if kind == "tls" else ""
    gate = start(form, own, to=port)
    context = tls_context(certs.cafile, *certs.alice) if kind == "tls" else None
    with Device(gate.port, context, source="127.0.0.80") as device:
        device.connect("behind-%s-%s" % (form, kind))
        assert device.ping()
        source = device.sock.getsockname()[1]
        device.send(mqtt.disconnect(4))
    front.wait_log("from 127.0.0.80:%d to 127.0.0.1:%d bytes " % (source, gate.port))
