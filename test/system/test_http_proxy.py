"""The broker behind an HTTP proxy: CONNECT with basic authentication, to a proxy of our own and to tinyproxy."""
import base64
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from peers import packets as mqtt
from peers import proxies
from peers.certs import Authority
from peers.counters import counters, wait_counter
from peers.gate import run
from peers.ports import free_port

FAILED = 'backend_failures_total{cause="%s"}'
UNAVAILABLE = 0x88


class Proxy:
    """`answer`: called with the request's head; returns bytes to say instead of a tunnel, or None for one. `credentials`
    are demanded. Keeps the heads of all requests and the first bytes of each tunnel."""

    def __init__(self, credentials=None, answer=None):
        self.credentials, self.answer = credentials, answer
        self.heads, self.firsts, self.changed = [], [], threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = sock.recv(65536)
                if not data:
                    return
                head += data
            with self.changed:
                self.heads.append(head)
                self.changed.notify_all()
            answer = self.answer(head) if self.answer else None
            if answer is None and self.credentials is not None:
                wanted = b"Proxy-Authorization: Basic " + base64.b64encode(self.credentials)
                if wanted not in head.split(b"\r\n"):
                    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
            if answer is not None:
                sock.sendall(answer)
                while sock.recv(65536):
                    pass
                return
            host, port = head.split(b" ")[1].decode().rsplit(":", 1)
            with socket.create_connection((host.strip("[]"), int(port)), 15) as other:
                for piece in (b"HTTP/1.1 200 Conn", b"ection established\r\nX-Proxy: of", b" our own\r\n\r", b"\n"):
                    sock.sendall(piece)
                    time.sleep(0.01)
                first = sock.recv(65536)
                with self.changed:
                    self.firsts.append(first)
                    self.changed.notify_all()
                other.sendall(first)
                back = threading.Thread(target=self._pump, args=(other, sock), daemon=True)
                back.start()
                self._pump(sock, other)
                back.join(15)

    @staticmethod
    def _pump(source, target):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def stop(self):
        self.listener.close()


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    ca = Authority(tmp_path_factory.mktemp("http-proxy-pki") / "ca", "Broker CA")
    ca.server = ca.issue_server()
    return ca


@pytest.fixture
def broker(broker_of, pki):
    port = free_port()
    made = broker_of("listener %d\nallow_anonymous true\ncertfile %s\nkeyfile %s\n" % (port, *pki.server))
    made.tls_port = port
    return made


@pytest.fixture
def proxy_of():
    made = []

    def make(*arguments, **options):
        made.append(Proxy(*arguments, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


@pytest.fixture
def start(gate_of, pki):
    def begin(to, lines, host="127.0.0.1"):
        port, metrics = free_port(), free_port()
        gate = gate_of("backend %s:%d\nbackend_tls true\nbackend_cafile %s\nmetrics_listener 127.0.0.1:%d\nlog_type all\n%slistener %d\nallow_anonymous true\n" % (
            host, to, pki.crt, metrics, lines, port))
        gate.port, gate.metrics = port, metrics
        return gate

    return begin


def refused(gate, device_of, cause, words):
    with device_of(gate.port, version=5) as device:
        device.send(mqtt.connect(5, "dev"))
        assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE
        assert device.read() is None
    gate.wait_log("the broker cannot be reached: .*" + words)
    wait_counter(gate.metrics, FAILED % cause, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_through_the_proxy(start, proxy_of, broker, device_of, host):
    """The proxy looks the name up; the broker's certificate is checked against it all the same."""
    proxy = proxy_of()
    gate = start(broker.tls_port, "backend_http_proxy http://127.0.0.1:%d\n" % proxy.port, host)
    device = device_of(gate.port)
    device.connect("tunnelled")
    assert device.subscribe(("a", 1)) == [1]
    device.publish("a", b"x" * 100000, 0)
    assert device.expect(mqtt.PUBLISH).payload == b"x" * 100000
    target = ("%s:%d" % (host, broker.tls_port)).encode()
    assert proxy.heads == [b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"]
    assert proxy.firsts[0][:2] == b"\x16\x03"
    gate.wait_log("reached through the HTTP proxy 127.0.0.1, port %d" % proxy.port)


@pytest.mark.parametrize("kind", ["url", "encoded", "password_file", "url_file"])
def test_authentication(start, proxy_of, broker, device_of, tmp_path, kind):
    user, password = {"url": ("user", "secret"), "encoded": ("us%40er", "p%3A%25%C3%A4"), "password_file": ("user", None), "url_file": ("user", "a:b@c")}[kind]
    proxy = proxy_of({"url": b"user:secret", "encoded": "us@er:p:%ä".encode(), "password_file": b"user:100% of:it", "url_file": b"user:a:b@c"}[kind])
    (tmp_path / "password").write_text("100% of:it\n")
    url = "http://%s@127.0.0.1:%d" % (user if password is None else user + ":" + password, proxy.port)
    (tmp_path / "url").write_text(url + "\n")
    lines = "backend_http_proxy %s\n" % ("@%s" % (tmp_path / "url") if kind == "url_file" else url)
    if kind == "password_file":
        lines += "backend_http_proxy_password_file %s\n" % (tmp_path / "password")
    gate = start(broker.tls_port, lines)
    device_of(gate.port).connect()
    said = gate.reload(gate.path.read_text().replace("backend_http_proxy ", "#").replace("backend_http_proxy_password_file", "#"))
    assert "in force" in said and "secret" not in gate.log() and "a:b@c" not in gate.log()


def test_wrong_password(start, proxy_of, broker, device_of):
    proxy = proxy_of(b"user:right")
    refused(start(broker.tls_port, "backend_http_proxy http://user:wrong@127.0.0.1:%d\n" % proxy.port), device_of, "http_proxy_password", "wants another user and password")
    refused(start(broker.tls_port, "backend_http_proxy http://127.0.0.1:%d\n" % proxy.port), device_of, "http_proxy_password", "wants another user and password")


@pytest.mark.parametrize("answer,cause", [
    (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", "refused"), (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "wrong"), (b"HTTP/1.1 200 OK\n\n", "wrong"), (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000, "wrong"),
    (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", "wrong"), (b"\x20\x02\x00\x00", "wrong")])
def test_answers_that_are_no_tunnel(start, proxy_of, broker, device_of, answer, cause):
    proxy = proxy_of(answer=lambda head: answer)
    gate = start(broker.tls_port, "backend_http_proxy http://127.0.0.1:%d\n" % proxy.port)
    refused(gate, device_of, "http_proxy_" + cause, {"refused": "the HTTP proxy refuses", "wrong": "does not answer as an HTTP proxy"}[cause])
    assert proxy.firsts == []


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_the_proxy_closes(start, broker, device_of, said):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate = start(broker.tls_port, "backend_http_proxy http://127.0.0.1:%d\n" % listener.getsockname()[1])
        device = device_of(gate.port, version=5)
        device.send(mqtt.connect(5))
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(65536)
            sock.sendall(said)
        assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE
        gate.wait_log("the HTTP proxy closed the connection")
        wait_counter(gate.metrics, FAILED % "http_proxy_closed", 1)


def test_a_silent_proxy(start, broker, device_of):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate = start(broker.tls_port, "backend_timeout 700ms\nbackend_http_proxy http://127.0.0.1:%d\n" % listener.getsockname()[1])
        device = device_of(gate.port, version=5)
        device.send(mqtt.connect(5))
        assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE
        gate.wait_log("did not answer within backend_timeout")


def test_the_header_is_for_the_broker(start, proxy_of, device_of, broker):
    """backend_proxy_protocol: behind the tunnel, in one write with the ClientHello."""
    proxy = proxy_of()
    gate = start(broker.tls_port, "backend_proxy_protocol v2\nbackend_http_proxy http://127.0.0.1:%d\n" % proxy.port)
    device = device_of(gate.port)
    device.send(mqtt.connect(4))
    with proxy.changed:
        assert proxy.changed.wait_for(lambda: proxy.firsts, 15)
    header = proxies.Header(proxy.firsts[0])
    assert header.source == device.sock.getsockname()
    assert proxy.firsts[0][header.size:header.size + 2] == b"\x16\x03"
    assert b"\r\n\r\n\0" not in proxy.heads[0]


def test_reload_moves_to_the_proxy_and_back(start, proxy_of, broker, device_of):
    proxy = proxy_of()
    line = "backend_http_proxy http://127.0.0.1:%d\n" % proxy.port
    gate = start(broker.tls_port, "#\n")
    config = gate.path.read_text()
    early = device_of(gate.port)
    early.connect("early")
    assert "in force" in gate.reload(config.replace("#\n", line))
    device_of(gate.port).connect("second")
    assert len(proxy.heads) == 1 and early.ping()
    assert "refused" in gate.reload(config.replace("#\n", "backend_http_proxy https://127.0.0.1:1\n"))
    assert "in force" in gate.reload(config)
    device_of(gate.port).connect("third")
    assert len(proxy.heads) == 1
    assert counters(gate.metrics)["backend_dials_total"] == 3


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_tinyproxy(start, broker, device_of, tmp_path, password):
    assert shutil.which("tinyproxy", path=os.environ["PATH"] + ":/usr/sbin:/usr/bin"), "there is no tinyproxy"
    port = free_port()
    (tmp_path / "tinyproxy.conf").write_text("Port %d\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nBasicAuth user secret\nConnectPort %d\n" % (port, broker.tls_port))
    process = subprocess.Popen(["tinyproxy", "-d", "-c", str(tmp_path / "tinyproxy.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end
                time.sleep(0.02)
        gate = start(broker.tls_port, "backend_http_proxy http://user:%s@127.0.0.1:%d\n" % (password, port))
        if password == "secret":
            device = device_of(gate.port)
            device.connect("by-tinyproxy")
            assert device.ping()
        else:  # tinyproxy says 401 to a wrong password, 407 to none
            with device_of(gate.port, version=5) as device:
                device.send(mqtt.connect(5))
                assert device.expect(mqtt.CONNACK).reason == UNAVAILABLE
            gate.wait_log("the broker cannot be reached: the HTTP proxy (refuses|wants)")
    finally:
        process.terminate()
        process.wait(30)


def test_what_configurations_say(tmp_path):
    def check(lines, words, is_good=False, backend="127.0.0.1"):
        path = tmp_path / "t.conf"
        path.write_text("backend %s\nuser root\nlistener 1884\n%s" % (backend, lines))
        done = run("-c", path, "-t")
        assert (done.returncode == 0) == is_good and words in done.stderr, done.stderr
        assert "sesame" not in done.stderr

    tls = "backend_tls true\n"
    check("backend_http_proxy http://p:1\n", "t.conf:4: backend_http_proxy needs backend_tls true")
    check(tls + "backend_http_proxy http://p:1\n", "is good", True)
    for url in ("p:1", "https://p:1", "http://p", "http://u:sesame@p", "http://p:0", "http://@p:1", "http://p:1/x"):
        check(tls + "backend_http_proxy %s\n" % url, "t.conf:5: backend_http_proxy has no address of a proxy")
    check(tls + "backend_http_proxy http://u:%zzsesame@p:1\n", "backend_http_proxy has a password that is")
    check(tls + "backend_http_proxy http://a%3ab:sesame@p:1\n", "backend_http_proxy names a user that is")
    check(tls + "backend_http_proxy @%s\n" % (tmp_path / "none"), "t.conf:5: ")
    (tmp_path / "password").write_text("sesame")
    file = "backend_http_proxy_password_file %s\n" % (tmp_path / "password")
    check(tls + file, "needs backend_http_proxy with a user")
    check(tls + file + "backend_http_proxy http://p:1\n", "must name a user, and no password")
    check(tls + file + "backend_http_proxy http://u:x@p:1\n", "must name a user, and no password")
    check(tls + file + "backend_http_proxy http://u@p:1\n", "is good", True)
    (tmp_path / "password").write_text("")
    check(tls + file + "backend_http_proxy http://u@p:1\n", "is empty")
    (tmp_path / "password").write_text("a\nb\n")
    check(tls + file + "backend_http_proxy http://u@p:1\n", "more than one line")
    check(tls + "backend_sni x\nbackend_http_proxy http://p:1\n", "cannot reach a Unix socket", backend="unix:/run/x")
