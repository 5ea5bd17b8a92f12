"""Reload under load: certificate, CRL, ACL and password file are swapped again and again, broken sets among them, while 500 devices
publish. Nobody is dropped who should not be, nothing is lost."""
import asyncio
import re
import signal
import ssl
import subprocess

from peers import packets as mqtt
from peers.certs import Authority

DEVICES, SWAPS, VERSIONS = 500, 100, (4, 5)
CONFIG = """backend 127.0.0.1:{broker}
handshake_timeout 120s
connect_timeout 120s
backend_timeout 60s
log_type error
log_type warning
log_type notice
connection_messages false
password_file {at}/passwords
acl_file {at}/acl
listener {port} 127.0.0.1
certfile {at}/server.crt
keyfile {at}/server.key
cafile {at}/ca/ca.crt
crlfile {at}/crl.pem
require_certificate true
"""


class Client:
    """One connection of the event loop: whole packets in, bytes out."""

    def __init__(self, version):
        self.version, self.buffer = version, b""

    async def open(self, port, context=None):
        self.reader, self.writer = await asyncio.wait_for(
            asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None), 120)
        return self

    async def read(self):
        while True:
            size = mqtt.size_of_first(self.buffer)
            if size is not None and len(self.buffer) >= size:
                raw, self.buffer = self.buffer[:size], self.buffer[size:]
                return mqtt.Packet(raw, self.version)
            data = await asyncio.wait_for(self.reader.read(65536), 120)
            assert data, "the connection ended"
            self.buffer += data

    async def say(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def connect(self, client_id, **fields):
        await self.say(mqtt.connect(self.version, client_id, **fields))
        answer = await self.read()
        assert answer.kind == mqtt.CONNACK and answer.reason == 0


class Watcher(Client):
    """Subscribed at the broker itself; what has arrived."""

    async def watch(self):
        self.seen = set()
        await self.connect("watcher")
        await self.say(mqtt.subscribe(self.version, 1, [("storm/#", 1)]))
        assert (await self.read()).kind == mqtt.SUBACK
        while True:
            packet = await self.read()
            if packet.kind == mqtt.PUBLISH:
                self.seen.add((packet.topic, packet.payload))
                await self.say(mqtt.ack(mqtt.PUBACK, self.version, packet.packet_id))


async def device(number, port, context, few, acknowledged, is_over):
    client = Client(VERSIONS[number % 2])
    async with few:
        await client.open(port, context)
        await client.connect("dev%d" % number, username="u%d" % (number % 5), password="secret")
    for count in range(1, 60000):
        topic, payload = "storm/%d" % number, b"%d" % count
        await client.say(mqtt.publish(client.version, topic, payload, 1, 1 + count % 65535))
        answer = await client.read()
        assert answer.kind == mqtt.PUBACK and (answer.reason or 0) == 0, "device %d: %r" % (number, answer)
        acknowledged.add((topic, payload))
        if is_over.is_set() and count > 5:
            break
        await asyncio.sleep(0.5)
    client.writer.close()


def set_of(place, ca, certificates, crls, passwords, number):
    """Writes set `number`; every fifth is broken in another way. True: it is good."""
    crt, key = certificates[number % 2]
    files = {"server.crt": crt.read_bytes(), "server.key": key.read_bytes(), "crl.pem": crls[number % 2],
             "passwords": passwords + b"extra%d:%s\n" % (number, passwords.split(b":", 1)[1].split(b"\n")[0]),
             "acl": b"pattern readwrite storm/#\npattern read extra/%d\n" % number}
    broken = number % 5 == 4
    if broken:
        name = sorted(files)[number // 5 % len(files)]
        files[name] = [b"", b"nonsense\n\xff\n", files[name][:len(files[name]) // 2] + b"\n:broken\n"][number // 25 % 3]
    for name, text in files.items():
        (place / name).write_bytes(text)
        (place / name).chmod(0o600)
    return not broken


async def swap(gate, write):
    """The sets one after the other; what became of each, from the log."""
    for number in range(SWAPS):
        is_good = write(number)
        before = len(gate.log())
        gate.process.send_signal(signal.SIGHUP)
        for _ in range(6000):
            found = re.search(r"is in force|reload was refused", gate.log()[before:])
            if found:
                break
            await asyncio.sleep(0.02)
        assert found, "no word of reload %d:\n%s" % (number, gate.log()[before:])
        assert (found[0] == "is in force") == is_good, "reload %d:\n%s" % (number, gate.log()[before:])


async def storm(gate, port, broker_port, context, write):
    watcher = await Watcher(4).open(broker_port)
    watching = asyncio.create_task(watcher.watch())
    acknowledged, is_over, few = set(), asyncio.Event(), asyncio.Semaphore(20)
    devices = [asyncio.create_task(device(number, port, context, few, acknowledged, is_over)) for number in range(DEVICES)]
    while len({topic for topic, _ in acknowledged}) < DEVICES:
        assert not any(task.done() for task in devices), [task for task in devices if task.done()][0]
        await asyncio.sleep(0.1)
    await swap(gate, write)
    ended = [task for task in devices if task.done()]
    assert not ended, "%d devices were dropped, such as %r" % (len(ended), ended[0])
    is_over.set()
    await asyncio.wait_for(asyncio.gather(*devices), 180)
    for _ in range(600):
        if acknowledged <= watcher.seen:
            break
        await asyncio.sleep(0.1)
    watching.cancel()
    return acknowledged, watcher.seen


def test_reload_storm(gate_of, broker_of, port, tmp_path):
    broker = broker_of("max_queued_messages 0\nmax_inflight_messages 0\n")
    ca = Authority(tmp_path / "ca")
    certificates = [ca.issue_server("one"), ca.issue_server("two", is_rsa=True)]
    mine = ca.issue_device("device")
    for name in ("old1", "old2"):
        ca.issue_device(name)
    crls = []
    for name in ("old1", "old2"):
        ca.revoke(name)
        crls.append(ca.write_crl().read_bytes())
    (tmp_path / "made").touch()
    for number in range(5):
        subprocess.run(["mosquitto_passwd", "-b", tmp_path / "made", "u%d" % number, "secret"], check=True, timeout=30)
    passwords = (tmp_path / "made").read_bytes()

    def write(number):
        return set_of(tmp_path, ca, certificates, crls, passwords, number)

    assert write(0)
    gate = gate_of(CONFIG.format(broker=broker.port, at=tmp_path, port=port))
    context = ssl.create_default_context(cafile=ca.crt)
    context.load_cert_chain(*mine)
    acknowledged, seen = asyncio.run(storm(gate, port, broker.port, context, write))
    assert len(acknowledged) > 5 * DEVICES
    assert acknowledged - seen == set(), "%d messages are lost" % len(acknowledged - seen)
    assert gate.log().count("is in force") == SWAPS * 4 // 5 and gate.log().count("reload was refused") == SWAPS // 5
