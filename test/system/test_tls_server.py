"""TLS as the server shows it: certificates of two kinds, encrypted keys."""
import re
import socket
import subprocess
import time

import pytest

from peers.certs import Authority, openssl
from peers.gate import REPOSITORY
from peers.ports import free_port


@pytest.fixture(scope="module")
def backend(shared_backend_of):
    return shared_backend_of()


@pytest.fixture(scope="module")
def ca(certs):
    return certs.ca


def s_client(port, *arguments, stdin=b""):
    """openssl s_client; all that it says."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, *map(str, arguments)], input=stdin,
                          capture_output=True, timeout=30)
    return (done.stdout + done.stderr).decode(errors="replace")


def shown_key(port, *arguments):
    """Of the certificate that is shown: EC or RSA."""
    text = s_client(port, *arguments)
    certificate = text[text.index("-----BEGIN CERTIFICATE"):text.index("-----END CERTIFICATE")] + "-----END CERTIFICATE-----\n"
    words = openssl("x509", "-noout", "-text", stdin=certificate.encode()).decode()
    return "EC" if "id-ecPublicKey" in words else "RSA"


def pairs(*issued):
    return "".join("certfile %s\nkeyfile %s\n" % pair for pair in issued)


def test_two_kinds_of_key(gate_of, backend, ca, port):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (backend.port, port, pairs(
        ca.issue_server("two-ec"), ca.issue_server("two-rsa", is_rsa=True))))
    for version in ("-tls1_2", "-tls1_3"):
        assert shown_key(port, version) == "EC"
        assert shown_key(port, version, "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256") == "RSA"
    log = gate.reload(gate.path.read_text().replace("two-rsa.key", "two-ec.key"))
    assert "refused" in log and "two-ec.key is not the key of the certificate" in log
    assert shown_key(port, "-sigalgs", "RSA-PSS+SHA256") == "RSA", "the old set stays"


def test_encrypted_key(gate_of, backend, ca, port, tmp_path):
    crt, key = ca.issue_server("locked")
    locked, passwords = tmp_path / "locked.key", tmp_path / "passwords"
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:open sesame", "-out", locked)
    passwords.write_text("wrong\nopen sesame\n")
    passwords.chmod(0o600)
    config = "backend 127.0.0.1:%d\nlistener %d\n%s" % (backend.port, port, pairs((crt, locked)))
    gate = gate_of(config + "keyfile_password_file %s\n" % passwords)
    assert "CN = localhost" in s_client(port)
    assert "open sesame" not in gate.log()
    passwords.write_text("changed\n")
    assert "no line of keyfile_password_file" in gate.reload()
    assert "CN = localhost" in s_client(port)
    assert "nobody can type its password" in gate.reload(config)


def agreed(port, *names):
    text = s_client(port, "-alpn", ",".join(names))
    found = [line for line in text.splitlines() if line.startswith("ALPN protocol: ")]
    assert found or "No ALPN negotiated" in text or "alert" in text, text
    return found[0].split(": ")[1] if found else "refused" if "no application protocol" in text else None


def test_alpn(gate_of, backend, broker, ca, certs, tmp_path):
    plain, several, strict = (free_port() for _ in range(3))
    lines = "listener %d\n" + certs.tls
    gate = gate_of("backend 127.0.0.1:%d\n" % broker.port + lines % plain + lines % several + "alpn x-amzn-mqtt-ca mqtt\n" +
                   lines % strict + "alpn_strict true\n")
    assert agreed(plain, "h2", "mqtt") == "mqtt"
    assert agreed(plain, "h2") is None and agreed(plain, "mqtt5") is None
    assert agreed(several, "mqtt", "x-amzn-mqtt-ca") == "x-amzn-mqtt-ca" and agreed(several, "mqtt") == "mqtt"
    assert agreed(strict, "mqtt") == "mqtt"
    assert agreed(strict, "h2", "http/1.1") == "refused"
    assert "no application protocol" in s_client(strict)
    gate.wait_log("offers no protocol \\(ALPN\\) that this listener allows")
    for port, name, status in ((plain, "mqtt", 0), (plain, "other", 0), (strict, "mqtt", 0), (strict, "other", 8)):
        done = subprocess.run(["mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", str(certs.cafile), "--tls-alpn", name,
                               "-t", "a", "-m", "x", "-q", "1"], capture_output=True, timeout=30)
        assert (done.returncode == 0) == (status == 0), (port, name, done.stderr)


def test_bad_alpn(gate_of, backend, certs, port):
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (backend.port, port, certs.tls))
    log = gate.reload(gate.path.read_text().replace("certfile", "alpn %s\ncertfile" % ("a" * 256)))
    assert "refused" in log and "protocol of 256 bytes" in log


class Responder:
    """openssl ocsp, which answers about the certificates of a CA of the tests."""

    def __init__(self, ca, port, *arguments):
        self.url = "http://127.0.0.1:%d" % port
        log = ca.folder / "responder.log"
        with open(log, "wb") as said:
            self.process = subprocess.Popen(
                ["openssl", "ocsp", "-index", str(ca.folder / "index.txt"), "-CA", str(ca.crt), "-rsigner", str(ca.crt), "-rkey",
                 str(ca.key), "-port", str(port), *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        end = time.monotonic() + 15
        while b"waiting for OCSP client" not in log.read_bytes():  # a connection without a request would hang it
            assert time.monotonic() < end
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def refresh(*arguments):
    return subprocess.run([str(REPOSITORY / "scripts/ocsp-refresh"), *map(str, arguments)], capture_output=True, text=True, timeout=60)


def stapled(port, *arguments):
    """The status that is stapled, or None."""
    text = s_client(port, "-status", *arguments)
    found = re.findall(r"Cert Status: (\w+)", text)
    return found[0] if found else None if "no response sent" in text else text


def test_ocsp(gate_of, backend, tmp_path, port):
    ca, stranger = Authority(tmp_path / "ca", "OCSP CA"), Authority(tmp_path / "stranger", "OCSP CA")
    first, second, other = ca.issue_server("first"), ca.issue_server("second", is_rsa=True), ca.issue_server("other")
    answer, answer2, pid = tmp_path / "first.der", tmp_path / "second.der", tmp_path / "pid"
    with Responder(ca, free_port(), "-ndays", "3") as responder:
        for crt, path in ((first[0], answer), (second[0], answer2)):
            done = refresh("-u", responder.url, crt, ca.crt, path)
            assert done.returncode == 0, done.stderr
        assert oct(answer.stat().st_mode & 0o777) == "0o644"
        config = "backend 127.0.0.1:%d\npid_file %s\nlistener %d\n%socsp_file %s\n" % (
            backend.port, pid, port, pairs(first, second), answer2)
        gate = gate_of(config)
        assert "cannot be checked for its signature" in gate.log()
        for version in ("-tls1_2", "-tls1_3"):
            assert stapled(port, version) is None, "there is none about the ECDSA certificate"
            assert stapled(port, version, "-sigalgs", "RSA-PSS+SHA256") == "good"
        assert "in force" in gate.reload(config + "ocsp_file %s\n" % answer)
        for version in ("-tls1_2", "-tls1_3"):
            assert stapled(port, version) == "good"
        assert "OCSP Response" not in s_client(port), "only who asks gets it"
        # The script tells the program, and leaves a good file alone when the answer is not good.
        count = len(re.findall("is in force", gate.log()))
        assert refresh("-u", responder.url, "-p", pid, first[0], ca.crt, answer).returncode == 0
        gate.wait_log("is in force", count + 1)
        before = answer.read_bytes()
        done = refresh("-u", responder.url, first[0], stranger.crt, answer)
        assert done.returncode == 1 and "gave no good answer" in done.stderr or "is not" in done.stderr
        assert answer.read_bytes() == before
    done = refresh("-u", responder.url, first[0], ca.crt, answer)
    assert done.returncode == 1 and "gave no good answer" in done.stderr and answer.read_bytes() == before
    assert "names no responder" in refresh(first[0], ca.crt, answer).stderr
    assert not list(tmp_path.glob("first.der.*"))
    # What no device should get is refused at a reload.
    for bad, words in ((before[:-1], "no OCSP response"), (b"", "is empty"), (before + b"x", "no OCSP response"), (b"garbage", "no OCSP response")):
        answer.write_bytes(bad)
        log = gate.reload()
        assert "refused" in log and words in log
        assert stapled(port) == "good", "the old one stays"
    with Responder(ca, free_port(), "-ndays", "3") as responder:
        assert refresh("-u", responder.url, other[0], ca.crt, answer).returncode == 0
    assert "about none of this listener's or host's certificates" in gate.reload()
    ca.revoke("first")
    with Responder(ca, free_port(), "-ndays", "3") as responder:
        done = refresh("-u", responder.url, first[0], ca.crt, answer)
        assert done.returncode == 1 and "is not good" in done.stderr
        fetch(ca, responder, first[0], answer)
        log = gate.reload()
        assert "in force" in log and "is revoked, and devices are told so" in log
        assert stapled(port) == "revoked"


def fetch(ca, responder, crt, path):
    openssl("ocsp", "-no_nonce", "-issuer", ca.crt, "-cert", crt, "-url", responder.url, "-noverify", "-respout", path)


def test_expired_or_foreign_ocsp(gate_of, backend, tmp_path, port):
    ca, forger = Authority(tmp_path / "ca", "OCSP CA"), Authority(tmp_path / "forger", "OCSP CA")
    crt, key = ca.issue_server("it")
    answer = tmp_path / "it.der"
    with Responder(ca, free_port(), "-nmin", "1") as responder:  # over in a minute, which the program is told of
        fetch(ca, responder, crt, answer)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%scafile %s\nocsp_file %s\n" % (backend.port, port, pairs((crt, key)), ca.crt, answer))
    assert "cannot be checked for its signature" not in gate.log()
    assert "expires in 0 hours" in gate.log() and stapled(port) == "good"
    # The same request, signed by another key.
    request = tmp_path / "request.der"
    openssl("ocsp", "-no_nonce", "-issuer", ca.crt, "-cert", crt, "-reqout", request)
    openssl("ocsp", "-index", ca.folder / "index.txt", "-CA", ca.crt, "-rsigner", forger.crt, "-rkey", forger.key, "-reqin", request,
            "-ndays", "3", "-respout", answer)
    log = gate.reload()
    assert "refused" in log and "is not signed by the CA" in log


def test_keylog(gate_of, backend, certs, port, tmp_path):
    path = tmp_path / "keys.log"
    config = "backend 127.0.0.1:%d\nkeylog_file %s\nlistener %d\n%s" % (backend.port, path, port, certs.tls)
    gate = gate_of(config)
    assert "WHOEVER READS" in gate.log()
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    ours = tmp_path / "client.log"
    for version, label in (("-tls1_2", "CLIENT_RANDOM "), ("-tls1_3", "CLIENT_TRAFFIC_SECRET_0 ")):
        s_client(port, version, "-keylogfile", ours)
        wanted = [line for line in ours.read_text().splitlines() if line.startswith(label)]
        assert wanted and set(wanted) <= set(path.read_text().splitlines()), "the same secrets as the device's"
    assert "WHOEVER READS" in gate.reload()
    size = path.stat().st_size
    s_client(port)
    assert path.stat().st_size > size
    other = tmp_path / "other.log"
    assert "in force" in gate.reload(config.replace(str(path), str(other)))
    size = path.stat().st_size
    s_client(port)
    assert path.stat().st_size == size and other.stat().st_size > 0
    assert "in force" in gate.reload(config.replace("keylog_file %s\n" % path, ""))
    size = path.stat().st_size
    s_client(port)
    assert path.stat().st_size == size
    log = gate.reload(config.replace(str(path), "/nowhere/keys"))
    assert "refused" in log and "keylog_file /nowhere/keys cannot be written" in log
