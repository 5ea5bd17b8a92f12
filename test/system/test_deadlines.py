"""Everything that can take forever has an end; and a broker that is not there is told to the device."""
import socket
import ssl
import threading
import time

import pytest

from peers import packets as mqtt
from peers.ports import free_port

VERSIONS = [3, 4, 5]
LATE_S = 10  # what a busy machine may add


@pytest.fixture
def backend(backend_of):
    return backend_of()


def seconds_until_closed(sock, timeout=30):
    began = time.monotonic()
    sock.settimeout(timeout)
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


def is_about(seconds, wanted):
    return wanted - 0.3 <= seconds <= wanted + LATE_S


def test_handshake_timeout(gate_of, backend, certs, port):
    """Nothing sent, half a ClientHello, and one byte every now and then: all the same."""
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%shandshake_timeout 1s\n" % (backend.port, port, certs.tls))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    client_hello = outgoing.read()
    silent, half, dripping = (socket.create_connection(("127.0.0.1", port)) for _ in range(3))
    half.sendall(client_hello[:100])
    is_over = threading.Event()

    def drip():
        for byte in client_hello[:200]:
            if is_over.wait(0.1):
                return
            try:
                dripping.send(bytes([byte]))
            except OSError:
                return

    threading.Thread(target=drip, daemon=True).start()
    assert is_about(seconds_until_closed(dripping), 1)
    is_over.set()
    assert seconds_until_closed(silent) < LATE_S and seconds_until_closed(half) < LATE_S
    gate.wait_log("no TLS handshake", 3)
    for sock in (silent, half, dripping):
        sock.close()
    assert backend.count() == 0


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_connect_timeout(gate_of, backend, certs, tls, port, device_of, kind):
    """The whole CONNECT counts, from the first moment: slow drip does not help."""
    lines = certs.tls if kind == "tls" else ""
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%sconnect_timeout 1s\n" % (backend.port, port, lines))
    context = tls if kind == "tls" else None
    silent, half, dripping = (device_of(port, context) for _ in range(3))
    began = time.monotonic()
    connect = mqtt.connect(4, "x" * 100)
    half.send(connect[:50])
    for byte in connect:
        try:
            dripping.send(bytes([byte]))
        except OSError:
            break
        if time.monotonic() - began > LATE_S:
            break
        time.sleep(0.1)
    for device in (silent, half, dripping):
        assert device.read_to_end() == []
    assert is_about(time.monotonic() - began, 1)
    gate.wait_log("no whole CONNECT", 3)
    assert backend.count() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_alive(gate_of, backend, port, device_of, version):
    """One and a half times the keep-alive, enforced here; the broker sees no DISCONNECT. A device that says
    something stays."""
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    silent, lively = device_of(port, version=version), device_of(port, version=version)
    lively.connect("lively", keep_alive=1)
    silent.connect("silent", keep_alive=1)
    began = time.monotonic()
    connection = backend.wait_connection(1)
    while not connection.is_closed.is_set():
        lively.ping()
        time.sleep(0.3)
        assert time.monotonic() - began < LATE_S
    assert is_about(time.monotonic() - began, 1.5)
    answers = silent.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x8D)] if version == 5 else [])
    assert connection.behind_connect() == b""
    assert lively.ping()


def test_keep_alive_of_the_broker(gate_of, backend, port, device_of):
    """Version 5: Server Keep Alive replaces what the device asked for."""
    backend.connack_props = [(mqtt.SERVER_KEEP_ALIVE, 1)]
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port, version=5)
    assert device.connect(keep_alive=600).prop(mqtt.SERVER_KEEP_ALIVE) == 1
    began = time.monotonic()
    assert [one.reason for one in device.read_to_end()] == [0x8D]
    assert is_about(time.monotonic() - began, 1.5)


def test_no_keep_alive(gate_of, backend, port, device_of):
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port)
    device.connect(keep_alive=0)
    assert device.is_silent(2) and device.ping()


def test_keep_alive_counts_what_is_on_its_way(gate_of, backend, port, device_of):
    """A device that takes longer than its keep-alive for one big PUBLISH is not silent."""
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port)
    device.connect(keep_alive=1)
    packet = mqtt.publish(4, "t", b"x" * 1000, 1, 1)
    for at in range(0, len(packet), 100):
        device.send(packet[at:at + 100])
        time.sleep(0.3)
    assert device.expect(mqtt.PUBACK).packet_id == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_timeout(gate_of, backend, port, device_of, version):
    """The broker takes the connection and says nothing."""
    backend.script = lambda connection, raw: b""
    gate_of("backend 127.0.0.1:%d\nbackend_timeout 1s\nlistener %d\n" % (backend.port, port))
    device = device_of(port, version=version)
    began = time.monotonic()
    device.send(mqtt.connect(version))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == [(mqtt.CONNACK, 0x88 if version == 5 else 3)]
    assert is_about(time.monotonic() - began, 1)
    backend.wait_connection().wait_closed()


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_absent(gate_of, port, device_of, version):
    gate = gate_of("backend 127.0.0.1:1\nlistener %d\n" % port)
    for _ in range(3):
        device = device_of(port, version=version)
        device.send(mqtt.connect(version))
        answers = device.read_to_end()
        assert [(one.kind, one.reason) for one in answers] == [(mqtt.CONNACK, 0x88 if version == 5 else 3)]
    gate.wait_log("cannot be reached")


def test_backend_that_cannot_be_routed(gate_of, port, device_of):
    """An address that swallows SYNs: the time limit, not the kernel's two minutes."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):  # the queue of the listener is full after these
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    time.sleep(0.1)
    gate_of("backend 127.0.0.1:%d\nbackend_timeout 1s\nlistener %d\n" % (listener.getsockname()[1], port))
    device = device_of(port)
    began = time.monotonic()
    device.send(mqtt.connect(4))
    assert [one.reason for one in device.read_to_end()] == [3]
    assert is_about(time.monotonic() - began, 1)
    for sock in (listener, *fillers):
        sock.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_comes_back(gate_of, backend_of, port, device_of, version):
    broker_port = free_port()
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (broker_port, port))
    device = device_of(port, version=version)
    device.send(mqtt.connect(version))
    assert device.expect(mqtt.CONNACK).reason == (0x88 if version == 5 else 3)
    backend_of(port=broker_port)
    device = device_of(port, version=version)
    device.connect()
    assert device.ping()


def test_backend_by_name(gate_of, backend, port, device_of):
    gate_of("backend localhost:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port)
    device.connect()
    assert device.ping()


def test_backend_name_unknown(gate_of, port, device_of):
    gate_of("backend no-such-host.invalid:1883\nlistener %d\n" % port)
    device = device_of(port)
    device.send(mqtt.connect(4))
    assert [one.reason for one in device.read_to_end(30)] == [3]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("when", ["idle", "in a publish"])
def test_backend_vanishes(gate_of, backend, port, device_of, version, when):
    """Version 5 is told so, at a packet boundary only: half a PUBLISH is followed by nothing."""
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port, version=version)
    device.connect()
    connection = backend.wait_connection()
    if when == "idle":
        connection.close()
        answers = device.read_to_end()
        assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x8B)] if version == 5 else [])
    else:
        connection.send(mqtt.publish(version, "t", b"x" * 1000)[:500])
        time.sleep(0.1)
        connection.close()
        assert device.read() is None
        assert device.buffer == mqtt.publish(version, "t", b"x" * 1000)[:500]


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_refuses(gate_of, backend, port, device_of, version):
    """The broker's own word arrives."""
    refusal = mqtt.connack(version, 0x86 if version == 5 else 4)
    backend.script = lambda connection, raw: refusal
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port, version=version)
    device.send(mqtt.connect(version))
    assert [one.raw for one in device.read_to_end()] == [refusal]
    gate.wait_log("refused the CONNECT")


def test_device_vanishes(gate_of, backend, port, device_of):
    """Closed, reset, or gone without a trace: the broker's connection ends without a DISCONNECT."""
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    for index, way in enumerate(("close", "kill")):
        device = device_of(port)
        device.connect()
        getattr(device, way)()
        connection = backend.wait_connection(index)
        connection.wait_closed()
        assert connection.behind_connect() == b""


@pytest.mark.parametrize("way", ["close", "kill"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_device_vanishes_before_the_connack(gate_of, backend, port, device_of, certs, tls, way, is_tls):
    """It is not read while the broker thinks, but its end is heard, long before backend_timeout."""
    backend.script = lambda connection, raw: b""
    gate = gate_of("backend 127.0.0.1:%d\nbackend_timeout 10m\nlistener %d\n%s" % (backend.port, port, certs.tls if is_tls else ""))
    device = device_of(port, tls if is_tls else None)
    device.send(mqtt.connect(4))
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    getattr(device, way)()
    connection.wait_closed()
    assert connection.behind_connect() == b""
    gate.wait_log("the device closed the connection|the connection to the device broke")


def test_early_bytes_are_not_lost(gate_of, backend, port, device_of):
    """What a device sends while nobody reads it comes through behind the CONNACK, in order and whole, though it has ended meanwhile."""
    go = threading.Event()
    backend.script = lambda connection, raw: (go.wait(30), backend.polite(connection, raw))[1]
    gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port)
    device.send(mqtt.connect(4))
    connection = backend.wait_connection()
    connection.wait_packet(mqtt.CONNECT)
    packets = [mqtt.publish(4, "t", "%d " % i + "x" * 1000) for i in range(50)]
    for packet in packets:
        device.send(packet)
    device.send(mqtt.disconnect(4))
    device.sock.shutdown(socket.SHUT_WR)
    go.set()
    connection.wait_closed()
    assert connection.behind_connect() == b"".join(packets) + mqtt.disconnect(4)


def test_device_vanishes_behind_a_stalled_broker(gate_of, backend_of, port, device_of):
    """Its last bytes cannot be read, but after one and a half times its keep alive it is seen that it has gone."""
    stop = threading.Event()

    def stall(connection, raw):
        if raw[0] >> 4 == mqtt.PUBLISH:
            stop.wait(60)
        return backend.polite(connection, raw)

    backend = backend_of(stall, receive_buffer=4096)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n" % (backend.port, port))
    device = device_of(port)
    device.connect(keep_alive=2)
    device.sock.settimeout(1)
    try:
        while True:
            device.sock.sendall(mqtt.publish(4, "t", "x" * 60000))
    except socket.timeout:
        pass
    device.kill()
    gate.wait_log("the device closed the connection")
    stop.set()


def test_unix_backend(gate_of, tmp_path, port, device_of):
    path = tmp_path / "broker.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    gate_of("backend unix:%s\nlistener %d\n" % (path, port))
    device = device_of(port)
    device.send(mqtt.connect(4))
    connection, _ = listener.accept()
    assert connection.recv(4096) == mqtt.connect(4)
    connection.sendall(mqtt.connack(4))
    assert device.expect(mqtt.CONNACK).reason == 0
    connection.close()
    listener.close()
