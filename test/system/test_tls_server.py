"""TLS as the server shows it: certificates of two kinds, encrypted keys."""
import subprocess

import pytest

from peers.certs import openssl
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
