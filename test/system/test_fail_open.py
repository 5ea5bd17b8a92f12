"""Nothing opens by accident: whatever happens to a file that the rules stand in, the program refuses to start, and at a reload
it keeps what it has. Run as somebody who is not root, whom no mode of a file stops."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import types

import pytest

from peers import packets as mqtt
from peers.backend import RecordingBackend
from peers.device import Device, tls_context
from peers.gate import Gate, program, run
from peers.ports import free_port

IDENTITY = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
FILES = ["password_file", "acl_file", "certfile", "keyfile", "cafile", "crlfile", "include_dir"]
KINDS = ["missing", "empty", "blank", "binary", "unreadable", "truncated", "bad_last_line", "directory", "fifo", "dangling",
         "dev_null", "dev_zero"]
PEM_TAIL = {"certfile": b"CERTIFICATE", "cafile": b"CERTIFICATE", "crlfile": b"X509 CRL"}


def remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    elif path.exists() or path.is_symlink():
        path.unlink()


def spoil(path, name, kind, good):
    """Puts something bad in the place of the good content."""
    remove(path)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path, 0o644)
    elif kind in ("dangling", "dev_null", "dev_zero"):
        path.symlink_to({"dangling": path.with_name("nowhere"), "dev_null": "/dev/null", "dev_zero": "/dev/zero"}[kind])
    elif kind != "missing":
        tail = b"garbage\n"
        if name in PEM_TAIL:
            tail = b"-----BEGIN %s-----\nAAAA\n-----END %s-----\n" % (PEM_TAIL[name], PEM_TAIL[name])
        path.write_bytes({"empty": b"", "blank": b"\n \n\t\n", "binary": bytes(range(256)) * 8, "unreadable": good,
                          "truncated": good[:-12], "bad_last_line": good + tail}[kind])
        path.chmod(0 if kind == "unreadable" else 0o644)


def restore(path, good):
    remove(path)
    path.write_bytes(good)
    path.chmod(0o644)


def meant(name, kind):
    """What is not wrong: one file less in the folder, a key with something behind it."""
    return (name, kind) in (("include_dir", "missing"), ("keyfile", "bad_last_line"))


CASES = [(name, kind) for name in FILES for kind in KINDS if not meant(name, kind)]


@pytest.fixture(scope="module")
def place(certs):
    """A folder that everybody may read, with all files good, and a configuration that uses them."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        (folder / "conf.d").mkdir()
        binary = folder / "drawbridge"
        shutil.copy(program(), binary)
        paths = {name: folder / name for name in FILES[:-1]}
        paths["include_dir"] = folder / "conf.d" / "rules.conf"
        for name, source in (("certfile", certs.server_crt), ("keyfile", certs.server_key), ("cafile", certs.device_ca.crt),
                             ("crlfile", certs.crl)):
            shutil.copy(source, paths[name])
        assert run("passwd", "-c", "-b", paths["password_file"], "alice", "right", binary=str(binary)).returncode == 0
        paths["acl_file"].write_text("topic readwrite public\nuser alice\ntopic readwrite ok/#\ntopic read news\n")
        paths["include_dir"].write_text("acl_file %(acl_file)s\npassword_file %(password_file)s\nallow_anonymous false\n" % paths)
        for path in paths.values():
            path.chmod(0o644)
        good = {name: path.read_bytes() for name, path in paths.items()}
        backend = RecordingBackend(free_port())
        ports = free_port(), free_port()
        text = "backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nlistener %d 127.0.0.1\nrequire_certificate true\n" % (backend.port, *ports)
        text += "".join("%s %s\n" % (name, paths[name]) for name in FILES[2:-1]) + "include_dir %s\n" % (folder / "conf.d")
        yield types.SimpleNamespace(folder=folder, binary=str(binary), paths=paths, good=good, text=text, plain=ports[0], secure=ports[1],
                                    backend=backend)
        backend.stop()


@pytest.fixture
def spoiled(place, request):
    """One file is bad during the test."""
    name, kind = request.param
    spoil(place.paths[name], name, kind, place.good[name])
    yield types.SimpleNamespace(name=name, kind=kind, path=place.paths[name])
    restore(place.paths[name], place.good[name])


def is_named(spoiled, said):
    return str(spoiled.path) in said


@pytest.mark.parametrize("spoiled", CASES, indirect=True, ids="-".join)
def test_start_is_refused(place, spoiled, tmp_path):
    config = place.folder / "start.conf"
    config.write_text(place.text + ("user root\n" if os.geteuid() == 0 else ""))
    done = run("-c", config, binary=place.binary, cwd=place.folder, timeout=60, **IDENTITY)
    assert done.returncode != 0 and "ready" not in done.stderr
    assert is_named(spoiled, done.stdout + done.stderr), done


@pytest.fixture(scope="module")
def gate(place):
    folder = place.folder / "gate"
    folder.mkdir()
    running = Gate(folder, place.text, binary=place.binary, identity=IDENTITY).start()
    running.place = place
    yield running
    running.stop()


STRANGERS = [{"username": "alice", "password": "wrong"}, {}, {"username": "alice"}, {"username": "eve", "password": "right"}]


def check_rules(place, certs, version, strangers):
    """The rules as they stand in the good files, by what they do."""
    refused = 0x87 if version == 5 else 0
    with Device(place.plain, version=version) as device:
        device.connect("of-alice", username="alice", password="right")
        assert device.publish("ok/1", "x", 1) == 0
        assert [device.publish(topic, "x", 1, 2) for topic in ("public", "news", "other")] == [refused] * 3
        assert device.subscribe("ok/1", "news", "other") == [0, 0, 0x87 if version == 5 else 0x80]
        assert [packet.topic for packet in place.backend.connections[-1].of_kind(mqtt.PUBLISH)] == ["ok/1"]
    for names in strangers:
        with Device(place.plain, version=version) as device:
            device.connect("of-a-stranger", 0x87 if version == 5 else 5, **names)
    with Device(place.secure, tls_context(certs.cafile, *certs.alice), version) as device:
        device.connect("with-certificate", username="alice", password="right")
    for chain in ((), certs.mallory):
        with pytest.raises((OSError, AssertionError)):
            with Device(place.secure, tls_context(certs.cafile, *chain), version) as device:
                device.connect("without-right", username="alice", password="right")


@pytest.mark.parametrize("spoiled", CASES, indirect=True, ids="-".join)
def test_reload_keeps_the_rules(gate, place, spoiled, certs):
    said = gate.reload()
    assert "refused" in said and "in force" not in said, said
    assert is_named(spoiled, said), said
    check_rules(place, certs, 4 + KINDS.index(spoiled.kind) % 2, STRANGERS[:2])


@pytest.mark.parametrize("version", [3, 4, 5])
def test_good_files_are_taken(gate, place, certs, version):
    """What the others are compared with: the same files, good, are read anew at a reload."""
    assert "in force" in gate.reload()
    check_rules(place, certs, version, STRANGERS)


@pytest.mark.parametrize("version", [4, 5])
def test_reload_without_descriptors(gate, place, certs, version):
    """No file can be opened at all: the old rules stay, and the next reload is as good as ever."""
    def limit(count):
        subprocess.run(["prlimit", "--pid", str(gate.pid), "--nofile=%d:" % count], check=True, timeout=30, **IDENTITY)

    before = int(re.search(r"^Max open files +(\d+)", gate.proc("limits"), re.M).group(1))
    limit(3)
    said = gate.reload()
    limit(before)
    assert "refused" in said and "in force" not in said, said
    check_rules(place, certs, version, STRANGERS[:2])
    assert "in force" in gate.reload()
    check_rules(place, certs, version, STRANGERS[:2])
