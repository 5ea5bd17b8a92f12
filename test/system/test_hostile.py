"""Storms and random damage: the program lives, gives everything back, and lets nothing through that is no MQTT."""
import random
import socket
import ssl
import threading
import time

from peers import packets as mqtt
from peers import samples
from peers.device import Device
from peers.gate import release_program


def test_storm_of_few_names(gate_of, broker, certs, tls, port):
    """200 connections of 4 client ids, which the broker throws out of each other's sessions, killed at any byte."""
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (broker.port, port, certs.tls))
    descriptors = gate.descriptor_count()
    dice = random.Random(5)
    scripts = []
    for number in range(200):
        version = dice.choice((3, 4, 5))
        data = mqtt.connect(version, "storm%d" % dice.randrange(4), will={"topic": "storm/will", "payload": "x"})
        data += mqtt.subscribe(version, 1, [("storm/#", 2)])
        data += b"".join(mqtt.publish(version, "storm/x", bytes(dice.randrange(2000)), dice.choice((0, 1, 2)), packet + 2) for packet in range(20))
        scripts.append((data, dice.randrange(len(data)), dice.choice(("kill", "close"))))
    lock = threading.Lock()

    def run():
        while True:
            with lock:
                if not scripts:
                    return
                data, cut, way = scripts.pop()
            try:
                device = Device(port, tls)
                device.send(data[:cut])
                device.sock.settimeout(0.05)
                try:
                    device.sock.recv(65536)
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
                getattr(device, way)()
            except OSError:
                pass

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    end = time.monotonic() + 30
    while gate.descriptor_count() != descriptors:
        assert time.monotonic() < end, "descriptors are left: %d, not %d" % (gate.descriptor_count(), descriptors)
        time.sleep(0.05)
    with Device(port, tls) as device:
        device.connect("afterwards")
        assert device.ping()


def damage(dice, data):
    data = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        way = dice.randrange(3)
        at = dice.randrange(len(data))
        if way == 0:
            data[at] = dice.randrange(256)
        elif way == 1:
            del data[at:at + dice.randrange(1, 5)]
        else:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 5)))
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


class Strict:
    """A reader behind the program: everything that reaches it must be good MQTT."""

    def __init__(self):
        self.faults = []

    def __call__(self, connection, raw):
        try:
            mqtt.Packet(raw, connection.version)
        except (ValueError, KeyError, UnicodeDecodeError) as fault:
            self.faults.append((raw.hex(" "), repr(fault)))
        return None


def test_damaged_packets(gate_of, backend_of, port):
    """Good samples with random damage: what reaches the broker can always be read, in whole packets."""
    strict = Strict()
    backend = backend_of(strict)
    gate = gate_of("backend 127.0.0.1:%d\nconnect_timeout 300ms\nbackend_timeout 30s\nlistener %d 127.0.0.1\n" % (backend.port, port))
    dice = random.Random(7)
    good = samples.load("good", "to_broker")
    devices = []
    for _ in range(1500):
        sample = dice.choice(good)
        is_connect = sample.raw[0] >> 4 == mqtt.CONNECT
        device = Device(port, version=sample.version)
        damaged = damage(dice, sample.raw)
        device.send(damaged if is_connect else mqtt.connect(sample.version) + damaged + mqtt.pingreq())
        devices.append(device)
        if len(devices) >= 100:
            time.sleep(0.05)
            for one in devices:
                one.close()
            devices = []
    for device in devices:
        device.close()
    time.sleep(0.5)
    assert strict.faults == [] and gate.is_alive()
    with Device(port) as device:
        device.connect("afterwards")
        assert device.ping()


def test_damaged_broker(gate_of, backend_of, port):
    """The same from the broker: a device never reads what cannot be read."""
    dice = random.Random(9)
    good = samples.load("good", "to_device")
    current = []

    def script(connection, raw):
        if raw[0] >> 4 != mqtt.CONNECT:
            return b""
        sample, damaged = current
        is_connack = sample.raw[0] >> 4 == mqtt.CONNACK
        return damaged if is_connack else mqtt.connack(sample.version) + damaged

    backend = backend_of(script)
    gate = gate_of("backend 127.0.0.1:%d\nbackend_timeout 1s\nlistener %d 127.0.0.1\n" % (backend.port, port))
    for _ in range(500):
        sample = dice.choice(good)
        current[:] = [sample, damage(dice, sample.raw)]
        with Device(port, version=sample.version) as device:
            device.send(mqtt.connect(sample.version, props=[(mqtt.ALIAS_MAXIMUM, 100)]))
            while True:
                try:
                    if device.read(0.05) is None:
                        break
                except TimeoutError:
                    break
    assert gate.is_alive()


def test_damaged_tls(gate_of, backend_of, certs, tls, port):
    """A byte of the handshake or of a record changed on its way."""
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nhandshake_timeout 500ms\nlistener %d\n%s" % (backend.port, port, certs.tls))
    dice = random.Random(11)
    for _ in range(150):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        engine = tls.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(0.2)
            spoil_at, sent = dice.randrange(900), 0
            try:
                for _ in range(6):
                    try:
                        engine.do_handshake()
                        engine.write(mqtt.connect(4))
                    except ssl.SSLWantReadError:
                        pass
                    data = bytearray(outgoing.read())
                    if sent <= spoil_at < sent + len(data):
                        data[spoil_at - sent] ^= 1 << dice.randrange(8)
                    sent += len(data)
                    sock.sendall(data)
                    answer = sock.recv(65536)
                    if not answer:
                        break
                    incoming.write(answer)
            except (OSError, ssl.SSLError):
                pass
    assert gate.is_alive()
    with Device(port, tls) as device:
        device.connect()
        assert device.ping()


def test_memory_does_not_creep(gate_of, backend_of, port):
    """Thousands of refused packets leave nothing behind (the release build's figure; leaks proper are the asan
    build's affair, at the end of every test)."""
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nconnection_messages false\nlistener %d 127.0.0.1\n" % (backend.port, port),
                   binary=release_program())
    bad = [sample for sample in samples.load("bad", "to_broker") if sample.version == 5]

    def run(count):
        for number in range(count):
            sample = bad[number % len(bad)]
            with Device(port, version=5) as device:
                is_connect = sample.raw[0] >> 4 == mqtt.CONNECT
                device.send(sample.raw if is_connect else mqtt.connect(5) + sample.raw)
                device.read_to_end()

    run(4000) # until all buffers of both workers have been used once
    before = gate.memory_kib()
    run(2000)
    assert gate.memory_kib() - before < 1024
