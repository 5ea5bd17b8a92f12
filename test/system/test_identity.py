"""Who a device is, by its certificate: username_from, clientid_from, clientid_must_match, one_session_per_certificate;
and what `drawbridge explain` says of the same."""
import hashlib
import ssl
import subprocess

import pytest

from peers import gate as gates
from peers import packets as mqtt
from peers.certs import Authority, openssl
from peers.device import Device, tls_context

VERSIONS = [3, 4, 5]
SUBJECT = "/O=firm/OU=plant/CN=pump"
SAN = ("DNS:one.example,DNS:two.example,URI:urn:pump,URI:spiffe://firm/pump,email:pump@firm.example,IP:192.0.2.7,"
       "IP:2001:db8::7")


@pytest.fixture(scope="module")
def pump(certs, tmp_path_factory):
    """A certificate with a name of every kind: (certificate, key)."""
    ca = Authority(tmp_path_factory.mktemp("identity") / "ca", "Identity CA")
    pair = ca.issue_device("pump", SUBJECT, san=SAN)
    bare = ca.issue_device("bare", "/O=firm")
    return {"ca": ca, "pair": pair, "bare": bare}


def names_of(crt):
    der = ssl.PEM_cert_to_DER_cert(crt.read_text())
    serial = openssl("x509", "-in", crt, "-noout", "-serial").decode().strip().split("=")[1]
    return {"cn": "pump", "subject": "CN=pump,OU=plant,O=firm", "san_dns": "one.example", "san_dns:1": "one.example",
            "san_dns:2": "two.example", "san_uri": "urn:pump", "san_uri:2": "spiffe://firm/pump",
            "san_email": "pump@firm.example", "san_ip": "192.0.2.7", "san_ip:2": "2001:db8::7", "serial": serial,
            "fingerprint": hashlib.sha256(der).hexdigest()}


SOURCES = ["cn", "subject", "san_dns", "san_dns:1", "san_dns:2", "san_uri", "san_uri:2", "san_email", "san_ip", "san_ip:2",
           "serial", "fingerprint"]


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, certs, pump, device_of):
    """start(lines): a gate with a TLS listener that requires a certificate; returns a maker of devices."""

    def begin(lines, require="true", **options):
        gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\n%scafile %s\nrequire_certificate %s\n%s" %
                       (backend.port, port, certs.tls, pump["ca"].crt, require, lines), **options)

        def make(version=4, pair=pump["pair"]):
            return device_of(port, tls_context(certs.cafile, *(pair or ())), version)

        make.gate = gate
        return make

    return begin


def refusal(version, reason):
    return reason if version == 5 else {0x85: 2, 0x86: 4, 0x87: 5}[reason]


def refused(device, version, reason, words=None, client_id="dev", **fields):
    device.send(mqtt.connect(version, client_id, **fields))
    answers = device.read_to_end()
    assert [(one.kind, one.reason) for one in answers] == [(mqtt.CONNACK, refusal(version, reason))]
    if version == 5 and words:
        assert words in (answers[0].prop(mqtt.REASON_STRING) or ""), answers[0].props


# ---- names ----

@pytest.mark.parametrize("source", SOURCES)
def test_username_from(start, backend, pump, tmp_path, source):
    name = names_of(pump["pair"][0])[source]
    acl = tmp_path / "acl"
    acl.write_text("user %s\ntopic write mine\n" % name)
    make = start("username_from %s\nacl_file %s\n" % (source, acl))
    for version in VERSIONS:
        before = backend.count()
        device = make(version)
        device.connect("dev%d" % version, username="somebody", password="else")
        connection = backend.wait_connection(before)
        connect = connection.of_kind(mqtt.CONNECT)[0]
        assert (connect.username, connect.password, connect.client_id) == (name, None, "dev%d" % version)
        device.publish("mine", b"1")
        device.publish("other", b"1")
        device.ping()
        assert [one.topic for one in connection.of_kind(mqtt.PUBLISH)] == ["mine"]  # the rules know it by that name
        device.send(mqtt.disconnect(version))
    assert "u'%s'" % name in make.gate.log()
    done = gates.run("-c", make.gate.path, "explain", "--cert", pump["pair"][0], "publish", "mine")
    assert done.returncode == 0 and "acl:2" in done.stdout, done.stdout


@pytest.mark.parametrize("source", SOURCES)
def test_clientid_from(start, backend, pump, source):
    make = start("clientid_from %s\nallow_unsafe_clientid_chars true\n" % source)
    name = names_of(pump["pair"][0])[source]
    for version in VERSIONS:
        for sent in ("dev", name) + (() if version == 3 else ("",)):
            before = backend.count()
            device = make(version)
            answer = device.connect(sent, username="own")
            connect = backend.wait_connection(before).of_kind(mqtt.CONNECT)[0]
            assert (connect.client_id, connect.username) == (name, "own")
            if version == 5 and sent == "":  # it must hear which one it has (MQTT 5.0 3.2.2-16)
                assert answer.prop(mqtt.ASSIGNED_ID) == name
            device.ping()
            device.send(mqtt.disconnect(version))
    assert "as %s " % name in make.gate.log()


@pytest.mark.parametrize("version", VERSIONS)
def test_names_that_are_missing(start, backend, pump, version):
    make = start("username_from san_dns\n")
    refused(make(version, pump["bare"]), version, 0x86, "no name that can be a username")
    make.gate.reload(make.gate.path.read_text().replace("username_from san_dns", "clientid_from san_dns:3"))
    refused(make(version), version, 0x85, "no name that can be a client id")
    assert backend.count() == 0


def test_client_ids_are_judged(start, backend, pump):
    """The name of a certificate is no way around the rules for client ids."""
    make = start("clientid_from san_uri:2\n")
    refused(make(5), 5, 0x85, "allow_unsafe_clientid_chars")
    make.gate.reload(make.gate.path.read_text().replace("san_uri:2", "cn\nclientid_deny pum*"))
    refused(make(5), 5, 0x87, "clientid_deny")
    assert backend.count() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_clientid_must_match(start, backend, pump, version):
    make = start("clientid_from cn\nclientid_must_match true\n")
    for wrong in ("pumps", "Pump", "pum"):
        refused(make(version), version, 0x85, "clientid_must_match", wrong)
    if version != 3:
        refused(make(version), version, 0x85, None, "")
    assert backend.count() == 0
    device = make(version)
    device.connect("pump")
    device.ping()
    line = make.gate.path.read_text().split("\n").index("clientid_must_match true") + 1
    assert "drawbridge.conf:%d" % line in make.gate.log()
    for client_id, status in (("pump", 0), ("pumps", 1)):
        done = gates.run("-c", make.gate.path, "explain", "--cert", pump["pair"][0], "--clientid", client_id, "--mqtt", version, "connect")
        assert done.returncode == status and (status == 0 or "drawbridge.conf:%d" % line in done.stdout), done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_clientid_must_match_username(start, backend, version):
    make = start("username_from cn\nuse_username_as_clientid true\nclientid_must_match true\n")
    refused(make(version), version, 0x85, "not its username")
    make(version).connect("pump")
    assert backend.wait_connection().of_kind(mqtt.CONNECT)[0].client_id == "pump"


# ---- require_certificate optional ----

@pytest.mark.parametrize("version", VERSIONS)
def test_optional_certificate(start, backend, pump, certs, tmp_path, version):
    """With a certificate it has that name; without one its password decides; with a wrong one it is out."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "alice", "secret"], check=True, timeout=30)
    make = start("username_from cn\nclientid_from cn\npassword_file %s\n" % passwords, require="optional")
    make(version).connect("dev")
    connect = backend.wait_connection().of_kind(mqtt.CONNECT)[0]
    assert (connect.username, connect.client_id) == ("pump", "pump")
    device = make(version, pair=None)
    device.connect("other", username="alice", password="secret")
    connect = backend.wait_connection(1).of_kind(mqtt.CONNECT)[0]
    assert (connect.username, connect.client_id) == ("alice", "other")
    refused(make(version, pair=None), version, 0x87, username="alice", password="wrong")
    refused(make(version, pair=None), version, 0x87)
    # A certificate without that name does not fall back to what the device says.
    refused(make(version, pump["bare"]), version, 0x86, username="alice", password="secret")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        make(version, certs.alice).connect("x", username="alice", password="secret")  # of another CA
    make.gate.wait_log("not signed by a CA")
    assert backend.count() == 2
    for arguments, status in ((["--cert", pump["pair"][0]], 0), (["--user", "alice"], 0), ([], 1), (["--cert", certs.alice[0]], 1)):
        done = gates.run("-c", make.gate.path, "explain", "--mqtt", version, *arguments, "--clientid", "x", "connect")
        assert done.returncode == status, (arguments, done.stdout, done.stderr)


def test_optional_is_asked_for(start, port):
    """The device hears which CAs are wanted, and need not have any of them."""
    start("", require="optional")
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port], input=b"", capture_output=True, timeout=20)
    assert b"Identity CA" in done.stdout and done.returncode == 0


# ---- allow lists ----

def key_digest(crt):
    public = openssl("x509", "-in", crt, "-noout", "-pubkey")
    return hashlib.sha256(openssl("pkey", "-pubin", "-outform", "der", stdin=public)).hexdigest()


@pytest.mark.parametrize("good,bad", [
    ("allow_issuer CN=Identity CA", "allow_issuer CN=Identity"), ("allow_ou plan*", "allow_ou plan"),
    ("allow_san *.example", "allow_san *.example.org"), ("allow_san urn:*", "allow_san pump"), ("allow_san 192.0.2.*", "allow_san 192.0.3.*"),
    ("allow_san pump@firm.example", "allow_san firm.example"), ("allow_spki KEY", "allow_spki " + "00" * 32)],
    ids=lambda line: line.split(" ")[0] + "-" + line.split(" ")[1][:6])
def test_allow_lists(start, backend, pump, good, bad):
    good = good.replace("KEY", key_digest(pump["pair"][0]))
    make = start("%s\n%s\n" % (bad, good))
    for version in VERSIONS:
        make(version).connect()
    text = make.gate.path.read_text()
    make.gate.reload(text.replace(good + "\n", ""))
    for version in VERSIONS:
        refused(make(version), version, 0x87, bad.split(" ")[0])
    assert backend.count() == 3
    line = text.split("\n").index(bad) + 1
    make.gate.wait_log(r"127\.0\.0\.1.* is gone: the CONNECT was refused: .*%s \(.*drawbridge\.conf:%d\)" % (bad.split(" ")[0], line), count=3)
    for configuration, status in ((text, 0), (text.replace(good + "\n", ""), 1)):
        make.gate.write(configuration)
        done = gates.run("-c", make.gate.path, "explain", "--cert", pump["pair"][0], "--clientid", "x", "connect")
        assert done.returncode == status and (status == 0 or "drawbridge.conf:%d" % line in done.stdout), done.stdout


def test_allow_lists_of_each_kind(start, pump):
    """One line of each kind must match."""
    make = start("allow_ou plant\nallow_san *.org\n")
    refused(make(5), 5, 0x87, "allow_san")
    refused(make(5, pump["bare"]), 5, 0x87, "allow_ou")


def test_bad_pin(start, gate_of):
    make = start("allow_ou plant\n")
    said = make.gate.reload(make.gate.path.read_text().replace("allow_ou plant", "allow_spki 1234"))
    assert "no SHA-256 of a key" in said and "refused" in said
    make().connect()


def test_allow_lists_and_optional(start):
    make = start("allow_ou nobody\n", require="optional")
    make(5, pair=None).connect()
    refused(make(5), 5, 0x87, "allow_ou")


# ---- one session per certificate ----

@pytest.mark.parametrize("version", VERSIONS)
def test_one_session_per_certificate(start, backend, pump, version):
    make = start("one_session_per_certificate true\n")
    other = pump["ca"].issue_device("other-%d" % version)
    bystander = make(version, other)
    bystander.connect("bystander")
    previous = None
    for number in range(8):  # across the workers
        device = make(version)
        device.connect("dev%d" % number)
        if previous is not None:
            answers = previous.read_to_end()
            assert [(one.kind, one.reason) for one in answers] == ([(mqtt.DISCONNECT, 0x8E)] if version == 5 else [])
            backend.connections[number].wait_closed()
        device.ping()
        previous = device
    bystander.ping()
    make.gate.wait_log("dev6.*is gone: a newer connection with the same certificate")


def test_many_sessions_otherwise(start):
    make = start("")
    first = make()
    first.connect("one")
    make().connect("two")
    first.ping()


def test_a_handshake_ends_nobody(start, backend, pump, port, certs):
    """Only who is let in takes the place of the older one."""
    make = start("one_session_per_certificate true\nclientid_deny evil\n")
    first = make()
    first.connect("one")
    silent = make()
    refused(make(5), 5, 0x87, client_id="evil")
    assert first.ping()
    silent.close()


def test_storm_of_takeovers(start, backend):
    make = start("one_session_per_certificate true\n")
    devices = [make() for _ in range(30)]
    for number, device in enumerate(devices):
        device.send(mqtt.connect(4, "dev%d" % number))
    alive = 0
    for device in devices:
        try:
            packets = []
            while (packet := device.read(2)) is not None:
                packets.append(packet)
        except TimeoutError:
            alive += 1
        except (ssl.SSLError, ConnectionError):
            pass
    assert alive == 1
    assert make.gate.is_alive()
