"""The conversations of test/differ through the real program, to a recording backend and to a real mosquitto: what passes is
read there as the reference reader reads it. The hundreds of thousands run in `make differ`; here are fewer, since each costs
two connections. DIFFER_SYSTEM_CASES: more of them; DIFFER_SEED: others."""
import os
import random
import re
import subprocess
import time
import types

import pytest

from peers import packets as mqtt
from peers.device import Device
from peers.gate import REPOSITORY
from peers.ports import free_port

WAIT_S = 30
COUNT = int(os.environ.get("DIFFER_SYSTEM_CASES", "3000"))
SEED = os.environ.get("DIFFER_SEED", "1")


def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def read_cases(text):
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[0] == "case":
            found.append(types.SimpleNamespace(number=int(words[1]), version=int(words[2]), is_open=words[3] == "open",
                                               stream=unhex(words[4]), size=int(words[5]), is_odd=False, packets=[]))
        elif words[0] == "odd":
            found[-1].is_odd = True
        else:
            found[-1].packets.append(words)
    return found


@pytest.fixture(scope="module")
def cases():
    target = "build/asan/test/differ/differ"
    done = subprocess.run(["make", "-s", target], cwd=REPOSITORY, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([REPOSITORY / target, "--seed", SEED, "--print", str(COUNT * 11 // 4)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = read_cases(done.stdout)
    assert len(found) > COUNT // 2
    return found


def send_in_pieces(dice, device, data):
    """False when the program closed meanwhile."""
    try:
        while data:
            size = len(data) if dice.randrange(2) else dice.randrange(1, len(data) + 1)
            device.send(data[:size])
            data = data[size:]
    except OSError:
        return False
    return True


def wait_refused(device):
    """The end of the connection, perhaps with a CONNACK in front, which test_malformed looks at."""
    device.sock.settimeout(WAIT_S)
    try:
        while device.sock.recv(4096):
            pass
    except ConnectionError:
        pass


def tell(case, words):
    return "%s; case %d of seed %s, version %d: %s" % (words, case.number, SEED, case.version, case.stream.hex(" "))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_recording_backend(gate_of, backend_of, cases, port, version):
    """Byte for byte what the reference reader lets through, and an end where it wants one."""
    backend = backend_of(lambda connection, raw: b"" if raw[0] >> 4 != mqtt.CONNECT else None)
    backend.connack_props = [(mqtt.ALIAS_MAXIMUM, 10)]
    gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmax_packet_size 0\nmax_topic_alias 10\nallow_unsafe_clientid_chars true\nconnection_messages false\n" % (backend.port, port))
    dice = random.Random(SEED)
    tried = 0
    for case in cases:
        if case.version != version:
            continue
        tried += 1
        before = backend.count()
        with Device(port, version=version) as device:
            send_in_pieces(dice, device, case.stream)
            if not case.size:
                wait_refused(device)
                assert backend.count() == before, tell(case, "the broker was dialled")
                continue
            connection = backend.wait_connection(before)
            connection.wait(lambda: len(connection.received) >= case.size, what=tell(case, "all of it"))
            if not case.is_open:
                connection.wait_closed()
            assert bytes(connection.received) == case.stream[:case.size], tell(case, "other bytes: %s" % connection.received.hex(" "))
    assert tried > 50


class Watcher:
    """Sees every message of the broker as it was published, and ends each case's messages with one of its own."""
    END = b"differ/end"

    def __init__(self, port):
        self.device, self.writer = Device(port, version=5), Device(port, version=5)
        self.writer.connect("differ-writer")
        self.device.connect("differ-watcher")
        as_published = 0x20 | 8 | 2
        assert self.device.subscribe(("#", as_published), ("$x/#", as_published)) == [2, 2]
        self.count = 0

    def messages(self):
        """All since the last call: (topic, payload, qos, retain)."""
        self.count += 1
        mark = b"%d" % self.count
        self.writer.send(mqtt.publish(5, self.END, mark))
        found = []
        while True:
            packet = self.device.read(WAIT_S)
            if packet.kind == mqtt.PUBREL:
                self.device.send(mqtt.ack(mqtt.PUBCOMP, 5, packet.packet_id))
            elif packet.kind == mqtt.PUBLISH:
                if packet.qos:
                    self.device.send(mqtt.ack(mqtt.PUBACK if packet.qos == 1 else mqtt.PUBREC, 5, packet.packet_id))
                if packet.topic.encode() == self.END:
                    assert packet.payload == mark
                    return found
                found.append((packet.topic.encode(), packet.payload, packet.qos, packet.retain))

    def close(self):
        self.device.close()
        self.writer.close()


def names_half_a_share(case):
    """mosquitto takes every `$share` in an UNSUBSCRIBE for a shared subscription, in all versions, and this for a broken one."""
    return any(word.startswith(b"$share".hex()) and not re.fullmatch(rb"\$share/[^/+#]+/.+", unhex(word), re.S)
               for words in case.packets if words[:2] == ["other", str(mqtt.UNSUBSCRIBE)] for word in words[3:])


def acknowledges_by_chance(case):
    """Behind a SUBSCRIBE mosquitto sends messages, and an acknowledgement out of the blue may meet one of another QoS."""
    kinds = [int(words[1]) for words in case.packets if words[0] == "other"]
    return mqtt.SUBSCRIBE in kinds and any(kind in (mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBCOMP) for kind in kinds[kinds.index(mqtt.SUBSCRIBE):])


def what_is_delivered(case):
    """A message of QoS 2 is when its PUBREL comes; what mosquitto does with an identifier that is used twice is written in
    its handle__publish."""
    found, waiting = [], {}
    for words in case.packets:
        if words[0] == "other" and int(words[1]) == mqtt.PUBREL and int(words[2]) in waiting:
            found.append(waiting.pop(int(words[2])))
        if words[0] != "publish":
            continue
        if words[4].startswith("24") and not unhex(words[4]).startswith(b"$x/"):
            continue  # the watcher's filters do not match it
        qos, retain, packet_id = int(words[1]), words[2] == "1", int(words[3])
        message = (unhex(words[4]), unhex(words[5]), qos, retain)
        if qos and packet_id in waiting and waiting[packet_id][:3] != message[:3]:
            del waiting[packet_id]
        if qos < 2:
            found.append(message)
        elif packet_id not in waiting:
            waiting[packet_id] = message
    return found


class Log:
    """What mosquitto has said since the last question."""

    def __init__(self, broker):
        self.file = open(broker.folder / "mosquitto.log", "rb")
        self.file.read()

    def wait_end(self, words):
        """Up to the end of the one connection there is."""
        seen, end = b"", time.monotonic() + WAIT_S
        while not re.search(rb"^\d+: (Client .* (closed its connection|disconnected)|Bad socket)", seen, re.M):
            assert time.monotonic() < end, "%s; mosquitto said %r" % (words, seen)
            seen += self.file.read()
            time.sleep(0.001)
        return seen


def talk(dice, case, port):
    """The conversation of a case; True when it is alive at its end."""
    with Device(port, version=case.version) as device:
        send_in_pieces(dice, device, case.stream + (mqtt.pingreq() if case.is_open else b""))
        while True:
            try:
                packet = device.read(WAIT_S)
            except OSError:
                return False
            if packet is None:
                return False
            if packet.kind == mqtt.PINGRESP and case.is_open:
                return True


def check_names(case, log):
    """Client id and username as mosquitto took them."""
    client_id, username = unhex(case.packets[0][3]), unhex(case.packets[0][4])
    line = re.search(rb"New (?:client|bridge) connected from [0-9.:]+ as (.*) \(p\d, c\d, k\d+(?:, u'(.*)')?\)\.\n", log)
    assert line, tell(case, "mosquitto did not take the CONNECT: %r" % log)
    assert line.group(1) == client_id, tell(case, "the client id is %r" % line.group(1))
    assert (line.group(2) or b"") == username, tell(case, "the username is %r" % line.group(2))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_mosquitto(gate_of, broker_of, cases, port, version):
    """The same names, topics, payloads, QoS and retain, in order; and mosquitto refuses nothing that passes but what it
    refuses more than the specification asks for: control characters and non-characters in strings, authentication methods,
    and what the functions above say."""
    broker = broker_of("max_queued_messages 0\nmax_inflight_messages 0\n")
    gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmax_packet_size 0\nmax_topic_alias 10\nallow_unsafe_clientid_chars true\nconnection_messages false\n" % (broker.port, port))
    watcher, log, dice = Watcher(broker.port), Log(broker), random.Random(SEED)
    tried = 0
    for case in cases:
        # A session that mosquitto keeps would mix one case with another.
        if case.version != version or not case.size or case.packets[0][2] != "1":
            continue
        is_alive = talk(dice, case, port)
        said = log.wait_end(tell(case, "no end"))
        messages, expected = watcher.messages(), what_is_delivered(case)
        log.file.read()
        has_will = case.packets[0][1] == "1"
        if case.is_odd or names_half_a_share(case) or acknowledges_by_chance(case):
            # Refused somewhere, but what was taken until then was understood alike.
            taken = messages[:len(messages) - 1] if has_will else messages
            assert taken == expected[:len(taken)], tell(case, "%r came instead of %r" % (messages, expected))
            continue
        tried += 1
        check_names(case, said)
        assert is_alive == case.is_open, tell(case, "mosquitto refused what passed: %r" % said)
        assert messages[:len(expected)] == expected, tell(case, "%r came instead of %r" % (messages, expected))
        assert len(messages) - len(expected) <= has_will, tell(case, "too much came: %r" % messages)
    assert tried > 30
    watcher.close()
