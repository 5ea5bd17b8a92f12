"""The command line, and configurations that must be refused. Nothing fails open."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from peers import packets as mqtt
from peers.device import Device, tls_context
from peers.gate import REPOSITORY, program, run
from peers.ports import free_port

GOOD = "backend 127.0.0.1:1884\nlistener 18883 127.0.0.1\nuser root\n"


@pytest.fixture
def check(tmp_path):
    """check(text): `-t` with that configuration; (status, all that was said)."""

    def run_check(text, **options):
        (tmp_path / "it.conf").write_bytes(text if isinstance(text, bytes) else text.encode())
        done = run("-t", "-c", tmp_path / "it.conf", **options)
        return done.returncode, done.stderr + done.stdout

    run_check.folder = tmp_path
    return run_check


def refused(check, text, *words):
    status, said = check(text)
    assert status == 1, "taken: " + said
    for word in words:
        assert re.search(word, said), "no %r in %s" % (word, said)
    started = run("-c", check.folder / "it.conf")
    assert started.returncode == 1, "it starts nevertheless"
    return said


def test_help():
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("-c FILE", "--test-config", "--version", "passwd", "-v"):
        assert word in done.stdout


def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert re.search(r"^drawbridge \d+\.\d+\.\d+$", done.stdout, re.M)
    assert re.search(r"^libuv 1\.\d+", done.stdout, re.M) and re.search(r"OpenSSL 3\.\d", done.stdout)


@pytest.mark.parametrize("arguments", [("-x",), ("-c",), ("--config", "f"), ("-t", "extra"), ("-c", "a", "b")])
def test_wrong_arguments(arguments):
    done = run(*arguments)
    assert done.returncode not in (0, 99) and done.stderr and done.stdout == ""


def test_good(check):
    status, said = check(GOOD)
    assert status == 0 and "it.conf" in said
    assert run("--test-config", "-c", check.folder / "it.conf").returncode == 0


def test_missing_file(tmp_path):
    for arguments in (("-t", "-c", tmp_path / "none.conf"), ("-c", tmp_path / "none.conf"), ("-t", "-c", tmp_path)):
        done = run(*arguments)
        assert done.returncode == 1 and str(tmp_path) in done.stderr, done


def test_nothing_is_opened_by_a_check(check):
    """-t while another one runs on the same port, and no file is written."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        status, said = check("backend 127.0.0.1:1\nlistener %d 127.0.0.1\npid_file %s\nlog_dest file %s\n" %
                             (port, check.folder / "pid", check.folder / "log"))
    assert status == 0 and sorted(os.listdir(check.folder)) == ["it.conf"], said


def test_sample_configuration():
    done = run("-t", "-c", REPOSITORY / "etc/drawbridge.conf")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text,words", [
    ("no_such_keyword true\n", ["it.conf:4", "no_such_keyword"]),
    ("max_conections 3\n", ["it.conf:4", "max_connections"]),
    ("alow_anonymous true\n", ["it.conf:4", "allow_anonymous"]),
    ("Max_qos 1\n", ["it.conf:4", "max_qos"]),
    ("max_qos 3\n", ["it.conf:4", "max_qos"]),
    ("max_qos one\n", ["it.conf:4"]),
    ("max_qos 1x\n", ["it.conf:4"]),
    ("max_qos\n", ["it.conf:4"]),
    ("allow_anonymous yes\n", ["it.conf:4", "true"]),
    ("allow_anonymous True\n", ["it.conf:4"]),
    ("max_packet_size 19\n", ["it.conf:4", "20"]),
    ("backend 127.0.0.1:1885\n", ["it.conf:4", "backend"]),
    ("listener 70000\n", ["it.conf:4"]),
    ("listener 18883 127.0.0.1\n", ["it.conf:4"]),
    ("certfile x.crt\n", ["it.conf:4", "keyfile"]),
    ("require_certificate true\n", ["it.conf:4", "certfile"]),
    ("mount_point x/#\n", ["it.conf:4", "mount_point", "wildcards"]),
    ("protocol websockets\n", ["it.conf:4", "websockets"]),
    ("psk_hint x\n", ["it.conf:4", "psk_file"]),
    ("connection bridge\ntopic # both\n", ["it.conf:4", "address"]),
    ("enable_proxy_protocol 2\n", ["it.conf:4", "enable_proxy_protocol"]),
    ("plugin /usr/lib/mosquitto_dynamic_security.so\n", ["it.conf:4", "mosquitto_dynamic_security"]),
    ("auth_plugin x.so\n", ["it.conf:4", "x.so"]),
    ("handshake_timeout 0\n", ["it.conf:4"]),
    ("handshake_timeout 10parsecs\n", ["it.conf:4"]),
    ("user no-such-user-here\n", ["no-such-user-here"]),
    ("metrics_listener 127.0.0.1\n", ["it.conf:4"]),
    ("metrics_listener 127.0.0.1:18883\n", ["it.conf:4"]),
    ("password_file none\n", ["it.conf:4", "none"]),
    ("acl_file none\n", ["it.conf:4", "none"]),
    ("auto_id_prefix " + "x" * 51 + "\n", ["it.conf:4"]),
    ("tls_version tlsv1\n", ["it.conf:4"]),
    ("include_dir none\n", ["it.conf:4", "none"]),
    ("acl_subscribe maybe\n", ["it.conf:4", "refuse"]),
    ("log_dest file\n", ["it.conf:4"]),
    ("workers 257\n", ["it.conf:4"]),
    ("max_qos 1\0\n", ["it.conf:4"]),
], ids=lambda value: value.split("\n")[0][:40] if isinstance(value, str) else "")
def test_refused_lines(check, text, words):
    refused(check, GOOD + text, *words)


def test_all_errors_are_told_at_once(check):
    said = refused(check, GOOD + "nonsense 1\nmax_qos 9\nallow_anonymous perhaps\n")
    for line in (4, 5, 6):
        assert "it.conf:%d:" % line in said


def test_no_backend(check):
    refused(check, "listener 18883 127.0.0.1\n", "backend")


def test_backend_that_is_oneself(check):
    refused(check, "backend 127.0.0.1:18883\nlistener 18883\n", "it.conf:1")


@pytest.mark.parametrize("text", [b"", b"\n\n# nothing\n", b"\xff\xfe\0", bytes(range(256)), b"backend " + b"x" * 100000],
                         ids=["empty", "comments", "bom", "all bytes", "long"])
def test_garbage(check, text):
    refused(check, text)


def test_brokers_own_keywords(check):
    """Accepted, with one line that names them."""
    status, said = check(GOOD + "persistence true\npersistence_location /var/lib/mosquitto/\nautosave_interval 10\n")
    assert status == 0
    lines = [line for line in said.splitlines() if "persistence" in line]
    assert len(lines) == 1 and "autosave_interval" in lines[0], said


def test_mosquittos_own_plugins(check):
    """Its acl-file and password-file plugins are what acl_file and password_file are."""
    (check.folder / "acl").write_text("topic readwrite a\n")
    status, said = check("backend 127.0.0.1:1\nplugin /usr/lib/x86_64-linux-gnu/mosquitto_acl_file.so\n"
                         "plugin_opt_acl_file acl\nlistener 18883 127.0.0.1\n")
    assert status == 0, said
    refused(check, "backend 127.0.0.1:1\nplugin /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file none\nlistener 18883\n", "none")
    refused(check, "backend 127.0.0.1:1\nplugin /usr/lib/mosquitto_acl_file.so\nlistener 18883\n", "it.conf")


SECURITY = {
    "acl_file": [b"", b"\n\n", b"# nothing\n", b"garbage\n", b"topic read a\ngarbage\n", b"topic read a/#/b\n", b"user\n",
                 b"topic execute a b\n", b"\xff\xff\n", b"topic read a\0b\n", b"topic read \xff\n", bytes(range(256))],
    "password_file": [b"", b"\n", b"# nothing\n", b"garbage\n", b"alice\n", b"alice:\n", b"alice:secret\n", b"alice:$7$\n",
                      b"alice:$7$101$AAAA$AAAA\n", b"alice:$5$AAAAAAAAAAAAAAAA$AAAA\n", b"\xff:\xff\n", bytes(range(256))],
    "cafile": [b"", b"\n", b"garbage\n", b"-----BEGIN CERTIFICATE-----\n"],
    "crlfile": [b"", b"\n", b"garbage\n", b"-----BEGIN X509 CRL-----\n"],
    "certfile": [b"", b"garbage\n"],
    "keyfile": [b"", b"garbage\n"],
}


@pytest.mark.parametrize("option,content", [(option, content) for option, list_ in SECURITY.items() for content in list_],
                         ids=lambda value: value if isinstance(value, str) else repr(value[:20]))
def test_bad_security_files_refuse(check, certs, option, content):
    (check.folder / "file").write_bytes(content)
    lines = {"certfile": certs.server_crt, "keyfile": certs.server_key, "cafile": certs.device_ca.crt, "crlfile": certs.crl}
    lines[option] = check.folder / "file"
    text = "backend 127.0.0.1:1\nlistener 18883\nrequire_certificate true\n" + "".join("%s %s\n" % line for line in lines.items())
    refused(check, text, "file")


@pytest.mark.parametrize("option", list(SECURITY))
@pytest.mark.parametrize("kind", ["unreadable", "directory", "device", "fifo"])
def test_odd_security_files_refuse(certs, option, kind):
    """Files that cannot be read, or are none. As somebody who is not root, whom nothing stops."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        folder.chmod(0o755)
        shutil.copy(program(), folder / "drawbridge")
        lines = {}
        for name, path in (("certfile", certs.server_crt), ("keyfile", certs.server_key), ("cafile", certs.device_ca.crt), ("crlfile", certs.crl)):
            lines[name] = folder / name
            shutil.copy(path, lines[name])
            lines[name].chmod(0o644)
        odd = folder / "odd"
        if kind == "unreadable":
            odd.write_text("topic readwrite #\n")
            odd.chmod(0)
        elif kind == "directory":
            odd.mkdir()
        elif kind == "fifo":
            os.mkfifo(odd, 0o644)
        else:
            odd = "/dev/zero"
        lines[option] = odd
        (folder / "it.conf").write_text("backend 127.0.0.1:1\nlistener 18883\nrequire_certificate true\n" +
                                        "".join("%s %s\n" % line for line in lines.items()))
        other = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = run("-t", "-c", folder / "it.conf", binary=str(folder / "drawbridge"), cwd=place, timeout=20, **other)
        assert done.returncode == 1 and str(odd) in done.stderr + done.stdout, done


def test_signals_end_it(gate_of, port):
    for number in (signal.SIGTERM, signal.SIGINT):
        gate = gate_of("backend 127.0.0.1:1\nlistener %d\n" % port)
        gate.process.send_signal(number)
        assert gate.wait_end() == 0


def test_end_with_devices_connected(gate_of, backend_of, port, tls, certs, device_of):
    """Version 5 devices hear that the server goes down; the broker's connections just close (wills)."""
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (backend.port, port, certs.tls))
    devices = [device_of(port, tls, version) for version in (3, 4, 5)]
    for index, device in enumerate(devices):
        device.connect("dev%d" % index)
    shaking = device_of(port)
    gate.stop()
    assert [[one.reason for one in device.read_to_end()] for device in devices] == [[], [], [0x8B]]
    for connection in backend.connections:
        connection.wait_closed()
        assert connection.behind_connect() == b""
    assert not shaking._receive(5)


def test_sigusr2_is_ignored(gate_of, port):
    gate = gate_of("backend 127.0.0.1:1\nlistener %d\n" % port)
    gate.process.send_signal(signal.SIGUSR2)
    gate.reload()
    assert gate.is_alive()


def test_taken_port(gate_of, port):
    gate_of("backend 127.0.0.1:1\nlistener %d 127.0.0.1\n" % port)
    other = free_port()
    with socket.create_server(("127.0.0.1", other)):
        gate = gate_of("backend 127.0.0.1:1\nlistener %d 127.0.0.1\n" % other, is_started=False)
        gate.start(is_ready_awaited=False)
        assert gate.wait_end() == 1
        assert "drawbridge.conf:2" in gate.log() and str(other) in gate.log() and "is ready" not in gate.log()


def test_two_on_one_port(gate_of, port):
    """SO_REUSEPORT between our own workers must not let a second program of the same user share the port."""
    gate_of("backend 127.0.0.1:1\nlistener %d 127.0.0.1\n" % port)
    second = gate_of("backend 127.0.0.1:1\nlistener %d 127.0.0.1\n" % port, is_started=False)
    second.start(is_ready_awaited=False)
    assert second.wait_end() == 1
    assert str(port) in second.log()


def test_pid_file_and_relative_paths(gate_of, port):
    gate = gate_of("backend 127.0.0.1:1\nlistener %d\npid_file it.pid\nlog_dest file own.log\nlog_dest stderr\n" % port)
    assert (gate.folder / "it.pid").read_text().strip() == str(gate.pid)
    assert "ready" in (gate.folder / "own.log").read_text()
    gate.stop()
    assert not (gate.folder / "it.pid").exists()


def test_listeners_of_all_kinds(gate_of, backend_of, certs, tls):
    """IPv4, IPv6, both, a Unix socket, one interface, TLS and plain in one program."""
    backend = backend_of()
    ports = [free_port() for _ in range(5)]
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nlistener %d ::1\n%slistener %d\nlistener %d\nsocket_domain ipv4\n"
                   "listener %d\nbind_interface lo\nlistener 0 it.sock\n" % (backend.port, ports[0], ports[1], certs.tls, *ports[2:]))
    for port, host, context in ((ports[0], "127.0.0.1", None), (ports[1], "::1", tls), (ports[2], "::1", None), (ports[2], "127.0.0.1", None),
                                (ports[3], "127.0.0.1", None), (ports[4], "127.0.0.1", None)):
        with Device(port, context, host=host) as device:
            device.connect()
            assert device.ping()
    for port, host in ((ports[0], "::1"), (ports[3], "::1"), (ports[1], "127.0.0.1")):
        with pytest.raises(ConnectionRefusedError):
            Device(port, host=host)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(gate.folder / "it.sock"))
        sock.sendall(mqtt.connect(4))
        sock.settimeout(15)
        assert sock.recv(100) == mqtt.connack(4)
    gate.stop()
    assert not (gate.folder / "it.sock").exists()


def test_privileges_are_dropped(backend_of, certs, port):
    """As root with `user nobody`: opens everything, then is nobody."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        folder.chmod(0o755)
        (folder / "it.conf").write_text("backend 127.0.0.1:%d\nuser nobody\nlistener %d\n%s" % (backend_of().port, port, certs.tls))
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen([program(), "-c", str(folder / "it.conf")], stderr=log, stdout=log)
        try:
            end = time.monotonic() + 20
            while "is ready" not in (folder / "log").read_text():
                assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.02)
            status = pathlib.Path("/proc/%d/status" % process.pid).read_text()
            for task in os.listdir("/proc/%d/task" % process.pid):
                status = pathlib.Path("/proc/%d/task/%s/status" % (process.pid, task)).read_text()
                assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.M), status
                assert re.search(r"^Gid:\t65534\t65534\t65534\t65534$", status, re.M) and re.search(r"^Groups:\t\s*(65534)?\s*$", status, re.M)
                assert re.search(r"^CapEff:\t0+$", status, re.M)
            with Device(port, tls_context(certs.cafile)) as device:
                device.connect()
                assert device.ping()
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_default_listener(check):
    """No listener at all: this machine only, as in mosquitto."""
    status, said = check("backend 127.0.0.1:1884\n")
    assert status == 0, said
    refused(check, "backend 127.0.0.1:1883\n", "1883")
