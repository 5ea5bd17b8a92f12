"""The certificate steps of every mosquitto TLS tutorial, word for word, and its traps."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from peers.broker import publish
from peers.certs import Authority, openssl
from peers.gate import REPOSITORY, program, run

CONFIG = "backend 127.0.0.1:%d\nlistener %d\ncafile   certs/mosqca.crt\ncertfile certs/mosqserv.crt\nkeyfile  certs/mosqserv.key\n"
CA_ANSWERS = b"ES\nMadrid\nMadrid\nExample\nCA\nMosquitto CA\nca@example.org\n"
SERVER_ANSWERS = b"ES\nMadrid\nMadrid\nExample\nServer\nlocalhost\nserver@example.org\n\n\n"


def classic_steps(folder, server_answers=SERVER_ANSWERS):
    folder.mkdir()
    for command, answers in (
            ("openssl genrsa -out mosqca.key 2048", b""),
            ("openssl req -new -x509 -days 365 -key mosqca.key -out mosqca.crt", CA_ANSWERS),
            ("openssl genrsa -out mosqserv.key 2048", b""),
            ("openssl req -new -key mosqserv.key -out mosqserv.csr", server_answers),
            ("openssl x509 -req -in mosqserv.csr -CA mosqca.crt -CAkey mosqca.key -CAcreateserial -out mosqserv.crt "
             "-days 365", b"")):
        openssl(*command.split()[1:], folder=folder, stdin=answers)


@pytest.fixture(scope="module")
def classic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tutorial") / "certs"
    classic_steps(folder)
    return folder


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("credentials", [[], ["-u", "user", "-P", "secret"]], ids=["anonymous", "user"])
def test_classic_steps(gate_of, broker, classic, subscriber_of, tmp_path, port, version, credentials):
    gate = gate_of(CONFIG % (broker.port, port), is_started=False)
    shutil.copytree(classic, gate.folder / "certs")
    gate.start()
    assert "nobody can log in" not in gate.log()
    words = ["-h", "localhost", "-V", version, "--cafile", classic / "mosqca.crt", "-t", "tutorial/" + version, *credentials]
    subscriber = subscriber_of(port, *words)
    publish(port, *words, "-m", "it works")
    assert subscriber.wait(1) == [("tutorial/" + version, 0, 0, b"it works")]


def test_client_that_trusts_another_ca(gate_of, broker, classic, certs, port):
    gate = gate_of(CONFIG % (broker.port, port), is_started=False)
    shutil.copytree(classic, gate.folder / "certs")
    gate.start()
    done = publish(port, "--cafile", certs.cafile, "-t", "t", "-m", "m", is_good=False)
    assert done.returncode != 0
    gate.wait_log("does not trust the certificate")


def test_the_broker_decides_is_said(gate_of, broker, classic, port):
    """No password_file: the start-up log says who decides."""
    gate = gate_of(CONFIG % (broker.port, port), is_started=False)
    shutil.copytree(classic, gate.folder / "certs")
    gate.start()
    gate.wait_log(r"broker.*(decide|check)|(decide|check).*broker")


@pytest.fixture
def trap(tmp_path, classic):
    """trap(file, ...): the sentence about files that were spoilt."""
    shutil.copytree(classic, tmp_path / "certs")
    path = tmp_path / "drawbridge.conf"
    path.write_text(CONFIG % (1, 2) + "user root\n")

    def check(**options):
        done = run("-t", "-c", path, **options)
        assert done.returncode == 1, "the trap was not seen: " + done.stderr + done.stdout
        # The program itself must not start with such files either.
        started = run("-c", path, **options)
        assert started.returncode == 1, started.stderr
        text = done.stderr + done.stdout
        assert "drawbridge.conf:" in text, "no file:line: " + text
        return text

    check.certs = tmp_path / "certs"
    return check


def test_trap_same_subject(trap):
    shutil.rmtree(trap.certs)
    classic_steps(trap.certs, CA_ANSWERS + b"\n\n")
    assert "same subject" in trap()


def test_trap_wrong_key(trap):
    openssl("genrsa", "-out", trap.certs / "mosqserv.key", 2048)
    text = trap()
    assert "mosqserv.key" in text and "not the key" in text


def test_trap_key_of_the_ca(trap):
    shutil.copy(trap.certs / "mosqca.key", trap.certs / "mosqserv.key")
    assert "key of the CA" in trap()


def test_trap_certificate_of_the_ca(trap):
    shutil.copy(trap.certs / "mosqca.crt", trap.certs / "mosqserv.crt")
    assert "CA" in trap()


def test_trap_expired(trap, tmp_path):
    crt, key = Authority(tmp_path / "ca").issue_server(from_days=-20, to_days=-10)
    shutil.copy(crt, trap.certs / "mosqserv.crt")
    shutil.copy(key, trap.certs / "mosqserv.key")
    assert "expired" in trap()


def test_trap_not_yet_valid(trap, tmp_path):
    crt, key = Authority(tmp_path / "ca").issue_server(from_days=10, to_days=20)
    shutil.copy(crt, trap.certs / "mosqserv.crt")
    shutil.copy(key, trap.certs / "mosqserv.key")
    assert "not yet valid" in trap() or "not valid" in trap()


def test_trap_key_in_the_place_of_the_certificate(trap):
    shutil.copy(trap.certs / "mosqserv.key", trap.certs / "mosqserv.crt")
    assert "key" in trap()


def test_trap_request_in_the_place_of_the_certificate(trap):
    shutil.copy(trap.certs / "mosqserv.csr", trap.certs / "mosqserv.crt")
    assert "certificate" in trap()


def test_trap_missing(trap):
    (trap.certs / "mosqserv.key").unlink()
    assert "mosqserv.key" in trap()


@pytest.mark.parametrize("name", ["mosqca.crt", "mosqserv.crt", "mosqserv.key"])
@pytest.mark.parametrize("content", [b"", b"garbage\n", b"-----BEGIN CERTIFICATE-----\nMIIB\n"], ids=["empty", "garbage", "cut"])
def test_trap_content(trap, name, content):
    (trap.certs / name).write_bytes(content)
    assert name in trap()


def test_trap_encrypted_key(trap):
    openssl("rsa", "-aes128", "-passout", "pass:secret", "-in", trap.certs / "mosqserv.key", "-out", trap.certs / "locked")
    shutil.move(trap.certs / "locked", trap.certs / "mosqserv.key")
    assert "passphrase" in trap() or "encrypted" in trap()


def test_trap_without_any_name(trap):
    """A certificate that no client finds its host name in: a warning, for clients may be told not to look."""
    openssl("req", "-new", "-key", "mosqserv.key", "-out", "x.csr", "-subj", "/O=Example/OU=Server", folder=trap.certs)
    openssl("x509", "-req", "-in", "x.csr", "-CA", "mosqca.crt", "-CAkey", "mosqca.key", "-CAcreateserial", "-out",
            "mosqserv.crt", "-days", "365", folder=trap.certs)
    done = run("-t", "-c", trap.certs.parent / "drawbridge.conf")
    assert done.returncode == 0 and "name" in (done.stderr + done.stdout), done


@pytest.mark.parametrize("name", ["mosqca.crt", "mosqserv.crt", "mosqserv.key"])
def test_trap_unreadable(classic, name):
    """A file that the user we run as may not read. Root may read all, so this runs as somebody else."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        folder.chmod(0o755)
        shutil.copytree(classic, folder / "certs")
        for file in (folder / "certs").iterdir():
            file.chmod(0o644)
        (folder / "certs" / name).chmod(0)
        (folder / "drawbridge.conf").write_text(CONFIG % (1, 2))
        shutil.copy(program(), folder / "drawbridge")
        other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = run("-t", "-c", folder / "drawbridge.conf", binary=str(folder / "drawbridge"), cwd=place, **other)
        text = done.stdout + done.stderr
        assert done.returncode == 1 and name in text and ("permission" in text.lower() or "read" in text), text


SCRIPT = REPOSITORY / "scripts/certs"


@pytest.mark.skipif(not SCRIPT.exists(), reason="scripts/certs does not exist yet")
class TestScript:
    """scripts/certs: the same names, better certificates."""

    @staticmethod
    def make(*arguments, is_good=True):
        done = subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        assert (done.returncode == 0) == is_good, done.stdout + done.stderr
        return done.stdout + done.stderr

    @pytest.mark.parametrize("kind", [[], ["--rsa"]], ids=["ecdsa", "rsa"])
    def test_files_work(self, gate_of, broker, subscriber_of, port, kind):
        gate = gate_of(CONFIG % (broker.port, port), is_started=False)
        self.make(*kind, gate.folder / "certs")
        names = {path.name for path in (gate.folder / "certs").iterdir()}
        assert {"mosqca.key", "mosqca.crt", "mosqserv.key", "mosqserv.csr", "mosqserv.crt"} <= names
        for name in ("mosqca.key", "mosqserv.key"):
            assert (gate.folder / "certs" / name).stat().st_mode & 0o777 == 0o600
        text = openssl("x509", "-in", gate.folder / "certs/mosqserv.crt", "-noout", "-text").decode()
        assert ("rsaEncryption" if kind else "prime256v1") in text and "DNS:localhost" in text
        gate.start()
        for host in ("localhost", "127.0.0.1"):
            words = ["-h", host, "--cafile", gate.folder / "certs/mosqca.crt", "-t", "tutorial/script/" + host]
            subscriber = subscriber_of(port, *words)
            publish(port, *words, "-m", "it works")
            assert subscriber.wait(1)[0][3] == b"it works"

    def test_nothing_is_overwritten(self, tmp_path):
        self.make(tmp_path / "certs")
        before = (tmp_path / "certs/mosqserv.key").read_bytes()
        self.make(tmp_path / "certs", is_good=False)
        assert (tmp_path / "certs/mosqserv.key").read_bytes() == before
        self.make("--force", tmp_path / "certs")
        assert (tmp_path / "certs/mosqserv.key").read_bytes() != before

    def test_device_certificates_and_revocation(self, gate_of, broker, subscriber_of, port):
        config = CONFIG % (broker.port, port) + "require_certificate true\nuse_identity_as_username true\n"
        gate = gate_of(config, is_started=False)
        folder = gate.folder / "certs"
        self.make(folder)
        self.make("--client", "alice", folder)
        self.make("--client", "bob", folder)
        gate.start()

        def words(name):
            return ["-h", "localhost", "--cafile", folder / "mosqca.crt", "--cert", folder / (name + ".crt"), "--key",
                    folder / (name + ".key"), "-t", "tutorial/device", "-m", name]

        publish(port, *words("alice"))
        publish(port, *words("bob"))
        self.make("--revoke", "bob", folder)
        crl = [path for path in folder.iterdir() if b"BEGIN X509 CRL" in path.read_bytes()]
        assert len(crl) == 1, "there is no one CRL in %s" % sorted(folder.iterdir())
        gate.reload(config + "crlfile certs/%s\n" % crl[0].name)
        publish(port, *words("alice"))
        assert publish(port, *words("bob"), is_good=False).returncode != 0
        gate.wait_log("revoked")
