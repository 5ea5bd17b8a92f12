"""Where a bridge has its password from: files and commands, read anew for each connection, and tokens that expire."""
import base64
import json
import os
import time

import pytest

from peers import packets as mqtt
from peers.bridged import Bridged


@pytest.fixture
def bridge_to(gate_of, tmp_path, broker):
    def make(backend, lines, **options):
        return Bridged(gate_of, tmp_path, options.pop("local", broker.port), "127.0.0.1:%d" % backend.port,
                       "topic nothing/here out\nremote_username edge\n" + lines, **options)

    return make


def password_of(backend, index=0):
    return backend.wait_connection(index).wait_packet(mqtt.CONNECT).password


def token(expires_s, **more):
    parts = [{"alg": "none"}, {"sub": "edge", **more, "exp": expires_s}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".c2ln"


def test_a_file_is_read_for_each_connection(bridge_to, backend_of, tmp_path):
    path = tmp_path / "password"
    path.write_bytes(b"first one\r\nsecond line\n")
    backend = backend_of()
    bridge_to(backend, "remote_password_file %s" % path).wait_up()
    assert password_of(backend) == b"first one"
    path.write_bytes(b"other")
    backend.connections[0].close()
    assert password_of(backend, 1) == b"other"


@pytest.mark.parametrize("make, words", [
    (lambda path: None, "it cannot be read: No such file"),
    (lambda path: path.write_text("\nsecond line\n"), "its first line is empty"),
    (lambda path: path.write_text("x" * 65536), "its first line is longer than the 65535 bytes"),
    (os.mkfifo, "it cannot be read: it is no ordinary file")])
def test_a_file_that_has_none(bridge_to, backend_of, tmp_path, make, words):
    path = tmp_path / "password"
    make(path)
    backend = backend_of()
    bridge = bridge_to(backend, "remote_password_file %s" % path)
    bridge.gate.wait_log(r"Bridge cloud: no connection to the remote broker at 127\.0\.0\.1:\d+ was tried, for there is no password: "
                         r"remote_password_file %s: %s" % (path, words), 2)
    assert backend.count() == 0
    assert bridge.metric("connection_ends", side="remote", cause="no_password") >= 2
    if path.exists():
        path.unlink()
    path.write_text("here it is\n")
    assert password_of(backend) == b"here it is"


def test_a_command_is_run_for_each_connection(bridge_to, backend_of, tmp_path):
    backend = backend_of()
    bridge_to(backend, "remote_password_command echo x >>%s/runs; echo \"number $(wc -l <%s/runs)\"; echo noise; echo trouble >&2" % (
        tmp_path, tmp_path)).wait_up()
    assert password_of(backend) == b"number 1"
    backend.connections[0].close()
    assert password_of(backend, 1) == b"number 2"


@pytest.mark.parametrize("command, words", [
    ("echo secret; echo the vault is sealed >&2; echo more >&2; exit 3", "it ended with status 3 and said: the vault is sealed"),
    ("kill -TERM $$", "it was ended by signal 15"),
    ("true", "its first line is empty"),
    ("no-such-command-here", "it ended with status 127 and said: .*not found"),
    ("head -c 100000 /dev/zero", "its first line is longer than the 65535 bytes")])
def test_a_command_that_fails(bridge_to, backend_of, command, words):
    backend = backend_of()
    bridge = bridge_to(backend, "remote_password_command " + command)
    bridge.gate.wait_log("no password: remote_password_command: " + words, 2)
    assert backend.count() == 0 and "secret" not in bridge.gate.log()


def test_a_command_that_does_not_end(bridge_to, backend_of, tmp_path):
    """It is killed with all that it began, and nothing waits for it: the local side is up, and the program ends at once."""
    backend = backend_of()
    pids = tmp_path / "pids"
    bridge = bridge_to(backend, "remote_password_command echo $$ >>%s; sleep 1000 & echo $! >>%s; wait\n"
                       "remote_password_timeout 500ms" % (pids, pids))
    bridge.gate.wait_log("connected to the local broker")
    bridge.gate.wait_log("no password: remote_password_command: it took longer than 500 ms and was ended", 2)
    bridge.wait_metric("state", 6)
    began = time.monotonic()
    bridge.gate.stop()
    assert time.monotonic() - began < 20
    time.sleep(0.1)
    alive = [pid for pid in pids.read_text().split() if os.path.exists("/proc/" + pid)
             and " Z " not in open("/proc/%s/stat" % pid, encoding="ascii").read()]
    assert len(pids.read_text().split()) >= 4 and alive == []


def test_the_local_password_file(bridge_to, backend_of, tmp_path):
    path = tmp_path / "password"
    path.write_text("near\n")
    local, backend = backend_of(), backend_of()
    bridge_to(backend, "local_username u\nlocal_password_file %s" % path, local=local.port).wait_up()
    assert password_of(local) == b"near"
    assert local.connections[0].packets()[0].username in (b"u", "u")


@pytest.mark.parametrize("kind", ["jwt", "sas"])
def test_a_token_is_renewed_before_it_expires(bridge_to, backend_of, tmp_path, kind):
    def make(expires_s):
        return token(expires_s) if kind == "jwt" else "SharedAccessSignature sr=hub%%2Fd&sig=a%%3D&se=%d" % expires_s

    path = tmp_path / "token"
    now = int(time.time())
    first, second = make(now + 8), make(now + 3600)
    path.write_text(first)
    backend = backend_of()
    bridge = bridge_to(backend, "remote_password_file %s" % path, retry="60").wait_up()
    assert password_of(backend) == first.encode()
    path.write_text(second)
    bridge.gate.wait_log(r"the password expires in \d seconds; connecting anew with a fresh one")
    assert password_of(backend, 1) == second.encode()  # at once, not after restart_timeout
    assert now + 5 <= time.time() <= now + 9
    assert backend.connections[0].packets()[-1].kind == mqtt.DISCONNECT
    bridge.wait_metric("password_renewals", 1)


def test_a_token_that_is_not_renewed(bridge_to, backend_of, tmp_path):
    """The file has the same token still: the bridge connects once more and leaves the rest to the broker."""
    path = tmp_path / "token"
    path.write_text(token(int(time.time()) + 4))
    backend = backend_of()
    bridge = bridge_to(backend, "remote_password_file %s" % path).wait_up()
    bridge.gate.wait_log("the password is still the one that expires in")
    time.sleep(5)
    assert backend.count() == 2 and bridge.metric("password_renewals") == 1
    backend.connections[1].close()
    bridge.gate.wait_log("the password expired . seconds ago; it is tried all the same")
    assert backend.wait_connection(2)


def test_no_password_without_a_username(gate_of, tmp_path, broker, backend_of):
    """MQTT 3.1.1 3.1.2.9 [MQTT-3.1.2-22]"""
    backend = backend_of()
    Bridged(gate_of, tmp_path, broker.port, "127.0.0.1:%d" % backend.port, "topic nothing/here out\nremote_password_command echo x").wait_up()
    assert password_of(backend) is None
