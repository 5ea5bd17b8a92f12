"""Flat memory: bytes stream, a slow reader stops its writer, and nothing is lost. Memory is that of the release
build, whose allocator is the one that users have."""
import os
import socket
import threading
import time
import zlib

import pytest

from peers import packets as mqtt
from peers.gate import release_program

MIB = 1 << 20
LIMIT_KIB = 64 * 1024


@pytest.fixture
def gate(gate_of, port):
    def start(backend_port, more="", **options):
        config = "backend 127.0.0.1:%d\nmax_packet_size 0\nlistener %d\nallow_anonymous true\n%s" % (backend_port, port, more)
        made = gate_of(config, binary=release_program(), **options)
        made.port = port
        return made

    return start


def receive_crc(device, size, crc=0):
    """Reads that many bytes without keeping them."""
    device.sock.settimeout(60)
    taken = device.buffer[:size]
    device.buffer = device.buffer[len(taken):]
    crc, left, room = zlib.crc32(taken, crc), size - len(taken), memoryview(bytearray(256 * 1024))
    while left:
        count = device.sock.recv_into(room[:min(left, len(room))])
        assert count, "the stream ended %d bytes early" % left
        crc = zlib.crc32(room[:count], crc)
        left -= count
    return crc


def read_head(device):
    """Fixed header and topic of the PUBLISH that comes: (qos, packet id, payload size)."""
    while len(device.buffer) < 64:
        assert device._receive(60)
    first, at, size = device.buffer[0], 1, 0
    while True:
        size |= (device.buffer[at] & 0x7F) << 7 * (at - 1)
        at += 1
        if not device.buffer[at - 1] & 0x80:
            break
    assert first >> 4 == mqtt.PUBLISH
    topic_size = 2 + int.from_bytes(device.buffer[at:at + 2], "big")
    qos = first >> 1 & 3
    head = topic_size + (2 if qos else 0)
    packet_id = int.from_bytes(device.buffer[at + topic_size:at + head], "big") if qos else None
    device.buffer = device.buffer[at + head:]
    return qos, packet_id, size - head


def test_200_mebibytes_in_one_publish(gate, broker_of, certs, tls, device_of):
    """QoS 1, over TLS to mosquitto and from there over TLS to a subscriber."""
    broker = broker_of()
    gate = gate(broker.port, certs.tls)
    subscriber, publisher = device_of(gate.port, tls), device_of(gate.port, tls)
    subscriber.connect("sub")
    assert subscriber.subscribe(("big", 1)) == [1]
    publisher.connect("pub")
    block = os.urandom(MIB)
    publisher.sock.settimeout(120)
    publisher.send(mqtt.publish_head(4, "big", 200 * MIB, 1, 5))
    crc = 0
    for _ in range(200):
        publisher.send(block)
        crc = zlib.crc32(block, crc)
    assert publisher.expect(mqtt.PUBACK, 60).packet_id == 5
    qos, packet_id, size = read_head(subscriber)
    assert (qos, size) == (1, 200 * MIB)
    assert receive_crc(subscriber, size) == crc, "the payload arrived changed"
    subscriber.send(mqtt.ack(mqtt.PUBACK, 4, packet_id))
    assert subscriber.ping() and publisher.ping()
    assert gate.memory_kib("VmHWM") < LIMIT_KIB


class Flooder:
    """A broker that sends `total` bytes of numbered messages as fast as they are taken, once a PUBLISH asks."""

    def __init__(self, backend, total, payload=60000):
        self.sent, self.crc, self.count, self.is_done = 0, 0, 0, threading.Event()
        self.total, self.payload = total, os.urandom(payload)
        backend.script = self.script

    def script(self, connection, raw):
        if raw[0] >> 4 == mqtt.PUBLISH:
            threading.Thread(target=self.flood, args=(connection,), daemon=True).start()
        return None

    def flood(self, connection):
        connection.sock.settimeout(300)
        while self.sent < self.total:
            packet = mqtt.publish(4, "flood/%08d" % self.count, self.payload)
            connection.send(packet)
            self.crc = zlib.crc32(packet, self.crc)
            self.sent += len(packet)
            self.count += 1
        self.is_done.set()


def wait_until_steady(value, seconds=0.5, timeout=60):
    """Until it does not grow any more."""
    end, last, since = time.monotonic() + timeout, value(), time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < end, "it does not come to rest"
        time.sleep(0.02)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_stalled_subscriber(gate, backend_of, certs, tls, device_of, kind):
    """500 MB pushed at a device that does not read: the broker is stopped, memory stays flat, and every byte
    comes when the device reads on. Other devices are served meanwhile."""
    total = 500_000_000 if kind == "tls" else 100_000_000
    backend = backend_of()
    flooder = Flooder(backend, total)
    gate = gate(backend.port, certs.tls if kind == "tls" else "")
    device = device_of(gate.port, tls if kind == "tls" else None, receive_buffer=64 * 1024)
    device.connect("slow")
    device.publish("go")
    stuck_at = wait_until_steady(lambda: flooder.sent)
    assert 0 < stuck_at < 20_000_000, "%d bytes were taken from the broker although the device does not read" % stuck_at
    assert gate.memory_kib() < LIMIT_KIB
    other = device_of(gate.port, tls if kind == "tls" else None)
    other.connect("other")
    assert other.ping()
    before = gate.cpu_s()
    time.sleep(0.5)
    assert gate.cpu_s() - before < 0.2, "the program spins while the device is stalled"
    # On it goes: the first part is taken apart, the rest is summed up.
    first = [device.expect(mqtt.PUBLISH) for _ in range(20)]
    assert [packet.topic for packet in first] == ["flood/%08d" % number for number in range(20)]
    crc = 0
    for packet in first:
        assert packet.payload == flooder.payload
        crc = zlib.crc32(packet.raw, crc)
    size = len(mqtt.publish(4, "flood/%08d" % 0, flooder.payload))
    count = -(-total // size)
    crc = receive_crc(device, count * size - sum(len(packet.raw) for packet in first), crc)
    assert flooder.is_done.wait(10) and flooder.count == count and flooder.crc == crc, "what came is not what was sent"
    assert device.ping(), "the stream is at a packet boundary"
    assert gate.memory_kib("VmHWM") < LIMIT_KIB


def test_crc_of_a_stalled_stream(gate, backend_of, certs, tls, device_of):
    """The same in small, with stalls in between, every byte compared."""
    backend = backend_of()
    flooder = Flooder(backend, 30_000_000, 1000)
    gate = gate(backend.port, certs.tls)
    device = device_of(gate.port, tls, receive_buffer=16 * 1024)
    device.connect("slow")
    device.publish("go")
    crc, number = 0, 0
    size = len(mqtt.publish(4, "flood/%08d" % 0, flooder.payload))
    for _ in range(3):
        time.sleep(0.3)
        for _ in range(500):
            packet = device.expect(mqtt.PUBLISH)
            assert packet.topic == "flood/%08d" % number
            crc = zlib.crc32(packet.raw, crc)
            number += 1
    left = -(-flooder.total // size) - number
    crc = receive_crc(device, left * size, crc)
    assert flooder.is_done.wait(10) and crc == flooder.crc


@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_stalled_broker(gate, backend_of, certs, tls, device_of, kind):
    """The broker does not read: the device is stopped, and all of it arrives in the end."""
    backend = backend_of(receive_buffer=64 * 1024)
    go, crc, got = threading.Event(), [0], [0]

    def script(connection, raw):
        if raw[0] >> 4 == mqtt.SUBSCRIBE:
            # From here on this thread does the reading, when it is told to.
            connection.send(mqtt.suback(4, 1, [0]))
            go.wait(60)
            room = memoryview(bytearray(MIB))
            connection.sock.settimeout(60)
            while got[0] < size:
                count = connection.sock.recv_into(room[:min(len(room), size - got[0])])
                if not count:
                    return b""
                crc[0] = zlib.crc32(room[:count], crc[0])
                got[0] += count
            return b""
        return None

    packet = mqtt.publish(4, "up", os.urandom(100_000), 0)
    size = len(packet) * 1000
    backend.script = script
    gate = gate(backend.port, certs.tls if kind == "tls" else "")
    device = device_of(gate.port, tls if kind == "tls" else None)
    device.connect()
    device.subscribe("x")
    sent = [0]

    def push():
        for _ in range(1000):
            device.sock.sendall(packet)
            sent[0] += len(packet)

    device.sock.settimeout(120)
    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    stuck_at = wait_until_steady(lambda: sent[0])
    assert stuck_at < 30_000_000, "%d bytes were taken from the device although the broker does not read" % stuck_at
    go.set()
    thread.join(60)
    assert not thread.is_alive() and sent[0] == size
    wait_until_steady(lambda: got[0])
    wanted = 0
    for _ in range(1000):
        wanted = zlib.crc32(packet, wanted)
    assert (got[0], crc[0]) == (size, wanted)
    assert device.ping()
    assert gate.memory_kib("VmHWM") < LIMIT_KIB


def test_both_stalled_both_ways(gate, backend_of, certs, tls, device_of):
    """A device that asks without reading the answers: neither side can make the program grow."""
    backend = backend_of(lambda connection, raw: mqtt.publish(4, "echo", raw) if raw[0] >> 4 == mqtt.PUBLISH else None)
    gate = gate(backend.port, certs.tls)
    device = device_of(gate.port, tls, receive_buffer=16 * 1024)
    device.connect()
    packet, sent = mqtt.publish(4, "up", b"x" * 50_000), 0
    device.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        while sent < 100_000_000:
            device.sock.sendall(packet)
            sent += len(packet)
    assert gate.memory_kib("VmHWM") < LIMIT_KIB
    device.close()
    backend.wait_connection().wait_closed()


def test_answers_that_nobody_reads(gate, backend_of, certs, device_of):
    """Refused PUBLISHes are answered by ourselves: the answers have a bound too."""
    backend = backend_of()
    folder = certs.folder / "nothing-allowed"
    folder.write_text("topic write only/this\n")
    gate = gate(backend.port, "acl_file %s\n" % folder)
    device = device_of(gate.port, receive_buffer=16 * 1024)
    device.connect()
    device.sock.settimeout(1)
    block = b"".join(mqtt.publish(4, "other", b"", 1, number) for number in range(1, 10001))
    sent = 0
    try:
        while sent < 50_000_000:
            sent += device.sock.send(block[sent % len(block):])
    except TimeoutError:
        pass
    assert sent < 50_000_000, "it reads on although its answers are not taken"
    assert gate.memory_kib("VmHWM") < LIMIT_KIB
    device.sock.settimeout(15)
    size = len(block) // 10000
    answers = [device.expect(mqtt.PUBACK).packet_id for _ in range(min(sent // size, 200_000))]
    assert answers == [number % 10000 + 1 for number in range(len(answers))]


def test_half_closed_device(gate, backend_of, device_of):
    """A device that shuts its sending side is gone for the broker, and costs no time."""
    backend = backend_of()
    gate = gate(backend.port)
    device = device_of(gate.port)
    device.connect()
    device.sock.shutdown(socket.SHUT_WR)
    backend.wait_connection().wait_closed()
    before = gate.cpu_s()
    time.sleep(0.5)
    assert gate.cpu_s() - before < 0.1
