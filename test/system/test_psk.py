"""TLS with pre-shared keys: psk_file and psk_hint, with openssl s_client and mosquitto's clients."""
import re
import subprocess
import threading
import time
import urllib.request

import pytest

from peers import gate as gates
from peers import packets as mqtt
from peers.ports import free_port

KEY, OTHER = "000102030405060708090a0b0c0d0e0f", "f00102030405060708090a0b0c0d0e0f"
VERSIONS = ["-tls1_2", "-tls1_3"]


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# devices\npump:%s\nother:%s\nzero:00%s\n" % (KEY, OTHER, KEY))
    path.chmod(0o600)
    return path


@pytest.fixture
def start(gate_of, backend, port, keys):
    def begin(lines=""):
        return gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\npsk_hint gate\npsk_file %s\n%s" % (backend.port, port, keys, lines))

    return begin


class Client:
    """openssl s_client as the TLS of a device: MQTT bytes in and out."""

    def __init__(self, port, identity="pump", key=KEY, *arguments):
        self.process = subprocess.Popen(["openssl", "s_client", "-quiet", "-connect", "127.0.0.1:%d" % port, "-psk_identity", identity, "-psk",
                                         key, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while data := self.process.stdout.read1(65536):
            self.out += data

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self, condition, timeout=20):
        end = time.monotonic() + timeout
        while not condition(self.out):
            assert time.monotonic() < end and self.process.poll() is None, self.out
            time.sleep(0.02)

    def ended(self, timeout=20):
        self.process.wait(timeout)
        return self.out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        self.process.wait()


def handshake(port, identity, key, *arguments):
    """What s_client says of it."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-psk_identity", identity, "-psk", key, *arguments],
                          input=b"", capture_output=True, timeout=30)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lines", ["username_from psk_identity\n", "use_identity_as_username true\n", "clientid_from psk_identity\n", ""])
def test_identity(start, backend, port, version, lines):
    gate = start(lines)
    with Client(port, "pump", KEY, version) as client:
        client.send(mqtt.connect(4, "dev", username="own", password="x"))
        client.wait(lambda out: out[:4] == b"\x20\x02\x00\x00")
        connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
        is_named = lines.startswith("u")
        assert connect.username == ("pump" if is_named else "own") and connect.password == (None if is_named else b"x")
        assert connect.client_id == ("pump" if "clientid" in lines else "dev")
        client.send(mqtt.publish(4, "t", b"hello"))
        backend.wait_connection().wait_packet(mqtt.PUBLISH)
    assert version[4:].replace("_", ".") in gate.wait_log("New client connected.*").group(0)


@pytest.mark.parametrize("version", VERSIONS)
def test_forward_secret(start, port, version):
    start()
    said = handshake(port, "pump", KEY, version)
    assert re.search(r"Cipher is (ECDHE-PSK-\S+|TLS_AES_128_GCM_SHA256)", said), said
    assert "Reused" not in said or version == "-tls1_3"
    if version == "-tls1_2":
        assert "PSK identity hint: gate" in said
        assert "TLS session ticket:" not in said
        said = handshake(port, "pump", KEY, version, "-cipher", "PSK-AES128-GCM-SHA256:PSK-AES128-CBC-SHA256")
        assert "Cipher is (NONE)" in said


def test_plain_psk_on_request(start, port):
    start("ciphers PSK\n")
    assert "Cipher is PSK-" in handshake(port, "pump", KEY, "-tls1_2", "-cipher", "PSK-AES128-GCM-SHA256")


@pytest.mark.parametrize("version", VERSIONS)
def test_refused(start, backend, port, certs, version):
    """Unknown identities and wrong keys are told apart, counted and logged with the address."""
    metrics = free_port()
    gate = start("metrics_listener 127.0.0.1:%d\n" % metrics)
    for identity, key, words in (("nobody", KEY, "identity of the device is not in the psk_file"), ("pump", OTHER, "another key than the psk_file"),
                                 ("zero", KEY, "another key than")):
        said = handshake(port, identity, key, version)
        assert "alert" in said.lower(), said
        gate.wait_log(r"127\.0\.0\.1.* is gone: the TLS handshake failed: .*" + words)
    done = subprocess.run(["openssl", "s_client", version, "-connect", "127.0.0.1:%d" % port], input=b"", capture_output=True, timeout=30)
    assert b"alert" in done.stderr
    gate.wait_log(r"127\.0\.0\.1.* is gone: the TLS handshake failed: the device offers no pre-shared key")
    text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % metrics, timeout=15).read().decode()
    counts = dict(re.findall(r'"(psk_\w+)"\} (\d+)', text))
    assert [counts[name] for name in ("psk_unknown", "psk_wrong", "psk_missing", "psk_gone")] == ["1", "2", "1", "0"], counts
    assert "certificate_expires_seconds{" not in text
    assert backend.count() == 0
    assert "alert" not in handshake(port, "zero", "00" + KEY, version)  # zeros in front count


def test_mosquitto_pub(gate_of, broker, subscriber_of, port, keys):
    """mosquitto's own clients, of both sides; rules know the identity."""
    acl = keys.parent / "acl"
    acl.write_text("user pump\ntopic readwrite psk/#\n")
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\npsk_hint gate\npsk_file %s\nuse_identity_as_username true\nacl_file %s\n" %
                   (broker.port, port, keys, acl))
    subscriber = subprocess.Popen(["mosquitto_sub", "-p", str(port), "--psk", KEY, "--psk-identity", "pump", "-t", "psk/#", "-C", "1", "-W", "20"],
                                  stdout=subprocess.PIPE)
    gate.wait_log("New client connected.*u'pump'")
    time.sleep(0.3)
    for _ in range(2):
        subprocess.run(["mosquitto_pub", "-p", str(port), "--psk", KEY, "--psk-identity", "pump", "-t", "psk/1", "-q", "1", "-m", "hello"],
                       check=True, timeout=30)
    assert subscriber.communicate(timeout=30)[0] == b"hello\n"
    done = subprocess.run(["mosquitto_pub", "-p", str(port), "--psk", OTHER, "--psk-identity", "pump", "-t", "psk/1", "-m", "x"], capture_output=True,
                          timeout=30)
    assert done.returncode != 0
    gate.wait_log("another key than")


@pytest.mark.parametrize("version", VERSIONS)
def test_reload(start, backend, port, keys, version):
    """New keys count at once; who lost his is out; a bad file changes nothing."""
    gate = start()
    with Client(port, "pump", KEY, version) as stays, Client(port, "other", OTHER, version) as goes:
        for client, name in ((stays, "pump"), (goes, "other")):
            client.send(mqtt.connect(5, name))
            client.wait(lambda out: out[:1] == b"\x20")
        good = keys.read_text()
        for bad in ("", "pump\n", "pump:xyz\n", "\xff:00\n"):
            keys.write_bytes(bad.encode("latin-1"))
            assert "refused" in gate.reload()
        assert stays.process.poll() is None and goes.process.poll() is None
        keys.write_text(good.replace("other:" + OTHER, "new:" + OTHER))
        assert "in force" in gate.reload()
        assert b"\xe0" in goes.ended() and b"pre-shared key is no longer" in goes.out  # DISCONNECT
        stays.send(mqtt.pingreq())
        stays.wait(lambda out: out.endswith(b"\xd0\x00"))
    gate.wait_log("'?other'?.*is gone: its pre-shared key is no longer in the psk_file")
    assert "alert" in handshake(port, "other", OTHER, version)
    assert "alert" not in handshake(port, "new", OTHER, version)
    keys.write_text(good.replace(KEY, OTHER))
    gate.reload()
    assert "alert" in handshake(port, "pump", KEY, version)


def test_tls13_elsewhere(gate_of, backend, keys, certs):
    """A psk_file takes TLS 1.3 from nobody, and its keys open no listener with certificates."""
    ports = free_port(), free_port()
    gate_of("backend 127.0.0.1:%d\npsk_file %s\nlistener %d 127.0.0.1\npsk_hint gate\nlistener %d 127.0.0.1\n%sciphers ALL:@SECLEVEL=0\n" %
            (backend.port, keys, *ports, certs.tls))
    done = subprocess.run(["openssl", "s_client", "-tls1_3", "-CAfile", str(certs.cafile), "-connect", "127.0.0.1:%d" % ports[1]], input=b"",
                          capture_output=True, timeout=30)
    assert b"Verification: OK" in done.stdout and b"TLSv1.3" in done.stdout
    assert "Cipher is (NONE)" in handshake(ports[1], "pump", KEY, "-tls1_2", "-cipher", "PSK")


def test_bad_files_refuse_the_start(backend, port, keys, tmp_path):
    path = tmp_path / "conf"
    path.write_text("user root\nbackend 127.0.0.1:%d\nlistener %d\npsk_hint x\npsk_file %s\n" % (backend.port, port, keys))
    assert gates.run("-t", "-c", path).returncode == 0
    for bad, words in ((b"", "is empty"), (b"# x\n", "no identity"), (b"a:0x12\n", "keys:1: the key of \"a\""), (b"a\xff:12\n", "keys:1: the identity")):
        keys.write_bytes(bad)
        done = gates.run("-t", "-c", path)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    keys.unlink()
    assert gates.run("-t", "-c", path).returncode == 1


def test_explain(start, keys):
    acl = keys.parent / "acl"
    acl.write_text("user pump\ntopic write mine\n")
    gate = start("username_from psk_identity\nacl_file %s\n" % acl)
    for identity, status, words in (("pump", 0, "acl:2"), ("other", 1, ""), ("nobody", 1, "not in the psk_file"), (None, 1, "--psk-identity")):
        arguments = ["--psk-identity", identity] if identity else []
        done = gates.run("-c", gate.path, "explain", *arguments, "publish", "mine")
        assert done.returncode == status and words in done.stdout, (identity, done.stdout)
