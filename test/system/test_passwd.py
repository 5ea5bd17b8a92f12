"""drawbridge passwd: files that mosquitto reads, and the other way round."""
import base64
import hashlib
import os
import re
import subprocess

import pytest

from peers import packets as mqtt
from peers.gate import program, run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "passwords"


def good(*arguments, **options):
    done = run("passwd", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


def bad(*arguments, **options):
    done = run("passwd", *arguments, **options)
    assert done.returncode == 1 and done.stderr.strip(), done
    return done.stderr


USERS = {"alice": "secret", "bob": "p\u00e4ss w\u00f6rd", "carol d": "x" * 200}


def test_mosquitto_takes_it(path, broker_of):
    good("-c", "-b", path, "alice", USERS["alice"])
    for name in ("bob", "carol d"):
        good("-b", path, name, USERS[name])
    assert path.stat().st_mode & 0o777 == 0o600
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"[^:]+:\$7\$\d+\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==", line), line
    broker = broker_of("allow_anonymous false\npassword_file %s\n" % path)

    def status(*words):
        return subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", "t", "-m", "m", *words], capture_output=True, timeout=30).returncode

    for name, password in USERS.items():
        assert status("-u", name, "-P", password) == 0
        assert status("-u", name, "-P", password + "x") != 0


def test_we_take_it(path, gate_of, backend_of, port, device_of):
    """What we write, and what mosquitto_passwd writes into the same file."""
    backend = backend_of()
    good("-c", "-b", path, "alice", USERS["alice"])
    subprocess.run(["mosquitto_passwd", "-b", path, "bob", USERS["bob"]], check=True, timeout=30)
    good("-b", path, "carol d", USERS["carol d"])
    gate_of("backend 127.0.0.1:%d\nlistener %d\npassword_file %s\n" % (backend.port, port, path))
    for name, password in USERS.items():
        device = device_of(port)
        device.connect(name, username=name, password=password)
        stranger = device_of(port)
        stranger.send(mqtt.connect(4, username=name, password=password + "x"))
        assert stranger.read().reason == 5


def test_standard_input(path, gate_of, backend_of, port, device_of):
    good("-c", path, "alice", input="from standard input\n")
    gate_of("backend 127.0.0.1:%d\nlistener %d\npassword_file %s\n" % (backend_of().port, port, path))
    device_of(port).connect(username="alice", password="from standard input")


def test_sha512_of_old_files(path, gate_of, backend_of, port, device_of):
    """$6$: one SHA-512 over password and salt."""
    salt = bytes(range(12))
    digest = hashlib.sha512(b"secret" + salt).digest()
    path.write_text("old:$6$%s$%s\n" % (base64.b64encode(salt).decode(), base64.b64encode(digest).decode()))
    salt = bytes(range(64))
    digest = hashlib.pbkdf2_hmac("sha512", b"secret", salt, 1000)
    path.write_text(path.read_text() + "new:$7$1000$%s$%s\n" % (base64.b64encode(salt).decode(), base64.b64encode(digest).decode()))
    path.chmod(0o600)
    gate_of("backend 127.0.0.1:%d\nlistener %d\npassword_file %s\n" % (backend_of().port, port, path))
    for name in ("old", "new"):
        device_of(port).connect(name, username=name, password="secret")
        stranger = device_of(port)
        stranger.send(mqtt.connect(4, username=name, password="secreT"))
        assert stranger.read().reason == 5


def test_change_and_delete(path):
    good("-c", "-b", path, "alice", "one")
    good("-b", path, "bob", "one")
    text = path.read_text()
    good("-b", path, "alice", "two")
    lines = path.read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["alice", "bob"] and lines[1] == text.splitlines()[1] and lines[0] != text.splitlines()[0]
    good("-D", path, "alice")
    assert path.read_text().splitlines() == lines[1:]
    assert "alice" in bad("-D", path, "alice")
    assert path.read_text().splitlines() == lines[1:]
    good("-c", "-b", path, "carol", "new")
    assert [line.split(":")[0] for line in path.read_text().splitlines()] == ["carol"]


def test_two_hashes_of_one_password_differ(path):
    good("-c", "-b", path, "alice", "same")
    good("-b", path, "bob", "same")
    one, two = (line.split(":", 1)[1] for line in path.read_text().splitlines())
    assert one.split("$")[3] != two.split("$")[3] and one.split("$")[4] != two.split("$")[4]


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "#a", " a", "a ", "a\tb", "\x7f"])
def test_bad_names(path, name):
    good("-c", "-b", path, "alice", "x")
    before = path.read_text()
    bad("-b", path, name, "secret")
    assert path.read_text() == before


@pytest.mark.parametrize("arguments", [(), ("-b",), ("-x", "f", "u"), ("-D", "-b", "f", "u", "p"), ("-D", "-c", "f", "u"), ("f", "u", "p"), ("-b", "f", "u", "")])
def test_bad_arguments(tmp_path, arguments):
    bad(*arguments, cwd=tmp_path, input="")
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_made_by_accident(path):
    bad("-b", path, "alice", "x")
    assert not path.exists(), "a file is made with -c only"


def test_written_as_a_whole(path, tmp_path):
    """A directory that cannot be written to: the old file stays as it was, and no temporary file."""
    good("-c", "-b", path, "alice", "x")
    path.chmod(0o640)
    good("-b", path, "bob", "x")
    assert path.stat().st_mode & 0o777 == 0o640, "its mode is kept"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["passwords"]
    before = path.read_text()
    for place in ("/proc/passwords", str(tmp_path / "none" / "passwords"), str(tmp_path)):
        bad("-c", "-b", place, "alice", "x")
    link = tmp_path / "link"
    link.symlink_to(path)
    bad("-b", link, "carol", "x")
    assert path.read_text() == before and link.is_symlink()


def test_many_at_once(path):
    """Writers that meet wait for each other; nobody is lost."""
    good("-c", "-b", path, "first", "x")
    running = [subprocess.Popen([program(), "passwd", "-b", str(path), "user%d" % number, "x"], stderr=subprocess.PIPE)
               for number in range(20)]
    for process in running:
        assert process.wait(60) == 0, process.stderr.read()
        process.stderr.close()
    assert sorted(line.split(":")[0] for line in path.read_text().splitlines()) == sorted(["first"] + ["user%d" % number for number in range(20)])
    assert os.listdir(path.parent) == ["passwords"]
