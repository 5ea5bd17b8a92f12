"""RecordingBackend: stands where the broker stands, keeps every byte that reached it, and answers as it is told."""
import socket
import threading
import time

from . import packets as mqtt

WAIT_S = 15


class Connection:
    """One connection of the program. `received` grows; `is_closed` is set at the end of the stream."""

    def __init__(self, backend, sock):
        self.backend, self.sock = backend, sock
        self.received = bytearray()
        self.is_closed = threading.Event()
        self.changed = threading.Condition()
        self.version = 4
        self._seen = 0

    def packets(self):
        """Every whole packet so far, taken apart."""
        return [mqtt.Packet(raw, self.version) for raw in mqtt.split(bytes(self.received))[0]]

    def of_kind(self, kind):
        return [packet for packet in self.packets() if packet.kind == kind]

    def behind_connect(self):
        """The bytes behind the CONNECT."""
        data = bytes(self.received)
        whole, _ = mqtt.split(data)
        return data[len(whole[0]):] if whole else data

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def wait(self, condition, timeout=WAIT_S, what="a condition"):
        end = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = end - time.monotonic()
                assert left > 0, "the backend waits for %s; it has %s" % (what, bytes(self.received)[:400].hex(" "))
                self.changed.wait(left)

    def wait_closed(self, timeout=WAIT_S):
        assert self.is_closed.wait(timeout), "the program did not close its connection to the broker"

    def wait_packet(self, kind, count=1, timeout=WAIT_S):
        """The newest packet of that kind, when there are at least `count`."""
        self.wait(lambda: len(self.of_kind(kind)) >= count, timeout, mqtt.NAMES[kind])
        return self.of_kind(kind)[-1]

    def _new_packets(self):
        whole, _ = mqtt.split(memoryview(self.received)[self._seen:].tobytes())
        for raw in whole:
            self._seen += len(raw)
            yield raw

    def _run(self):
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    break
                with self.changed:
                    self.received += data
                    self.changed.notify_all()
                for raw in self._new_packets():
                    if raw[0] >> 4 == mqtt.CONNECT:
                        self.version = mqtt.Packet(raw, 4).version
                    self.backend.answer(self, raw)
        except (OSError, ValueError):
            pass
        self.close()
        self.is_closed.set()
        with self.changed:
            self.changed.notify_all()


class RecordingBackend:
    """`script`: called with (connection, raw packet) for each whole packet; returns bytes to send, or None for
    what a polite broker answers, or b"" for silence. May be changed at any time."""

    def __init__(self, port, script=None, receive_buffer=None):
        self.script = script
        self.connack_props = ()
        self.connections = []
        self.changed = threading.Condition()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock)
            with self.changed:
                self.connections.append(connection)
                self.changed.notify_all()
            threading.Thread(target=connection._run, daemon=True).start()

    def answer(self, connection, raw):
        reply = self.script(connection, raw) if self.script else None
        if reply is None:
            reply = self.polite(connection, raw)
        if reply:
            connection.send(reply)

    def polite(self, connection, raw):
        version = connection.version
        packet = mqtt.Packet(raw, version)
        if packet.kind == mqtt.CONNECT:
            return mqtt.connack(version, props=self.connack_props if version == 5 else ())
        if packet.kind == mqtt.PUBLISH and packet.qos:
            return mqtt.ack(mqtt.PUBACK if packet.qos == 1 else mqtt.PUBREC, version, packet.packet_id)
        if packet.kind == mqtt.PUBREC:
            return mqtt.ack(mqtt.PUBREL, version, packet.packet_id)
        if packet.kind == mqtt.PUBREL:
            return mqtt.ack(mqtt.PUBCOMP, version, packet.packet_id)
        if packet.kind == mqtt.SUBSCRIBE:
            return mqtt.suback(version, packet.packet_id, [options & 3 for _, options in packet.filters])
        if packet.kind == mqtt.UNSUBSCRIBE:
            return mqtt.unsuback(version, packet.packet_id, len(packet.filters))
        if packet.kind == mqtt.PINGREQ:
            return mqtt.pingresp()
        return b""

    def count(self):
        return len(self.connections)

    def wait_connection(self, index=0, timeout=WAIT_S):
        """The connection of that number; -1: the newest (there must be one)."""
        wanted = index + 1 if index >= 0 else 1
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.connections) >= wanted, timeout), \
                "the program did not dial the broker"
        return self.connections[index]

    def stop(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()
