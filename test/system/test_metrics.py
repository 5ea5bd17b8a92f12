"""metrics_listener: Prometheus text, /healthz, /readyz, and a strict little HTTP."""
import re
import socket
import subprocess
import time

import pytest

from peers import packets as mqtt
from peers.gate import REPOSITORY, run
from peers.ports import free_port


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def gate(gate_of, backend, certs, port):
    metrics = free_port()
    made = gate_of("backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nlistener %d\n%slistener %d 127.0.0.1\n" %
                   (backend.port, metrics, port, certs.tls, free_port()))
    made.port, made.metrics = port, metrics
    return made


def ask(port, request):
    """(status, head, body) of whatever bytes are asked."""
    with socket.create_connection(("127.0.0.1", port), 15) as sock:
        sock.sendall(request)
        answer = b""
        while True:
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else None
    return status, head.decode(), body.decode()


def get(port, path):
    return ask(port, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())


def values(gate):
    status, head, body = get(gate.metrics, "/metrics")
    assert status == 200 and "text/plain; version=0.0.4" in head
    assert "Content-Length: %d\r\n" % len(body.encode()) in head + "\r\n"
    found = {}
    for line in body.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, "twice: " + name
            found[name] = float(value)
    return found


def test_format(gate):
    """Every family has its HELP and TYPE in front of it, every sample a good name and value."""
    body = get(gate.metrics, "/metrics")[2]
    assert body.endswith("\n")
    kinds = {}
    for line in body.splitlines():
        if line.startswith("# HELP "):
            helped = line.split()[2]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == helped and name not in kinds and kind in ("counter", "gauge")
            kinds[name] = kind
        else:
            name = re.fullmatch(r'(drawbridge_[a-z_]+)(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? -?[0-9.e+]+', line).group(1)
            assert name in kinds
            assert kinds[name] == "gauge" or name.endswith("_total")
    rows = re.findall(r"^METRIC\((\w+), (\w+)", (REPOSITORY / "include/inspect/metrics.def").read_text(), re.M)
    assert rows
    for name, kind in rows:
        assert kinds["drawbridge_" + name + ("_total" if kind == "counter" else "")] == kind


def settled(gate, wanted):
    """The values once `wanted(values)` is true: a peer may read its answer before the worker has counted it. At the latest after
    a few seconds, whatever they say then."""
    for _ in range(100):
        now = values(gate)
        if wanted(now):
            break
        time.sleep(0.05)
    return now


def test_counts(gate, backend, tls, device_of):
    start = values(gate)
    assert start["drawbridge_connections_open"] == 0
    device = device_of(gate.port, tls)
    device.connect()
    packet = mqtt.publish(4, "t", "hello", 1, 1)
    device.send(packet)
    device.expect(mqtt.PUBACK)
    down = mqtt.publish(4, "d", "x" * 1000)
    backend.wait_connection().send(down)
    device.expect(mqtt.PUBLISH)
    connect = mqtt.connect(4)
    answers = len(mqtt.connack(4)) + len(mqtt.ack(mqtt.PUBACK, 4, 1)) + len(down)
    now = settled(gate, lambda now: now["drawbridge_to_device_bytes_total"] >= answers)

    def grown(name):
        return now["drawbridge_" + name] - start["drawbridge_" + name]

    assert grown("connections_open") == grown("sessions_open") == grown("connections_accepted_total") == 1
    assert grown("handshakes_total") == grown("sessions_started_total") == grown("backend_dials_total") == 1
    assert grown("from_device_bytes_total") == grown("to_broker_bytes_total") == len(connect) + len(packet)
    assert grown("from_broker_bytes_total") == grown("to_device_bytes_total") == answers
    assert grown('packets_total{direction="to_broker",type="PUBLISH"}') == 1
    assert grown('packets_total{direction="to_device",type="PUBLISH"}') == 1
    device.send(mqtt.disconnect(4))
    device.read_to_end()
    backend.wait_connection().wait_closed()
    bad = device_of(gate.port, tls)
    bad.connect("bad")
    bad.send(mqtt.publish(4, "a/#"))
    bad.read_to_end()
    plain = device_of(gate.port)
    plain.send(mqtt.connect(4))
    while plain._receive(10):
        pass
    now = settled(gate, lambda now: now["drawbridge_connections_open"] == 0)
    assert now["drawbridge_connections_open"] == now["drawbridge_sessions_open"] == 0
    assert grown('sessions_ended_total{reason="device_disconnect"}') == 1
    assert grown('sessions_ended_total{reason="protocol_violation"}') == 1
    assert grown("handshakes_failed_total") == 1
    assert sum(value for name, value in now.items() if name.startswith("drawbridge_protocol_violations_total")) == 1
    assert sum(value for name, value in now.items() if name.startswith("drawbridge_tls_failures_total")) == 1


def test_refusals_are_counted(gate_of, backend, port, device_of, tmp_path):
    (tmp_path / "acl").write_text("topic write a\ntopic read b\n")
    subprocess.run(["mosquitto_passwd", "-c", "-b", tmp_path / "passwords", "alice", "secret"], check=True, timeout=30)
    gate = gate_of("backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nlistener %d\nallow_anonymous true\nacl_file %s\npassword_file %s\n" %
                   (backend.port, free_port(), port, tmp_path / "acl", tmp_path / "passwords"))
    gate.metrics = int(re.search(r"metrics_listener 127.0.0.1:(\d+)", gate.path.read_text()).group(1))
    device = device_of(port)
    device.connect()
    device.publish("x", "", 1)
    device.subscribe("x", "y", "b")
    backend.wait_connection().send(mqtt.publish(4, "x", "no") + mqtt.publish(4, "b", "yes"))
    device.expect(mqtt.PUBLISH)
    stranger = device_of(port)
    stranger.send(mqtt.connect(4, username="alice", password="wrong"))
    assert stranger.read().reason == 5
    now = settled(gate, lambda now: now["drawbridge_connects_refused_total"] == 1)
    for name, count in (("publish_refused", 1), ("subscribe_refused", 2), ("delivery_refused", 1), ("authentication_failures", 1),
                        ("connects_refused", 1)):
        assert now["drawbridge_%s_total" % name] == count, name


def test_reloads_are_counted(gate):
    gate.reload()
    gate.reload("nonsense 1\n")
    now = values(gate)
    assert now["drawbridge_configuration_generation"] == 2
    assert now['drawbridge_reloads_total{result="taken"}'] == now['drawbridge_reloads_total{result="refused"}'] == 1


def test_health(gate):
    assert get(gate.metrics, "/healthz")[0] == 200
    assert get(gate.metrics, "/readyz")[0] == 200
    assert get(gate.metrics, "/metrics?x=y")[0] == 200
    for path in ("/", "/metricsx", "/Metrics", "/../metrics", "/healthz/"):
        assert get(gate.metrics, path)[0] == 404, path


def test_certificate_expiry(gate):
    now = values(gate)
    found = [value for name, value in now.items() if name.startswith("drawbridge_certificate_expires_seconds")]
    assert len(found) == 1 and 80 * 86400 < found[0] - time.time() < 100 * 86400


def test_head(gate):
    status, head, body = ask(gate.metrics, b"HEAD /healthz HTTP/1.0\r\n\r\n")
    assert status == 200 and body == "" and "Content-Length: 6" in head


@pytest.mark.parametrize("request_bytes,status", [
    (b"POST /metrics HTTP/1.1\r\n\r\n", 405), (b"GET /metrics HTTP/2.0\r\n\r\n", 505), (b"GET /metrics\r\n\r\n", 400),
    (b"GET metrics HTTP/1.1\r\n\r\n", 400), (b"\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413),
    (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413), (b"GET /" + b"a" * 8192, 431), (b"\x16\x03\x01\x00\x00\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400)])
def test_strict(gate, request_bytes, status):
    assert ask(gate.metrics, request_bytes)[0] == status
    assert get(gate.metrics, "/healthz")[0] == 200


def test_slow_and_many_visitors(gate):
    """Visitors that say nothing cannot keep others out for ever, nor the program busy."""
    silent = [socket.create_connection(("127.0.0.1", gate.metrics)) for _ in range(40)]
    silent[0].sendall(b"GET /heal")
    end = time.monotonic() + 20
    while True:
        try:
            if get(gate.metrics, "/healthz")[0] == 200:
                break
        except OSError:
            pass
        assert time.monotonic() < end, "visitors who say nothing keep the page closed"
        time.sleep(0.2)
    for sock in silent:
        sock.close()


def test_healthcheck_applet(gate):
    assert run("healthcheck", "127.0.0.1:%d" % gate.metrics).returncode == 0
    assert run("healthcheck", "localhost:%d" % gate.metrics).returncode == 0
    assert run("healthcheck", "127.0.0.1:%d" % free_port()).returncode == 1
    for bad in ((), ("127.0.0.1",), ("127.0.0.1:x",), ("127.0.0.1:99999",)):
        assert run("healthcheck", *bad).returncode == 1
