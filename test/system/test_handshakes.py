"""Why a TLS handshake failed: each cause is counted on its own and logged with the address, in TLS 1.2 and 1.3, be the handshake taken on
the worker's loop or on its second thread."""
import re
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

from peers import packets as mqtt
from peers.aside import Staying, runs, wait_run
from peers.certs import Authority
from peers.device import Device, tls_context
from peers.ports import free_port

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module", params=["loop", "aside"])
def place(request, shared_gate_of, shared_backend_of, certs, tmp_path_factory):
    """A plain TLS listener, one that wants certificates, one with a list of another CA only, one with TLS 1.3 alone."""
    gate_ports = {name: free_port() for name in ("plain", "open", "mutual", "unlisted", "tls13", "brief", "expiring")}
    metrics = free_port()
    backend = shared_backend_of()
    other = Authority(tmp_path_factory.mktemp("handshakes") / "other", "Unlisted CA")
    both = other.folder / "both.crt"
    both.write_bytes(other.crt.read_bytes() + certs.device_ca.crt.read_bytes())
    mutual = "%scafile %s\nrequire_certificate true\ncrlfile %s\n" % (certs.tls, certs.device_ca.crt, certs.crl)
    lines = {"plain": "", "open": certs.tls + "ciphers ECDHE-ECDSA-AES128-GCM-SHA256\nciphers_tls1.3 TLS_AES_256_GCM_SHA384\n", "mutual": mutual,
             "unlisted": mutual.replace(str(certs.device_ca.crt), str(both)), "tls13": certs.tls + "tls_version tlsv1.3\n",
             "brief": certs.tls + "handshake_timeout 1s\n", "expiring": mutual}
    gate = shared_gate_of("workers 1\nbackend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\n" % (backend.port, metrics) +
                          "".join("listener %d 127.0.0.1\n%s" % (gate_ports[name], lines[name]) for name in gate_ports))
    gate.ports, gate.metrics, gate.backend, gate.other, gate.is_aside = gate_ports, metrics, backend, other, request.param == "aside"
    if not gate.is_aside:
        yield gate
        return
    with Staying(gate, gate_ports["plain"], lambda: Device(gate_ports["expiring"], tls_context(certs.cafile)).close()):
        yield gate


def counts(place):
    """What the metrics count by label."""
    text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % place.metrics, timeout=15).read().decode()
    found = {}
    for family, label, value in re.findall(r'^drawbridge_(\w+)\{\w+="([^"]+)"\} (\d+)$', text, re.M):
        if int(value):
            found[family, label] = int(value)
    return found


def causes(place, before):
    """The failures that were counted since."""
    now = counts(place)
    return {label: value - before.get((family, label), 0) for (family, label), value in now.items()
            if value != before.get((family, label), 0) and family == "tls_failures_total"}


def fail_as(place, cause, words, act, speaks=True):
    """The act makes exactly one failure of that cause, which the log tells with the address."""
    before, lines, ran = counts(place), len(place.log()), runs(place)
    act()
    end = time.monotonic() + 20
    while not causes(place, before) and time.monotonic() < end:
        time.sleep(0.05)
    assert causes(place, before) == {cause: 1}
    while not (found := re.findall(r"Client \(no client id\) \[127\.0\.0\.1:\d+\] is gone: (.*)", place.log()[lines:])) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(found) == 1 and words in found[0], place.log()[lines:]
    if place.is_aside and speaks:
        wait_run(place, ran)
    assert place.is_aside or runs(place) == 0


def shake(port, context):
    """A handshake that must fail, and be it behind its end as in TLS 1.3."""
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        with Device(port, context) as device:
            device.connect()


@pytest.mark.parametrize("version", [V12, V13])
def test_no_shared_cipher(place, version):
    name = ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384") if version == V12 else ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256")

    def act():
        done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % place.ports["open"], *name], input=b"", capture_output=True,
                              timeout=30)
        assert b"alert handshake failure" in done.stderr

    fail_as(place, "no_shared_cipher", "offers no cipher that this listener allows", act)


def test_unsupported_version(place, certs):
    fail_as(place, "unsupported_version", "offers no TLS version", lambda: shake(place.ports["tls13"], tls_context(certs.cafile, maximum=V12)))


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("cause,words", [
    ("certificate_missing", "sends no certificate"), ("unknown_ca", "not signed by a CA"), ("certificate_expired", "has expired"),
    ("certificate_not_yet_valid", "not yet valid"), ("certificate_revoked", "is revoked"), ("certificate_wrong_purpose", "not made for a client"),
    ("certificate_without_crl", "no list of the CA"), ("certificate_bad", "broken, too weak or has a wrong signature")])
def test_certificates(place, certs, cause, words, version):
    ca = certs.device_ca
    name = "%s-%d" % (cause, version)
    port = place.ports["unlisted" if cause == "certificate_without_crl" else "mutual"]
    pair = {"certificate_missing": lambda: (), "unknown_ca": lambda: certs.ca.issue_device(name),
            "certificate_expired": lambda: ca.issue_device(name, from_days=-20, to_days=-10),
            "certificate_not_yet_valid": lambda: ca.issue_device(name, from_days=10, to_days=20), "certificate_revoked": lambda: certs.mallory,
            "certificate_wrong_purpose": lambda: ca.issue_server(name), "certificate_without_crl": lambda: place.other.issue_device(name),
            "certificate_bad": lambda: forge(ca, name)}[cause]()
    fail_as(place, cause, words, lambda: shake(port, tls_context(certs.cafile, *pair, minimum=version, maximum=version)))


def forge(ca, name):
    """One bit of the CA's signature is another."""
    crt, key = ca.issue_device(name)
    der = bytearray(ssl.PEM_cert_to_DER_cert(crt.read_text()))
    der[-1] ^= 1
    crt.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))
    return crt, key


@pytest.mark.parametrize("data,cause,words", [
    (mqtt.connect(4), "plain_mqtt", "MQTT without TLS"), (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plain_http", "HTTP without TLS"),
    (b"POST /x HTTP/1.1\r\n\r\n", "plain_http", "HTTP without TLS"), (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "plain_proxy", "PROXY protocol"),
    (b"\r\n\r\n\0\r\nQUIT\n", "plain_proxy", "PROXY protocol"), (b"SSH-2.0-x\r\n", "not_tls", "not TLS"),
    (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff", "hello_too_big", "ClientHello that no device needs"),
    (b"\x80\x2e\x01\x03\x01" + bytes(50), "unsupported_version", "offers no TLS version"),
    (b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03" + bytes(40), "bad_record", "")],
    ids=["mqtt", "http get", "http post", "proxy v1", "proxy v2", "ssh", "huge", "ssl2", "cut"])
def test_not_tls(place, data, cause, words):
    def act():
        with Device(place.ports["open"]) as device:
            device.send(data)
            while device._receive(15):
                pass

    fail_as(place, cause, words, act)


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["silent", "a byte", "half a hello"])
def test_timeout(place, data):
    def act():
        with socket.create_connection(("127.0.0.1", place.ports["brief"])) as sock:
            sock.sendall(data)
            sock.settimeout(15)
            assert sock.recv(100) == b""

    fail_as(place, "timeout", "no TLS handshake within handshake_timeout", act, data)


def test_closed(place):
    def act():
        with socket.create_connection(("127.0.0.1", place.ports["open"])) as sock:
            sock.sendall(b"\x16\x03\x01\x02")

    fail_as(place, "abandoned", "the device closed the connection", act)


def test_distrust(place):
    """A device that does not know our CA says so in an alert."""
    def act():
        done = subprocess.run(["openssl", "s_client", "-verify_return_error", "-connect", "127.0.0.1:%d" % place.ports["open"], "-CAfile",
                               str(place.other.crt)], input=b"", capture_output=True, timeout=30)
        assert done.returncode != 0

    fail_as(place, "device_distrusts_us", "does not trust the certificate", act)


def test_list_expires_while_we_run(gate_of, backend_of, certs, tmp_path, port):
    """A list that is past its next update lets nobody in."""
    backend = backend_of()
    ca = Authority(tmp_path / "ca", "Brief CA")
    pair = ca.issue_device("dev")
    now = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 60))
    soon = time.time() + 6
    subprocess.run(["openssl", "ca", "-config", ca.folder / "ca.cnf", "-gencrl", "-out", ca.crl_path, "-crl_lastupdate", now, "-crl_nextupdate",
                    time.strftime("%Y%m%d%H%M%SZ", time.gmtime(soon))], check=True, capture_output=True)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%scafile %s\nrequire_certificate true\ncrlfile %s\n" %
                   (backend.port, port, certs.tls, ca.crt, ca.crl_path))
    inside = Device(port, tls_context(certs.cafile, *pair))
    inside.connect()
    time.sleep(max(0.0, soon - time.time()) + 1.5)
    shake(port, tls_context(certs.cafile, *pair))
    gate.wait_log(r"\[127\.0\.0\.1:\d+\] is gone: the TLS handshake failed: the list in crlfile is past its next update")
    inside.ping()
    inside.close()
