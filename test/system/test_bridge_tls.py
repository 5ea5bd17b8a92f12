"""TLS from a bridge to the remote broker: whom it believes, what it shows, what it offers; against mosquitto, OpenSSL's s_server and a
server of our own that tells what it was offered."""
import contextlib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from peers.bridged import Bridged
from peers.broker import publish
from peers.certs import Authority, openssl
from peers.ports import free_port
from test_http_proxy import Proxy


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    ca = Authority(tmp_path_factory.mktemp("bridge-pki") / "ca", "Remote CA")
    ca.server = ca.issue_server()
    ca.other_name = ca.issue("elsewhere", san="DNS:elsewhere.example")
    ca.client = ca.issue_device("edge")
    ca.stranger = Authority(ca.folder / "stranger", "Somebody's CA")
    return ca


@pytest.fixture
def tls_broker_of(broker_of, pki):
    """A mosquitto with a TLS listener at .tls_port."""

    def make(more="", pair=None):
        port = free_port()
        crt, key = pair or pki.server
        files = "" if "psk_file" in more else "cafile %s\ncertfile %s\nkeyfile %s\n" % (pki.crt, crt, key)
        made = broker_of("listener %d\nallow_anonymous true\n%s%s" % (port, files, more))
        made.tls_port = port
        return made

    return make


@pytest.fixture
def bridge_to(gate_of, tmp_path, broker):
    def make(port, lines, host="127.0.0.1", **options):
        return Bridged(gate_of, tmp_path, broker.port, "%s:%d" % (host, port), "topic t/# out 1\n" + lines, **options)

    return make


def crosses(bridge, broker, remote, subscriber_of):
    there = subscriber_of(remote.port, "-t", "t/#", "-q", 1)
    bridge.wait_up()
    publish(broker.port, "-t", "t/a", "-m", "hello", "-q", 1)
    assert there.wait(1) == [("t/a", 1, 0, b"hello")]


def is_refused(bridge, words):
    bridge.gate.wait_log(r"the remote broker at \S+ is not there: [^\n]*" + words, 2)
    assert bridge.metric("remote_connects") == 0


# ---- whom it believes ----

def test_a_cafile(bridge_to, tls_broker_of, broker, subscriber_of, pki):
    remote = tls_broker_of()
    crosses(bridge_to(remote.tls_port, "bridge_cafile %s" % pki.crt), broker, remote, subscriber_of)


def test_a_capath(bridge_to, tls_broker_of, broker, subscriber_of, pki, tmp_path):
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "one.pem").write_bytes(pki.crt.read_bytes())
    openssl("rehash", folder)
    remote = tls_broker_of()
    crosses(bridge_to(remote.tls_port, "bridge_capath %s" % folder), broker, remote, subscriber_of)


def test_the_systems_authorities(bridge_to, tls_broker_of, broker, subscriber_of, pki, monkeypatch):
    remote = tls_broker_of()
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.crt))
    crosses(bridge_to(remote.tls_port, "bridge_tls_use_os_certs true"), broker, remote, subscriber_of)


def test_the_systems_authorities_do_not_know_it(bridge_to, tls_broker_of):
    is_refused(bridge_to(tls_broker_of().tls_port, "bridge_tls_use_os_certs true"), "its certificate is not signed by a CA that is trusted here")


@pytest.mark.parametrize("more", ["", "bridge_insecure true\n"])
def test_another_authority(bridge_to, tls_broker_of, pki, more):
    """bridge_insecure is about the name alone."""
    is_refused(bridge_to(tls_broker_of().tls_port, "bridge_cafile %s\n%s" % (pki.stranger.crt, more)),
               "its certificate is not signed by a CA that is trusted here")


def test_another_name(bridge_to, tls_broker_of, broker, subscriber_of, pki):
    remote = tls_broker_of(pair=pki.other_name)
    bridge = bridge_to(remote.tls_port, "bridge_cafile %s" % pki.crt)
    is_refused(bridge, "its certificate is for another name or address than was dialled")
    bridge.gate.stop()


def test_insecure(bridge_to, tls_broker_of, broker, subscriber_of, pki):
    remote = tls_broker_of(pair=pki.other_name)
    bridge = bridge_to(remote.tls_port, "bridge_cafile %s\nbridge_insecure true" % pki.crt)
    crosses(bridge, broker, remote, subscriber_of)
    assert "bridge_insecure: the name in the remote broker's certificate is not checked" in bridge.gate.log()


def test_no_tls_at_the_other_end(bridge_to, broker_of, pki):
    is_refused(bridge_to(broker_of().port, "bridge_cafile %s\nbridge_connect_timeout 2s" % pki.crt), "it closed the connection in the middle of the TLS handshake")


# ---- what it shows ----

def test_a_certificate_of_ours(bridge_to, tls_broker_of, broker, subscriber_of, pki):
    remote = tls_broker_of("require_certificate true\nuse_identity_as_username true\n")
    crosses(bridge_to(remote.tls_port, "bridge_cafile %s\nbridge_certfile %s\nbridge_keyfile %s" % (pki.crt, *pki.client)), broker, remote,
            subscriber_of)
    assert "u'edge'" in remote.log()


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_certificate_that_is_wanted(bridge_to, tls_broker_of, pki, version):
    remote = tls_broker_of("require_certificate true\ntls_version %s\n" % version)
    is_refused(bridge_to(remote.tls_port, "bridge_cafile %s" % pki.crt), "(it wants a certificate of ours|it closed the connection|TLS)")


# ---- what it offers ----

class Front:
    """Ends TLS in front of a broker without, and keeps what each connection offered and agreed on."""

    def __init__(self, pair, broker_port, alpn=None, versions=None, ciphers=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pair)
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        if alpn:
            self.context.set_alpn_protocols(alpn)
        if versions:
            self.context.minimum_version, self.context.maximum_version = versions
        if ciphers:
            self.context.set_ciphers(ciphers)
        self.broker_port, self.names, self.seen = broker_port, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as near, \
                socket.create_connection(("127.0.0.1", self.broker_port)) as far:
            self.seen.append((near.selected_alpn_protocol(), near.version(), near.cipher()[0]))
            threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
            self._pump(near, far)

    @staticmethod
    def _pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def front_of(pki, broker_of):
    made = []

    def make(**options):
        made.append(Front(pki.server, broker_of().port, **options))
        return made[-1]

    yield make
    for front in made:
        front.listener.close()


TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def test_the_name_is_asked_for(bridge_to, front_of, pki):
    front = front_of()
    bridge_to(front.port, "bridge_cafile %s" % pki.crt, host="localhost").wait_up()
    assert front.names == ["localhost"]


def test_the_name_is_asked_for_with_insecure(bridge_to, front_of, pki):
    front = front_of()
    bridge_to(front.port, "bridge_cafile %s\nbridge_insecure true" % pki.crt, host="localhost").wait_up()
    assert front.names == ["localhost"]


def test_the_name_is_asked_for_through_a_proxy(bridge_to, front_of, pki):
    front, proxy = front_of(), Proxy()
    bridge_to(front.port, "bridge_cafile %s\nbridge_http_proxy http://127.0.0.1:%d" % (pki.crt, proxy.port), host="localhost").wait_up()
    assert front.names == ["localhost"] and proxy.heads[0].startswith(b"CONNECT localhost:%d " % front.port)


def test_alpn(bridge_to, front_of, pki):
    front = front_of(alpn=["other", "x-amzn-mqtt-ca"])
    bridge_to(front.port, "bridge_cafile %s\nbridge_alpn x-amzn-mqtt-ca" % pki.crt).wait_up()
    assert front.seen[0][0] == "x-amzn-mqtt-ca"


def test_no_alpn(bridge_to, front_of, pki):
    front = front_of(alpn=["other"])
    bridge_to(front.port, "bridge_cafile %s" % pki.crt).wait_up()
    assert front.seen[0][0] is None


@pytest.mark.parametrize("lines, versions, agreed", [
    ("", (TLS12, TLS13), "TLSv1.3"), ("", (TLS12, TLS12), "TLSv1.2"), ("bridge_tls_version tlsv1.2\n", (TLS12, TLS13), "TLSv1.3"),
    ("bridge_tls_version tlsv1.3\n", (TLS12, TLS13), "TLSv1.3"), ("bridge_tls_version tlsv1.3\n", (TLS12, TLS12), None)])
def test_versions(bridge_to, front_of, pki, lines, versions, agreed):
    front = front_of(versions=versions)
    bridge = bridge_to(front.port, "bridge_cafile %s\n%s" % (pki.crt, lines))
    if agreed:
        bridge.wait_up()
        assert front.seen[0][1] == agreed
    else:
        is_refused(bridge, "it speaks no TLS 1.2 or newer, or none that is allowed here")
        assert not front.seen


def test_ciphers(bridge_to, front_of, pki):
    front = front_of(versions=(TLS12, TLS12))
    bridge_to(front.port, "bridge_cafile %s\nbridge_ciphers ECDHE-ECDSA-CHACHA20-POLY1305" % pki.crt).wait_up()
    assert front.seen[0][2] == "ECDHE-ECDSA-CHACHA20-POLY1305"


def test_cipher_suites(bridge_to, front_of, pki):
    front = front_of()
    bridge_to(front.port, "bridge_cafile %s\nbridge_ciphers_tls1.3 TLS_CHACHA20_POLY1305_SHA256" % pki.crt).wait_up()
    assert front.seen[0][1:] == ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256")


def test_no_cipher_in_common(bridge_to, front_of, pki):
    front = front_of(versions=(TLS12, TLS12), ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    is_refused(bridge_to(front.port, "bridge_cafile %s\nbridge_ciphers ECDHE-ECDSA-CHACHA20-POLY1305" % pki.crt), "no cipher in common")


# ---- a pre-shared key ----

@pytest.mark.parametrize("identity, key, words", [
    ("edge", "00a1b2c3d4e5f60718293a4b5c6d7e8f", None),
    ("edge", "00a1b2c3d4e5f60718293a4b5c6d7e80", "it ends the connection with a TLS alert"),
    ("other", "00a1b2c3d4e5f60718293a4b5c6d7e8f", r"it does not know our identity \(bridge_identity\)")])
def test_a_shared_key(bridge_to, tls_broker_of, broker, subscriber_of, tmp_path, identity, key, words):
    (tmp_path / "keys").write_text("edge:00a1b2c3d4e5f60718293a4b5c6d7e8f\n")
    remote = tls_broker_of("psk_file %s/keys\npsk_hint remote\nuse_identity_as_username true\n" % tmp_path)
    bridge = bridge_to(remote.tls_port, "bridge_identity %s\nbridge_psk %s" % (identity, key))
    if words is None:
        crosses(bridge, broker, remote, subscriber_of)
        assert "u'edge'" in remote.log()
    else:
        is_refused(bridge, words)


# ---- a stapled answer of the authority ----

@pytest.fixture
def responder(pki, tmp_path):
    """Starts an s_server with the certificate of that name and a staple about that of `about`; None: it has none."""
    made = []

    def make(name, about, version="-tls1_3"):
        port, answer = free_port(), tmp_path / "answer.der"
        arguments = []
        if about is not None:
            openssl("ocsp", "-issuer", pki.crt, "-cert", pki.folder / (about + ".crt"), "-reqout", tmp_path / "ask.der")
            openssl("ocsp", "-index", pki.folder / "index.txt", "-CA", pki.crt, "-rsigner", pki.crt, "-rkey", pki.key, "-reqin",
                    tmp_path / "ask.der", "-respout", answer, "-ndays", 1)
            arguments = ["-status_file", str(answer)]
        process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", str(pki.folder / (name + ".crt")), "-key",
                                    str(pki.folder / (name + ".key")), "-quiet", version, *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made.append(process)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return port
            time.sleep(0.05)
        raise AssertionError("s_server does not listen")

    yield make
    for process in made:
        process.kill()
        process.wait()


STAPLED = "it shows no good OCSP response with its certificate"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("about, is_good", [("server", True), (None, False), ("edge", False)])
def test_a_staple_is_demanded(bridge_to, responder, pki, version, about, is_good):
    """s_server knows no MQTT: that the CONNECT is not answered tells that TLS is there."""
    port = responder("server", about, version)
    bridge = bridge_to(port, "bridge_cafile %s\nbridge_require_ocsp true\nbridge_connect_timeout 1s" % pki.crt)
    bridge.gate.wait_log("it did not answer the CONNECT within 1000 ms" if is_good else STAPLED)


def test_without_the_demand_a_staple_is_not_missed(bridge_to, responder, pki):
    bridge = bridge_to(responder("server", None), "bridge_cafile %s\nbridge_connect_timeout 1s" % pki.crt)
    bridge.gate.wait_log("it did not answer the CONNECT within 1000 ms")


def test_a_staple_that_says_revoked(bridge_to, responder, pki):
    pki.issue_server("gone")
    pki.revoke("gone")
    bridge = bridge_to(responder("gone", "gone"), "bridge_cafile %s\nbridge_require_ocsp true\nbridge_connect_timeout 1s" % pki.crt)
    bridge.gate.wait_log(STAPLED)
