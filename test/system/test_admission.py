"""Who may come near, how often, and who is sent away: addresses, rates, counts, bans; across two workers."""
import contextlib
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import time

import pytest

from peers import packets as mqtt
from peers.counters import wait_counter
from peers.device import tls_context
from peers.gate import REPOSITORY, run
from peers.ports import free_port

VERSIONS = [3, 4, 5]
BANNED, QUOTA, NOT_AUTHORIZED = 0x8A, 0x97, 0x87
ALL_3X = {BANNED: 5, NOT_AUTHORIZED: 5, QUOTA: 3}


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, certs, port, device_of, tmp_path):
    """start(lines for all, lines of the listener, users={...}): a gate; returns a maker of devices."""

    def begin(shared="", own="", users=None, is_tls=False):
        metrics = free_port()
        # Nobody shall be closed for his silence.
        config = "backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nlog_type all\nconnect_timeout 120s\nhandshake_timeout 120s\n%s\n" % (
            backend.port, metrics, shared)
        config += "listener %d 127.0.0.1\n%s%s\n" % (port, certs.tls if is_tls else "", own)
        if users is not None:
            (tmp_path / "passwords").touch(mode=0o600)
            for name, password in users.items():
                subprocess.run(["mosquitto_passwd", "-b", tmp_path / "passwords", name, password], check=True, timeout=30)
            config += "password_file %s\n" % (tmp_path / "passwords")
        gate = gate_of(config)

        def make(version=4, client_id="dev", source="127.0.0.1", code=0, to=port, context=None, **fields):
            device = device_of(to, context, version=version, source=source)
            device.connect(client_id, code if version == 5 else ALL_3X.get(code, code), **fields)
            return device

        make.gate, make.config, make.metrics, make.port = gate, config, metrics, port
        return make

    return begin


def values(make):
    with socket.create_connection(("127.0.0.1", make.metrics), 15) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        body = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    return {name: float(value) for name, value in re.findall(r"^drawbridge_(\S+) (\S+)$", body, re.M)}


def settled(make, **wanted):
    """Waits for counters: a peer may see the end before the worker has counted it."""
    end = time.monotonic() + 30
    while True:
        now = values(make)
        found = {name: now.get(name, now.get(name + "_total")) for name in wanted}
        if found == wanted:
            return now
        assert time.monotonic() < end, "%r instead of %r\n%s" % (found, wanted, make.gate.log())
        time.sleep(0.05)


def is_closed_at_once(port, source="127.0.0.1", hello=mqtt.connect(4)):
    """The program closes without a byte, whatever is said."""
    with socket.socket() as sock:
        sock.settimeout(15)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(hello)
            data = sock.recv(1)
            assert data == b"", "it says %r" % data
    return True


# ---- source addresses ----

@pytest.mark.parametrize("version", VERSIONS)
def test_allow_from(start, backend, version):
    make = start("allow_from 127.0.0.0/30 2001:db8::/32\nallow_from 127.0.0.9\n")
    for source in ("127.0.0.1", "127.0.0.3", "127.0.0.9"):
        assert make(version, source=source).ping()
    for source in ("127.0.0.4", "127.0.0.8", "127.1.0.1"):
        assert is_closed_at_once(make.port, source, mqtt.connect(version))
    settled(make, connections_denied=3, connections_refused=3, connections_accepted=3)
    assert backend.count() == 3
    make.gate.wait_log(r"Connection from 127\.1\.0\.1:\d+ closed: its address is not in allow_from")


@pytest.mark.parametrize("version", VERSIONS)
def test_deny_from(start, backend, version):
    """It wins over allow_from."""
    make = start("deny_from 127.0.0.8/29\nallow_from 127.0.0.0/24")
    assert make(version, source="127.0.0.7").ping()
    assert is_closed_at_once(make.port, "127.0.0.8", mqtt.connect(version))
    assert is_closed_at_once(make.port, "127.0.1.1", mqtt.connect(version))
    assert make(version, source="127.0.0.16").ping()
    settled(make, connections_denied=2)
    assert backend.count() == 2


@pytest.mark.parametrize("version", [4, 5])
def test_deny_from_before_tls(start, certs, version):
    make = start("deny_from 127.0.0.8", is_tls=True)
    context = tls_context(certs.cafile)
    assert make(version, context=context).ping()
    assert is_closed_at_once(make.port, "127.0.0.8", b"\x16\x03\x01")
    now = settled(make, connections_denied=1, handshakes=1)
    assert now["handshakes_failed_total"] == 0


def test_lists_of_a_listener(gate_of, backend, device_of, port):
    """Its own lines instead of those for all; Unix sockets have no address."""
    other, path = free_port(), "/tmp/drawbridge-%d.sock" % port
    gate = gate_of("backend 127.0.0.1:%d\ndeny_from 127.0.0.0/8\nlistener %d 127.0.0.1\nlistener %d 127.0.0.1\ndeny_from none\n"
                   "listener 0 %s\n" % (backend.port, port, other, path))
    assert is_closed_at_once(port, "127.0.0.1")
    device_of(other).connect("a")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(15)
        sock.connect(path)
        sock.sendall(mqtt.connect(4))
        assert sock.recv(4) == mqtt.connack(4)
    assert gate.is_alive()


@pytest.mark.parametrize("version", [4, 5])
def test_lists_at_a_reload(start, version):
    make = start("deny_from 127.0.0.8")
    device = make(version, source="127.0.0.9")
    log = make.gate.reload(make.config.replace("deny_from 127.0.0.8", "deny_from 127.0.0.9"))
    assert "deny_from changes from 127.0.0.8 to 127.0.0.9." in log
    settled(make, configuration_generation=2)
    assert device.ping(), "connections that exist stay"
    assert make(version, "b", source="127.0.0.8").ping()
    assert is_closed_at_once(make.port, "127.0.0.9")


@pytest.mark.parametrize("version", [4, 5])
def test_explain_knows_the_door(start, version):
    """What an address would meet, without coming."""
    make = start("deny_from 127.0.0.8")
    for address, status, words in (("127.0.0.9", 0, r"allow: nothing stands against it"),
                                   ("127.0.0.8", 1, r"refuse \S+/drawbridge\.conf:\d+: its address is in deny_from")):
        done = run("-c", make.gate.path, "explain", "--address", address, "--user", "ann", "--mqtt", version, "connect")
        assert done.returncode == status and re.fullmatch(words, done.stdout.strip()), done.stdout


# ---- rates ----

@pytest.mark.parametrize("version", VERSIONS)
def test_connection_rate(start, backend, version):
    """The burst comes in, the next one does not, and another address does; both workers count together."""
    make = start("connection_rate 1/h burst 5")
    for number in range(5):
        make(version, "dev%d" % number)
    for _ in range(3):
        assert is_closed_at_once(make.port, hello=mqtt.connect(version))
    assert make(version, "other", source="127.0.0.2").ping()
    settled(make, connections_over_rate=3, connections_refused=3, connections_accepted=6)
    assert backend.count() == 6
    make.gate.wait_log(r"Connection from 127\.0\.0\.1:\d+ closed: its address is above connection_rate", 3)


@pytest.mark.parametrize("version", [4, 5])
def test_connection_rate_comes_back(start, version):
    make = start("connection_rate 2/s burst 1")
    make(version)
    end = time.monotonic() + 30
    while True:  # until a token is there again
        try:
            assert make(version, "again").ping()
            break
        except (AssertionError, OSError):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_connection_rate_before_tls(start, certs):
    make = start("connection_rate 1/h burst 1", is_tls=True)
    assert make(context=tls_context(certs.cafile)).ping()
    assert is_closed_at_once(make.port, hello=b"\x16\x03\x01")
    now = settled(make, connections_over_rate=1, handshakes=1)
    assert now["handshakes_failed_total"] == 0


@pytest.mark.parametrize("is_shared", [True, False])
def test_where_the_line_stands(start, device_of, is_shared):
    """Listeners that have the rate from one line count together."""
    other = free_port()
    line = "connection_rate 1/h burst 1\n"
    make = start(line, "%slistener %d 127.0.0.1\n%s" % ("" if is_shared else line, other, "" if is_shared else line))
    make()
    if is_shared:
        assert is_closed_at_once(other)
    else:
        assert make(to=other).ping()


def test_connection_rate_at_a_reload(start):
    """What was spent stays spent; the new rate holds at once."""
    make = start("connection_rate 1/h burst 2")
    make(client_id="a")
    make(client_id="b")
    assert is_closed_at_once(make.port)
    make.gate.reload(make.config.replace("burst 2", "burst 3"))
    settled(make, configuration_generation=2)
    make(client_id="c")
    assert is_closed_at_once(make.port)
    make.gate.reload(make.config.replace("connection_rate 1/h burst 2", "connection_rate 0"))
    settled(make, configuration_generation=3)
    assert make(client_id="d").ping()


# ---- counts ----

@pytest.mark.parametrize("version", VERSIONS)
def test_max_connections_per_address(start, backend, version):
    make = start("max_connections_per_address 2")
    devices = [make(version, "dev%d" % number) for number in range(2)]
    over = make(version, "over", code=QUOTA)
    assert over.read_to_end() == []
    assert make(version, "other", source="127.0.0.2").ping()
    assert all(device.ping() for device in devices)
    assert backend.count() == 3
    now = settled(make, connects_over_address=1)
    assert now["connects_refused_total"] == 1 and now["failures_total"] == 0
    make.gate.wait_log("the CONNECT was refused: its address is above max_connections_per_address")
    devices[0].close()
    settled(make, connections_open=2)
    assert make(version, "again").ping()


@pytest.mark.parametrize("version", [4, 5])
def test_max_connections_per_address_without_connect(start, device_of, version):
    """Connections count from the first moment: one more than the limit may send its CONNECT, the next are closed at once."""
    make = start("max_connections_per_address 2")
    silent = [device_of(make.port, source="127.0.0.5") for _ in range(3)]
    settled(make, connections_open=3)
    for _ in range(3):
        assert is_closed_at_once(make.port, "127.0.0.5", mqtt.connect(version))
    settled(make, connections_over_address=3, connections_open=3)
    assert make(version, source="127.0.0.6").ping()
    silent[0].version = version
    assert silent[0].connect("a")
    silent[1].version = version
    assert silent[1].connect("b")


@pytest.mark.parametrize("version", VERSIONS)
def test_takeover_at_an_address(start, backend, version):
    """The last connection of a device may die unnoticed; it does not shut the device out."""
    make = start("max_connections_per_address 1")
    old = make(version, "dev")
    dialled = backend.wait_connection()
    assert make(version, "other", code=QUOTA).read_to_end() == []
    settled(make, connections_open=1)
    new = make(version, "dev")
    assert new.ping()
    # While the old one is still there a third is too many: a take-over of a take-over waits.
    assert is_closed_at_once(make.port)
    dialled.close()  # what a broker does at a take-over
    old.read_to_end()
    settled(make, connections_open=1)
    assert make(version, "dev").ping()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("line", ["max_connections_per_address 1", "max_connections_per_username 1"])
def test_takeover_behind_mosquitto(gate_of, broker, device_of, port, line, version):
    """A full house lets a device in that takes over its own session, again and again; mosquitto ends the old connection."""
    metrics = free_port()
    gate_of("backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nallow_anonymous true\nlistener %d 127.0.0.1\n%s\n" %
            (broker.port, metrics, port, line))
    name = "takeover-%s-%d" % (line.split()[0], version)
    device = device_of(port, version=version)
    device.connect(name, username="ann")
    for _ in range(3):
        stranger = device_of(port, version=version)
        stranger.connect("other", QUOTA if version == 5 else 3, username="ann")
        stranger.read_to_end()
        stranger.close()
        wait_counter(metrics, "connections_open", 1)
        old, device = device, device_of(port, version=version)
        device.connect(name, username="ann")
        old.read_to_end()
        old.close()
        assert device.ping()
        wait_counter(metrics, "connections_open", 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_max_connections_per_username(start, backend, version):
    make = start("max_connections_per_username 2")
    alice = [make(version, "a%d" % number, source="127.0.0.%d" % (number + 1), username="alice", password="p") for number in range(2)]
    over = make(version, "a2", code=QUOTA, source="127.0.0.3", username="alice", password="p")
    assert over.read_to_end() == []
    assert make(version, "b", username="bob", password="p").ping()
    assert make(version, "c").ping() and make(version, "d").ping() and make(version, "e").ping(), "nobody's name is not counted"
    assert all(device.ping() for device in alice) and backend.count() == 6
    settled(make, connects_over_username=1, connects_refused=1)
    make.gate.wait_log("u'alice' .*the CONNECT was refused: its username is above max_connections_per_username")
    # A take-over by the same client id is not shut out, by another one it is.
    assert make(version, "a1", username="alice", password="p").ping()
    assert make(version, "a1", code=QUOTA, username="alice", password="p").read_to_end() == []
    for device in alice:
        device.close()
    settled(make, connections_open=5)
    assert make(version, "a2", username="alice", password="p").ping()


@pytest.mark.parametrize("version", [4, 5])
def test_username_is_counted_when_the_password_was_right(start, version):
    """A stranger cannot use up the seats of a name whose password he does not know."""
    make = start("max_connections_per_username 1", users={"alice": "secret"})
    for number in range(3):
        make(version, "x%d" % number, code=NOT_AUTHORIZED, username="alice", password="guess")
    assert make(version, username="alice", password="secret").ping()
    make(version, "x", code=NOT_AUTHORIZED, username="alice", password="guess")
    make(version, "x", code=QUOTA, username="alice", password="secret")
    now = settled(make, connects_over_username=1, authentication_failures=4, failures=4)
    assert now["connects_refused_total"] == 5


@pytest.mark.parametrize("version", [4, 5])
def test_username_of_a_certificate(start, certs, version):
    """The final username counts, whatever the device calls itself."""
    make = start("max_connections_per_username 1",
                 "cafile %s\nrequire_certificate true\nuse_identity_as_username true" % certs.device_ca.crt, is_tls=True)
    context = tls_context(certs.cafile, *certs.alice)
    assert make(version, "a", context=context, username="x", password="p").ping()
    make(version, "b", code=QUOTA, context=context, username="y", password="p")
    settled(make, connects_over_username=1)


@pytest.mark.parametrize("version", [4, 5])
def test_counts_at_a_reload(start, version):
    make = start("max_connections_per_address 1\nmax_connections_per_username 1")
    make(version, "a", username="alice", password="p")
    make(version, "b", code=QUOTA, username="bob", password="p").read_to_end()
    make.gate.reload(make.config.replace("per_address 1", "per_address 3"))
    settled(make, configuration_generation=2)
    assert make(version, "b", username="bob", password="p").ping()
    make(version, "c", code=QUOTA, username="bob", password="p").read_to_end()
    make.gate.reload(make.config.replace("per_address 1", "per_address 0").replace("per_username 1", "per_username 0"))
    settled(make, configuration_generation=3)
    assert make(version, "c", username="bob", password="p").ping()


# ---- handshakes ----

@pytest.mark.parametrize("version", [4, 5])
def test_max_handshakes(start, certs, device_of, version):
    make = start("max_handshakes 2", is_tls=True)
    context = tls_context(certs.cafile)
    first = make(version, "first", context=context)
    silent = [device_of(make.port) for _ in range(2)]
    for device in silent:
        device.send(b"\x16")
    settled(make, handshakes_open=2)
    for source in ("127.0.0.1", "127.0.0.2"):
        assert is_closed_at_once(make.port, source, b"\x16\x03\x01")
    settled(make, connections_over_handshakes=2, connections_refused=2)
    assert first.ping(), "who has shaken hands is not counted"
    silent[0].close()
    settled(make, handshakes_open=1)
    assert make(version, "second", context=context).ping()
    settled(make, handshakes_open=1)
    make.gate.wait_log("closed: there are max_handshakes in progress", 2)


def test_silent_handshakes_make_room(start, certs, device_of):
    """Whoever says nothing for a second may lose its place, the oldest first; whoever has begun may not."""
    make = start("max_handshakes 3\nworkers 1", is_tls=True)
    context = tls_context(certs.cafile)
    begun = device_of(make.port)
    begun.send(b"\x16\x03\x01")
    silent = []
    for number in (1, 2):
        silent.append(device_of(make.port))
        settled(make, handshakes_open=1 + number)
    time.sleep(1.2)
    assert make(5, "in", context=context).ping()
    assert silent[0].read_to_end_of_bytes() == b""
    settled(make, handshakes_open=2, connections_over_handshakes=0)
    settled(make, **{'sessions_ended_total{reason="handshake_shed"}': 1})
    late = device_of(make.port)
    settled(make, handshakes_open=3)
    assert make(5, "in too", context=context).ping()
    assert silent[1].read_to_end_of_bytes() == b""
    settled(make, handshakes_open=2)
    fresh = device_of(make.port)
    fresh.send(b"\x16")
    settled(make, handshakes_open=3)
    assert not select.select([late.sock, begun.sock, fresh.sock], [], [], 0)[0], "one of them is closed"


def test_handshakes_share_the_turns(gate_of, backend, certs, port, device_of):
    """Hundreds of ClientHellos at once: all of them are answered, none is forgotten while it waits for its turn."""
    gate = gate_of("backend 127.0.0.1:%d\nworkers 1\nallow_anonymous true\nlistener %d 127.0.0.1\n%s\n" % (backend.port, port, certs.tls))
    context = tls_context(certs.cafile)
    device = device_of(port, context, version=5)
    device.connect("dev")
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
    hellos = []
    for sock in sockets:
        sock.setblocking(False)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hellos.append(outgoing.read())
    assert device.ping()  # all are accepted
    os.kill(gate.pid, signal.SIGSTOP)
    for sock, hello in zip(sockets, hellos):
        sock.sendall(hello)
    device.send(mqtt.pingreq())
    os.kill(gate.pid, signal.SIGCONT)
    device.expect(mqtt.PINGRESP)
    deadline = time.monotonic() + 60
    while len(select.select(sockets, [], [], 0.1)[0]) < 300:
        assert time.monotonic() < deadline, "some are never answered"
    for sock in sockets:
        assert sock.recv(5)[:1] == b"\x16"
        sock.close()


def test_max_handshakes_gives_back(start, certs, device_of):
    """However a handshake ends."""
    make = start("max_handshakes 1\nhandshake_timeout 1s", is_tls=True)
    context = tls_context(certs.cafile)
    wrong = device_of(make.port)
    wrong.send(b"no TLS at all" * 10)
    wrong.read_to_end_of_bytes()
    settled(make, handshakes_open=0, handshakes_failed=1)
    silent = device_of(make.port)
    silent.read_to_end_of_bytes()
    settled(make, handshakes_open=0)
    for number in range(5):
        assert make(client_id="dev%d" % number, context=context).ping()
    settled(make, handshakes_open=0, connections_over_handshakes=0)


# ---- bans ----

def fail_with_password(make, version, source, **fields):
    make(version, code=NOT_AUTHORIZED, source=source, username="alice", password="guess", **fields).read_to_end()


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_by_address(start, backend, version):
    make = start("ban_after 3/60s for 10m", users={"alice": "secret"})
    old = make(version, "old", source="127.0.0.7", username="alice", password="secret")
    for _ in range(3):
        fail_with_password(make, version, "127.0.0.7")
    make.gate.wait_log(r"Banned address 127\.0\.0\.7 for 600 s: 3 failures within 60 s\.")
    for _ in range(2):
        assert is_closed_at_once(make.port, "127.0.0.7", mqtt.connect(version, username="alice", password="secret"))
    assert make(version, "new", source="127.0.0.8", username="alice", password="secret").ping(), "the victim is not locked out"
    assert old.ping(), "connections that exist stay"
    now = settled(make, connections_banned=2, failures=3, bans_of_addresses=1, authentication_failures=3)
    assert (now['bans{by="address"}'], now['bans{by="username"}'], now['bans{by="clientid"}']) == (1, 0, 0)
    assert now["bans_of_usernames_total"] == now["bans_of_clientids_total"] == 0
    assert backend.count() == 2


def broken_connect(version):
    return mqtt.connect(version)[:-1] + b"\xff"  # ill-formed UTF-8 in the client id


def break_protocol(make, version, source, device_of):
    device = device_of(make.port, version=version, source=source)
    device.send(broken_connect(version))
    device.read_to_end()


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_after_broken_protocol(start, device_of, version):
    make = start("ban_after 2/60s for 10m")
    for _ in range(2):
        break_protocol(make, version, "127.0.0.7", device_of)
    assert is_closed_at_once(make.port, "127.0.0.7")
    settled(make, failures=2, bans_of_addresses=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_protocol_is_no_failure_after_the_connack(start, version):
    make = start("ban_after 1/60s for 10m")
    device = make(version, source="127.0.0.7")
    device.send(b"\xf0\x01\x00" if version != 5 else b"\x00\x00")
    device.read_to_end()
    assert make(version, source="127.0.0.7").ping()
    assert values(make)["failures_total"] == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_after_refused_connects(start, version):
    make = start("ban_after 2/60s for 10m\nclientid_prefixes good")
    for _ in range(2):
        make(version, "bad", code=NOT_AUTHORIZED, source="127.0.0.7").read_to_end()
    assert is_closed_at_once(make.port, "127.0.0.7")
    settled(make, failures=2, bans_of_addresses=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_when_the_broker_refuses_the_password(start, backend, version):
    """Without a password_file the broker knows the passwords; its other refusals are no failures."""
    make = start("ban_after 2/60s for 10m")
    code = 0x88 if version == 5 else 3
    backend.script = lambda connection, raw: mqtt.connack(version, code) if raw[0] >> 4 == mqtt.CONNECT else None
    for _ in range(3):
        make(version, code=code, source="127.0.0.7").read_to_end()
    code = 0x86 if version == 5 else 4
    for _ in range(2):
        make(version, code=code, source="127.0.0.7").read_to_end()
    assert is_closed_at_once(make.port, "127.0.0.7")
    settled(make, failures=2, bans_of_addresses=1)


def test_ban_after_tls_failures(start, certs, device_of):
    """Before a TLS byte is paid for. Who does not trust our certificate, or hangs up, has not failed."""
    make = start("ban_after 2/60s for 10m", is_tls=True)
    for _ in range(3):
        with pytest.raises(ssl.SSLError):
            device_of(make.port, tls_context(certs.device_ca.crt), source="127.0.0.7")
        device_of(make.port, source="127.0.0.7").close()
    assert make(context=tls_context(certs.cafile), source="127.0.0.7").ping()
    settled(make, handshakes_failed=6, failures=0)
    for _ in range(2):
        device = device_of(make.port, source="127.0.0.7")
        device.send(mqtt.connect(4))
        device.read_to_end_of_bytes()
    assert is_closed_at_once(make.port, "127.0.0.7", b"\x16\x03\x01")
    now = settled(make, failures=2, bans_of_addresses=1, connections_banned=1)
    assert now["handshakes_failed_total"] == 8


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_by_username(start, backend, version):
    make = start("ban_after 2/60s for 10m by username", users={"alice": "secret", "bob": "secret"})
    old = make(version, "old", username="alice", password="secret")
    for number in range(2):
        fail_with_password(make, version, "127.0.0.%d" % (number + 7), client_id="c%d" % number)
    make(version, code=BANNED, username="alice", password="secret").read_to_end()
    assert make(version, "new", source="127.0.0.8", username="bob", password="secret").ping()
    assert old.ping() and backend.count() == 2
    now = settled(make, connects_banned=1, bans_of_usernames=1, failures=2, connects_refused=3)
    assert now['bans{by="username"}'] == 1 and now['bans{by="address"}'] == 0
    make.gate.wait_log("Banned username alice for 600 s")
    make.gate.wait_log("the CONNECT was refused: its username or client id is banned")


@pytest.mark.parametrize("version", VERSIONS)
def test_ban_by_clientid(start, version):
    make = start("ban_after 2/60s for 10m by clientid", users={"alice": "secret"})
    for number in range(2):
        fail_with_password(make, version, "127.0.0.%d" % (number + 7), client_id="robot")
    make(version, "robot", code=BANNED, username="alice", password="secret").read_to_end()
    assert make(version, "other", username="alice", password="secret").ping()
    now = settled(make, connects_banned=1, bans_of_clientids=1, failures=2)
    assert now['bans{by="clientid"}'] == 1
    make.gate.wait_log("Banned client id robot for 600 s")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by", ["address", "username", "clientid"])
def test_bans_concern_nothing_else(start, version, by):
    """What `by` does not say is not banned, however often it has failed."""
    make = start("ban_after 2/60s for 10m by %s" % by, users={"alice": "secret", "bob": "secret"})
    for _ in range(2):
        fail_with_password(make, version, "127.0.0.7", client_id="robot")
    for name, client_id, source, username in (("address", "b", "127.0.0.7", "bob"), ("username", "a", "127.0.0.8", "alice"),
                                              ("clientid", "robot", "127.0.0.8", "bob")):
        if name != by:
            assert make(version, client_id, source=source, username=username, password="secret").ping(), name
        elif name != "address":
            make(version, client_id, code=BANNED, source=source, username=username, password="secret").read_to_end()
        else:
            assert is_closed_at_once(make.port, source, mqtt.connect(version))


@pytest.mark.parametrize("version", [4, 5])
def test_bans_end(start, device_of, version):
    make = start("ban_after 1/60s for 1s")
    break_protocol(make, version, "127.0.0.7", device_of)
    settled(make, bans_of_addresses=1)
    end = time.monotonic() + 30
    while True:
        try:
            assert make(version, source="127.0.0.7").ping()
            break
        except (AssertionError, OSError):
            assert time.monotonic() < end
            time.sleep(0.1)
    settled(make, **{'bans{by="address"}': 0})


@pytest.mark.parametrize("version", [4, 5])
def test_bans_at_a_reload(start, device_of, version):
    """They outlive it; ban_after 0 lifts them for a listener, and they are there again with the next rule."""
    make = start("ban_after 1/60s for 10m")
    break_protocol(make, version, "127.0.0.7", device_of)
    assert is_closed_at_once(make.port, "127.0.0.7")
    make.gate.reload(make.config.replace("ban_after 1/60s for 10m", "ban_after 5/60s for 10m"))
    settled(make, configuration_generation=2)
    assert is_closed_at_once(make.port, "127.0.0.7")
    make.gate.reload(make.config.replace("ban_after 1/60s for 10m", "ban_after 0"))
    settled(make, configuration_generation=3)
    assert make(version, source="127.0.0.7").ping()


def test_nothing_is_banned_unless_configured(start, device_of):
    make = start()
    for _ in range(20):
        break_protocol(make, 4, "127.0.0.7", device_of)
    assert make(source="127.0.0.7").ping()
    now = settled(make, failures=20, bans_of_addresses=0)
    assert now["visitors_remembered"] == 0


# ---- fail2ban ----

def failregex():
    """The shipped expression, with what fail2ban puts in the place of <HOST>."""
    text = (REPOSITORY / "etc/fail2ban/filter.d/drawbridge.conf").read_text()
    pattern = re.search(r"^failregex = (.*)$", text, re.M).group(1)
    host = (r"(?:(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})|\[?(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|"
            r"(?<=:):))\]?|(?P<dns>[\w\-.^_]*\w))")
    assert pattern.count("<HOST>") == 1
    return re.compile(pattern.replace("<HOST>", host))


def offenders(log, time_of_line):
    """Whom fail2ban would count, once it has cut the time off each line."""
    found = []
    for line in log.splitlines():
        match = failregex().search(re.sub(time_of_line, "", line, count=1))
        if match:
            found.append(match["ip4"] or match["ip6"] or match["dns"])
    return found


@pytest.mark.parametrize("log_lines, time_of_line", [("", r"^\d{10}"),
                                                      ("log_timestamp_format %Y-%m-%dT%H:%M:%S", r"^[-\d]+T\d\d:\d\d:\d\d"),
                                                      ("log_timestamp_format %T", r"^\d\d:\d\d:\d\d:")])
def test_fail2ban_filter(start, certs, device_of, log_lines, time_of_line):
    """Each failure is one line that the shipped filter counts for its address, and no other line is one."""
    other = free_port()
    lines = log_lines + "\nallow_unsafe_clientid_chars true\nclientid_prefixes g"
    make = start(lines, "listener %d 127.0.0.1\n%s" % (other, certs.tls), users={"alice": "secret"})
    make(5, "good", source="127.0.0.2", username="alice", password="secret").close()
    fail_with_password(make, 4, "127.0.0.7", client_id="g")
    fail_with_password(make, 5, "127.0.0.8", client_id="g")
    make(5, "bad", code=NOT_AUTHORIZED, source="127.0.0.9")
    break_protocol(make, 4, "127.0.0.10", device_of)
    device = device_of(other, source="127.0.0.11")
    device.send(mqtt.connect(4))
    device.read_to_end_of_bytes()
    # Nobody makes us ban somebody else.
    for forged in ("Failure from 192.0.2.1: Client", "\n: Failure from 192.0.2.1: Client x", "]: Client [192.0.2.1:1] is gone",
                   "drawbridge[1]: Failure from 192.0.2.1: Client", "x drawbridge[1]: Failure from 192.0.2.1: Client"):
        make(5, forged, code=NOT_AUTHORIZED, source="127.0.0.12")
        make(4, "g", code=NOT_AUTHORIZED, source="127.0.0.13", username=forged, password="x")
        make(4, "g" + forged, source="127.0.0.14", username="alice", password="secret").close()
    settled(make, connections_open=0)
    found = offenders(make.gate.log(), time_of_line)
    assert found[:5] == ["127.0.0.%d" % number for number in (7, 8, 9, 10, 11)]
    assert set(found[5:]) == {"127.0.0.12", "127.0.0.13"}
    assert len(found) == values(make)["failures_total"] == 15


def test_fail2ban_filter_elsewhere():
    """Lines as syslog and the journal have them; IPv6; and what must not match."""
    line = "Failure from %s: Client (no client id) [%s] is gone: the TLS handshake failed: x."
    for front in ("", ": ", "gate drawbridge[42]: ", " gate drawbridge[42]: ", "gate drawbridge[42]: 1764066847: ",
                  "gate /usr/sbin/drawbridge[42]: "):
        assert failregex().search(front + line % ("192.0.2.7", "192.0.2.7:1"))["ip4"] == "192.0.2.7", front
        assert failregex().search(front + line % ("[2001:db8::7]", "[2001:db8::7]:1"))["ip6"] == "2001:db8::7", front
    for bad in ("Client Failure from 192.0.2.7: Client x", ": Client x, u'Failure from 192.0.2.7: Client y' is gone",
                ": New client connected from 192.0.2.7:1 as Failure from 192.0.2.8: Client x",
                ": Banned address 192.0.2.7 for 600 s: 3 failures within 60 s.",
                ": Banned username drawbridge[1]: Failure from 192.0.2.7: Client x for 600 s",
                ": Client drawbridge[1]: Failure from 192.0.2.7: Client x", "gate drawbridge[42]: Client drawbridge[1]: Failure from "
                "192.0.2.7: Client x", "Client drawbridge[1]: Failure from 192.0.2.7: Client x", "gate other[42]: Failure from 192.0.2.7: Client x"):
        assert not failregex().search(bad), bad
