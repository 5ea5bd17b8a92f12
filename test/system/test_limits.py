"""Many devices and few descriptors."""
import contextlib
import os
import resource
import select
import socket
import subprocess
import threading
import time

import pytest

from peers import packets as mqtt
from peers.device import Device
from peers.gate import REPOSITORY, release_program
from peers.ports import free_port

DEVICES = 2000
KIB_PER_DEVICE = 18


@pytest.fixture(scope="module")
def load():
    """The load generator of the benchmark, as a crowd."""
    done = subprocess.run([REPOSITORY / "scripts/bench", "--build"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(REPOSITORY / "build/bench/load")


class Crowd:
    """`load idle`: opens devices, says so, holds them until its stdin ends."""

    def __init__(self, load, port, count, *arguments):
        self.process = subprocess.Popen([load, "idle", "--port", str(port), "--count", str(count), "--limit", "120", "--hold", "300",
                                         *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line == "ready %d\n" % count, "not all devices came in: %r" % line

    def release(self):
        self.process.stdin.close()
        line = self.process.stdout.readline()
        return self.process.wait(60), line


class ManyBackend:
    """A broker for thousands: answers CONNECT, PINGREQ, and holds the connections, with one thread and epoll."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.socks, self.is_over = {}, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        poll = select.epoll()
        poll.register(self.listener, select.EPOLLIN)
        while not self.is_over:
            for number, _ in poll.poll(0.2):
                if number == self.listener.fileno():
                    sock, _ = self.listener.accept()
                    self.socks[sock.fileno()] = sock
                    poll.register(sock, select.EPOLLIN)
                    continue
                sock = self.socks[number]
                try:
                    data = sock.recv(4096)
                except OSError:
                    data = b""
                if not data:
                    poll.unregister(sock)
                    del self.socks[number]
                    sock.close()
                elif data[0] >> 4 == mqtt.CONNECT:
                    sock.send(mqtt.connack(mqtt.Packet(mqtt.split(data)[0][0], 4).version))
                elif data[0] >> 4 == mqtt.PINGREQ:
                    sock.send(mqtt.pingresp())
        poll.close()

    def stop(self):
        self.is_over = True
        self.thread.join(10)
        for sock in self.socks.values():
            sock.close()
        self.listener.close()


@pytest.fixture
def many_backend():
    backend = ManyBackend(free_port())
    yield backend
    backend.stop()


@pytest.fixture
def many_files():
    """This process needs as many descriptors as the crowd."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_two_thousand_devices(gate_of, load, many_files, many_backend, certs, tls, device_of, port):
    """On two workers, each device over TLS; what an idle one costs, both its connections; and all that is given back."""
    gate = gate_of("backend 127.0.0.1:%d\nworkers 2\nlistener %d\n%sconnection_messages false\n" % (many_backend.port, port, certs.tls),
                   binary=release_program())
    descriptors = gate.descriptor_count()
    warm = Crowd(load, port, 100, "--cafile", certs.cafile, "--id", "warm")
    assert warm.release()[0] == 0
    wait_until(lambda: gate.descriptor_count() == descriptors, "the warm-up to be over")
    before = gate.anonymous_kib()
    crowd = Crowd(load, port, DEVICES, "--cafile", certs.cafile)
    wait_until(lambda: len(many_backend.socks) == DEVICES, "the broker to see all")
    each = (gate.anonymous_kib() - before) / DEVICES
    # Somebody else is served meanwhile.
    device = device_of(port, tls)
    device.connect("one more")
    assert device.ping()
    cpu = gate.cpu_s()
    time.sleep(1)
    assert gate.cpu_s() - cpu < 0.1, "a crowd that says nothing costs time"
    assert crowd.release() == (0, "held %d\n" % DEVICES)
    device.close()
    wait_until(lambda: gate.descriptor_count() == descriptors, "all descriptors to come back")
    print("KiB per idle device: %.1f" % each)
    assert each <= KIB_PER_DEVICE, "%.1f KiB per idle device" % each


def wait_until(condition, what, timeout=60):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited for %s" % what
        time.sleep(0.02)


def test_devices_on_both_workers(gate_of, load, many_files, many_backend, certs, port):
    """SO_REUSEPORT spreads them: neither worker has all."""
    gate = gate_of("backend 127.0.0.1:%d\nworkers 2\nlistener %d\n%sconnection_messages false\n" % (many_backend.port, port, certs.tls),
                   binary=release_program())
    crowd = Crowd(load, port, 200, "--cafile", certs.cafile)
    out = subprocess.run(["cat"] + ["/proc/%d/task/%s/stat" % (gate.pid, task) for task in tasks(gate)], capture_output=True, text=True).stdout
    busy = [line for line in out.splitlines() if sum(int(word) for word in line.rsplit(")", 1)[1].split()[11:13]) > 0]
    assert crowd.release()[0] == 0
    assert len(busy) >= 2, out


def tasks(gate):
    return os.listdir("/proc/%d/task" % gate.pid)


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_sixty_four_descriptors(gate_of, many_backend, certs, tls, port, kind):
    """It starts, serves as many as fit, tells the others, and is well again when they are gone."""
    lines = certs.tls if kind == "tls" else ""
    gate = gate_of("backend 127.0.0.1:%d\nworkers 2\nlistener %d 127.0.0.1\n%s" % (many_backend.port, port, lines), files=64)
    context = tls if kind == "tls" else None
    for _ in range(2):
        inside, told, closed, others = [], 0, 0, []
        for number in range(80):
            try:
                device = Device(port, context, version=5)
            except OSError:
                closed += 1
                continue
            try:
                device.send(mqtt.connect(5, "dev%d" % number))
                answer = device.read()
            except OSError:
                answer = None
            if answer is None:
                closed += 1
                device.close()
            elif answer.reason == 0:
                inside.append(device)
            else:
                assert answer.reason == 0x97, "0x%02x" % answer.reason
                told += 1
                others.append(device)
        assert 8 <= len(inside) <= 26 and len(inside) + told + closed == 80
        assert told > 0, "nobody was told"
        assert all(device.ping() for device in inside)
        for device in inside + others:
            device.close()
        wait_until(lambda: len(many_backend.socks) == 0, "the connections to the broker to end")
        time.sleep(0.2)
    gate.wait_log("descriptors")
    with Device(port, context) as device:
        device.connect("afterwards")
        assert device.ping()
    assert "in force" in gate.reload(), "a reload has descriptors of its own"


def test_sixty_four_descriptors_of_silent_peers(gate_of, many_backend, port):
    """Connections that say nothing do not lock the door for ever, nor does a full table spin."""
    gate = gate_of("backend 127.0.0.1:%d\nworkers 1\nconnect_timeout 1s\nlistener %d 127.0.0.1\n" % (many_backend.port, port), files=64)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    before = gate.cpu_s()
    time.sleep(0.5)
    assert gate.cpu_s() - before < 0.4
    deadline = time.monotonic() + 20
    while True:
        try:
            with Device(port) as device:
                device.connect()
                break
        except (AssertionError, OSError):
            assert time.monotonic() < deadline, "it does not recover"
            time.sleep(0.2)
    for sock in silent:
        sock.close()


def is_closed_at_once(port, version):
    """Without a byte, whatever is said: silence would be closed too, in the end."""
    with Device(port, version=version) as device:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            device.send(mqtt.connect(version))
        return device.read() is None


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("line", ["max_connections 3", "global_max_connections 3"])
def test_max_connections(gate_of, many_backend, port, line, version):
    option = line.split()[0]
    front = line + "\n" if option.startswith("global") else ""
    back = "" if front else line + "\n"
    other = free_port()
    gate_of("backend 127.0.0.1:%d\n%slistener %d 127.0.0.1\n%slistener %d 127.0.0.1\n" % (many_backend.port, front, port, back, other))
    inside = []
    for number in range(3):
        inside.append(Device(port, version=version))
        inside[-1].connect("dev%d" % number)
    assert is_closed_at_once(port, version), "the fourth"
    if front:
        assert is_closed_at_once(other, version)
    else:
        with Device(other, version=version) as device:
            device.connect("elsewhere")
    inside[0].close()

    def may_enter():
        try:
            with Device(port, version=version) as device:
                device.connect("next")
                return True
        except (AssertionError, OSError):
            return False

    wait_until(may_enter, "the place to be free again")
    for device in inside:
        device.close()


def test_announced_lengths_cost_nothing(gate_of, backend_of, certs, port):
    """1,000 connections that announce 256 MiB and send nothing of it."""
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nmax_packet_size 0\nlistener %d 127.0.0.1\n" % (backend.port, port), binary=release_program())
    warm = [socket.create_connection(("127.0.0.1", port)) for _ in range(1000)]
    for sock in warm:
        sock.sendall(b"\x10")
    time.sleep(0.5)
    before = gate.memory_kib()
    for sock in warm:
        sock.sendall(b"\xa0\x8d\x06")  # a CONNECT of 99,999 bytes, the most that is held
    time.sleep(0.5)
    assert gate.memory_kib() - before < 1024, "room is made for what was only announced"
    for sock in warm:
        sock.close()
    with Device(port) as device:
        device.send(b"\x10\xff\xff\xff\x7f" + mqtt.connect(4)[2:])
        assert device.read_to_end() == []
    assert backend.count() == 0
