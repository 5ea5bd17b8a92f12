"""Handshakes that are taken on the second thread of a worker: they work as on the loop, whatever happens meanwhile. Their failures are in
test_handshakes.py, which runs both ways."""
import concurrent.futures
import socket
import ssl
import subprocess
import time

import pytest

from peers import packets as mqtt
from peers.aside import Staying, nice_of, runs, wait_run
from peers.counters import counters, wait_counter
from peers.device import Device, tls_context
from peers.ports import free_port

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13])
KEY = "000102030405060708090a0b0c0d0e0f"


@pytest.fixture
def place(gate_of, backend_of, certs, tmp_path):
    """One worker with a listener of each kind, and a device that stays."""
    keys = tmp_path / "keys"
    keys.write_text("pump:%s\n" % KEY)
    keys.chmod(0o600)
    host = certs.ca.issue("aside-host", subject="/CN=host.test", san="DNS:host.test")
    ports = {name: free_port() for name in ("plain", "open", "mutual", "hosts", "psk")}
    metrics = free_port()
    backend = backend_of()
    config = ("workers 1\nbackend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nkeylog_file %s\n" % (backend.port, metrics, tmp_path / "secrets") +
              "listener %(plain)d 127.0.0.1\nlistener %(open)d 127.0.0.1\n" % ports + certs.tls +
              "listener %(mutual)d 127.0.0.1\n" % ports + certs.tls + "cafile %s\nrequire_certificate true\n" % certs.device_ca.crt +
              "listener %(hosts)d 127.0.0.1\n" % ports + certs.tls + "host host.test\ncertfile %s\nkeyfile %s\n" % host +
              "listener %d 127.0.0.1\npsk_hint gate\npsk_file %s\n" % (ports["psk"], keys))
    gate = gate_of(config)
    gate.ports, gate.metrics, gate.config, gate.secrets, gate.backend = ports, metrics, config, tmp_path / "secrets", backend
    with Staying(gate, ports["plain"], lambda: come(gate, "open", tls_context(certs.cafile)).close()) as gate.staying:
        yield gate


def come(gate, name, context, client_id="dev", **options):
    device = Device(gate.ports[name], context, **options)
    try:
        device.connect(client_id)
    except BaseException:
        device.close()
        raise
    return device


def hello_of(context):
    """A ClientHello."""
    out = ssl.MemoryBIO()
    engine = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        engine.do_handshake()
    return out.read()


@BOTH
@pytest.mark.parametrize("name", ["open", "mutual"])
def test_handshake(place, certs, name, version):
    own = certs.alice if name == "mutual" else ()
    before = runs(place)
    with come(place, name, tls_context(certs.cafile, *own, minimum=version, maximum=version)) as device:
        assert device.publish("t", b"x", 1) == 0
        device.ping()
        wait_run(place, before)
    assert nice_of(place) == 10


@BOTH
def test_host(place, certs, version):
    before = runs(place)
    for asked, shown in (("host.test", "host.test"), ("localhost", None)):
        with come(place, "hosts", tls_context(certs.cafile, minimum=version, maximum=version), server_hostname=asked) as device:
            names = [value for _, value in device.sock.getpeercert()["subjectAltName"]]
            assert (shown in names) == (shown is not None)
            device.ping()
    wait_run(place, before)


@BOTH
def test_tickets(place, certs, version):
    context, session = tls_context(certs.cafile, minimum=version, maximum=version), None
    before = runs(place)
    for is_resumed in (False, True, True):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", place.ports["open"])), server_hostname="127.0.0.1",
                                 session=session) as sock:
            sock.sendall(mqtt.connect(4) + mqtt.pingreq())
            data = b""
            while not data.endswith(mqtt.packet(mqtt.PINGRESP, 0, b"")):
                data += sock.recv(100)
            assert sock.session_reused == is_resumed
            session = sock.session
    wait_run(place, before)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("key", [KEY, KEY[::-1]], ids=["right", "wrong"])
def test_psk(place, version, key):
    before = runs(place)
    with subprocess.Popen(["openssl", "s_client", "-quiet", version, "-connect", "127.0.0.1:%d" % place.ports["psk"], "-psk_identity", "pump", "-psk",
                           key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        client.stdin.write(mqtt.connect(4, "pump"))
        client.stdin.flush()
        assert client.stdout.read(4) == (mqtt.connack(4) if key == KEY else b"")
        client.kill()
    wait_run(place, before)


def test_secrets_are_logged(place, certs):
    before = place.secrets.read_text()
    come(place, "open", tls_context(certs.cafile)).close()
    assert "CLIENT_TRAFFIC_SECRET_0" in place.secrets.read_text()[len(before):]


def test_many_at_once(place, certs):
    """More than may be away at a time: all are done, and who is connected is served all the time."""
    context = tls_context(certs.cafile)
    hello = hello_of(context)
    silent = [socket.create_connection(("127.0.0.1", place.ports["open"])) for _ in range(150)]
    for number, sock in enumerate(silent):
        sock.sendall(hello[:(0, len(hello) // 2, len(hello))[number % 3]])
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        devices = [pool.submit(come, place, "open", context, "dev%d" % number) for number in range(100)]
        while not all(device.done() for device in devices):
            place.staying.ping()
    for device in devices:
        device.result().ping()
        device.result().close()
    for sock in silent:
        sock.settimeout(15)
    assert all(sock.recv(1) == b"\x16" for sock in silent[2::3])  # the ServerHello
    for sock in silent:
        sock.close()
    wait_counter(place.metrics, "connections_open", 1)


def test_gone_meanwhile(place, certs):
    """Devices that say hello and go, with and without a reset: nothing stays behind, nothing is counted twice."""
    context = tls_context(certs.cafile)
    hello, count = hello_of(context), 300
    before = counters(place.metrics)
    for number in range(count):
        sock = socket.create_connection(("127.0.0.1", place.ports["open"]))
        sock.sendall(hello)
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    wait_counter(place.metrics, "connections_open", 1)
    now = counters(place.metrics)
    failed = sum(now[name] - before[name] for name in now if name.startswith("tls_failures_total"))
    assert failed == now["connections_accepted_total"] - before["connections_accepted_total"] == count
    come(place, "open", context).close()


def test_handshake_timeout(gate_of, backend_of, certs):
    """Sent away while steps of others are away."""
    plain, port, metrics = free_port(), free_port(), free_port()
    gate = gate_of("workers 1\nbackend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nlistener %d 127.0.0.1\nlistener %d 127.0.0.1\n%s"
                   "handshake_timeout 300ms\n" % (backend_of().port, metrics, plain, port, certs.tls))
    context = tls_context(certs.cafile)
    hello = hello_of(context)
    with Staying(gate, plain, lambda: Device(port, context).close()) as staying:
        for _ in range(3):
            socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
            for sock in socks:
                sock.sendall(hello)
            staying.ping()
            for sock in socks:
                sock.settimeout(15)
                while sock.recv(4096):
                    pass
                sock.close()
        wait_counter(metrics, "connections_open", 1)


def test_reload(place, certs):
    """The configuration changes while handshakes are under way."""
    context = tls_context(certs.cafile)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        devices = []
        for number in range(6):
            devices += [pool.submit(come, place, "hosts", context, "dev%d" % index, server_hostname="host.test")
                        for index in range(number * 20, number * 20 + 20)]
            assert "in force" in place.reload(place.config + "max_keepalive %d\n" % (100 + number))
        for device in devices:
            device.result().ping()
            device.result().close()
    place.staying.ping()


def test_shutdown(place, certs):
    """The program ends while handshakes are under way, cleanly: Gate.stop looks at its status and its leak check."""
    hello = hello_of(tls_context(certs.cafile))
    socks = [socket.create_connection(("127.0.0.1", place.ports["open"])) for _ in range(200)]
    for sock in socks:
        sock.sendall(hello)
    place.stop()
    for sock in socks:
        sock.close()


def test_alone_on_the_loop(gate_of, backend_of, certs, port):
    """Where nobody stays, handshakes one after the other need no thread."""
    gate = gate_of("workers 1\nbackend 127.0.0.1:%d\nlistener %d 127.0.0.1\n%s" % (backend_of().port, port, certs.tls))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        with Device(port, tls_context(certs.cafile)) as device:
            device.connect()
    assert runs(gate) == 0
