"""What the scanners of others say of a listener with nothing but certfile and keyfile: sslscan and testssl.sh."""
import json
import os
import re
import shutil
import subprocess

import pytest

from peers.ports import free_port


@pytest.fixture(scope="module")
def ports(shared_gate_of, certs):
    """One listener with an ECDSA key, one with both. Nobody waits long for the CONNECT that a scanner does not send."""
    found = {"ecdsa": free_port(), "both": free_port()}
    rsa = "certfile %s\nkeyfile %s\n" % certs.ca.issue_server("scan-rsa", is_rsa=True)
    shared_gate_of("backend 127.0.0.1:%d\nconnect_timeout 300ms\nhandshake_timeout 2s\nlistener %d\n%slistener %d\n%s%s" % (
        free_port(), found["ecdsa"], certs.tls, found["both"], certs.tls, rsa))
    return found


def is_forward_secret(cipher):
    return cipher.startswith(("TLS_", "ECDHE-", "DHE-"))


@pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed")
@pytest.mark.parametrize("which", ["ecdsa", "both"])
def test_sslscan(ports, which):
    done = subprocess.run(["sslscan", "--no-colour", "127.0.0.1:%d" % ports[which]], capture_output=True, text=True, timeout=120)
    text = done.stdout
    states = dict(re.findall(r"^(SSLv[23]|TLSv1\.[0-3])\s+(enabled|disabled)$", text, re.M))
    assert states == {"SSLv2": "disabled", "SSLv3": "disabled", "TLSv1.0": "disabled", "TLSv1.1": "disabled",
                      "TLSv1.2": "enabled", "TLSv1.3": "enabled"}, text
    ciphers = re.findall(r"^(?:Preferred|Accepted)\s+(TLSv1\.[0-3])\s+(\d+) bits\s+(\S+)", text, re.M)
    assert {version for version, _, _ in ciphers} == {"TLSv1.2", "TLSv1.3"}
    assert len(ciphers) == (6 if which == "ecdsa" else 9), ciphers
    for _, bits, cipher in ciphers:
        assert is_forward_secret(cipher) and int(bits) >= 128 and ("GCM" in cipher or "POLY1305" in cipher), cipher
    assert "Session renegotiation not supported" in text
    assert "Compression enabled" not in text
    assert re.findall(r"(TLSv1\.[23]) not vulnerable to heartbleed", text) and "\nvulnerable" not in text


@pytest.mark.skipif(not shutil.which("testssl"), reason="testssl.sh is not installed")
def test_testssl(ports, tmp_path):
    """Protocols, forward secrecy and all vulnerabilities that testssl.sh knows."""
    report = tmp_path / "report.json"
    said = subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--openssl", "/usr/bin/openssl", "--sneaky", "-p", "-f",
                           "-U", "--jsonfile", str(report), "127.0.0.1:%d" % ports["both"]], capture_output=True, text=True, timeout=1000,
                          env=dict(os.environ, MAX_WAITSOCK="2", HEARTBLEED_MAX_WAITSOCK="3", CCS_MAX_WAITSOCK="3"))
    rows = {row["id"]: row for row in json.loads(report.read_text())}
    bad = {name: (row["severity"], row["finding"]) for name, row in rows.items() if row["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")}
    assert not bad, said.stdout[-6000:]
    finding = {name: row["finding"] for name, row in rows.items()}
    for version in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"):
        assert finding[version].startswith("not offered"), version
    assert finding["TLS1_2"].startswith("offered") and finding["TLS1_3"].startswith("offered")
    assert finding["PFS" if "PFS" in finding else "FS"].startswith("offered")
    for name in ("heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_client_renego", "CRIME_TLS", "POODLE_SSL", "SWEET32", "FREAK", "DROWN",
                 "LOGJAM", "BEAST", "LUCKY13", "RC4"):
        assert name in finding, "testssl.sh did not come to %s: %s" % (name, sorted(finding))
    assert "not vulnerable" in finding["secure_client_renego"]
    assert "not vulnerable" in finding["CRIME_TLS"]
