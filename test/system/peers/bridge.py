"""World: a gate with a bridge `cloud` between two brokers, and what its metrics say."""
import re
import time
import urllib.request

from . import packets as mqtt
from .broker import publish
from .faults import FaultProxy
from .ports import free_port


def section(local, remote, folder, lines, more="", restart="restart_timeout 1"):
    """`remote`: a port, or the text behind `address`."""
    address = remote if isinstance(remote, str) else "127.0.0.1:%d" % remote
    return ("backend 127.0.0.1:%d\nqueue_dir %s/queue\n%s\nconnection cloud\naddress %s\n%s\n%s\n" % (
        local, folder, more, address, restart, lines))


class World:
    """`broker_of` and `gate_of` as the fixtures. `remote_at`: where the bridge is to find its remote broker, if not at `remote`."""

    def __init__(self, folder, broker_of, gate_of):
        self.local, self.remote = broker_of("max_queued_messages 0\n"), broker_of("max_queued_messages 0\n")
        self.folder, self.gate_of = folder, gate_of
        self.remote_at, self.gate, self.proxy = None, None, None
        self.metrics = free_port()

    def config(self, lines, more="", restart="restart_timeout 1"):
        more += "\nmetrics_listener 127.0.0.1:%d\n" % self.metrics
        return section(self.local.port, self.remote_at or self.remote.port, self.folder, lines, more, restart)

    def start(self, lines, more="", is_up=True, restart="restart_timeout 1", **options):
        self.gate = self.gate_of(self.config(lines, more, restart), **options)
        if is_up:
            self.wait_up()
        return self

    def break_links(self):
        """From now on the bridge goes through a FaultProxy, which is returned."""
        self.proxy = FaultProxy(free_port(), self.remote.port)
        self.remote_at = self.proxy.port
        return self.proxy

    def stop(self):
        if self.proxy is not None:
            self.proxy.stop()

    def wait_up(self, count=1):
        self.gate.wait_log(r"bridge cloud: connected to the local broker", count)
        self.gate.wait_log(r"bridge cloud: connected to the remote broker", count)

    def wait_local(self, count=1):
        self.gate.wait_log(r"bridge cloud: connected to the local broker", count)

    def feed(self, topic, numbers, qos=1, port=None):
        """Payloads 0, 1, ... in one connection, acknowledged by the local broker when it returns."""
        publish(port or self.local.port, "-t", topic, "-q", qos, "-l", stdin=b"".join(b"%d\n" % number for number in numbers))

    def metric(self, name, **labels):
        labels = {"bridge": "cloud", **labels}
        text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.metrics, timeout=10).read().decode()
        for line in text.splitlines():
            found = re.match(r"drawbridge_bridge_(\w+?)(_total)?\{(.*)\} (\S+)$", line)
            if found and found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[3])) == labels:
                return float(found[4])
        raise AssertionError("no metric %s %s in\n%s" % (name, labels, text))

    def wait_metric(self, name, wanted, timeout=30, **labels):
        """`wanted`: a value, or what judges one."""
        is_good = wanted if callable(wanted) else lambda value: value == wanted
        end = time.monotonic() + timeout
        while not is_good(self.metric(name, **labels)):
            assert time.monotonic() < end, "%s %s is %s\n%s" % (name, labels, self.metric(name, **labels), self.gate.log()[-3000:])
            time.sleep(0.05)

    def wait_end_of(self, side, cause, count=1, timeout=30):
        """Connections of that side that ended so."""
        self.wait_metric("connection_ends", lambda value: value >= count, timeout, side=side, cause=cause)


def wait_until(condition, what, timeout=30):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.02)


def came(backend, topic=None):
    """PUBLISHes on all connections of a RecordingBackend, in order of connection."""
    return [packet for connection in list(backend.connections) for packet in connection.of_kind(mqtt.PUBLISH)
            if topic is None or packet.topic == topic]


def numbers(messages):
    """Of what a Subscriber got."""
    return [int(message[3]) for message in messages]
