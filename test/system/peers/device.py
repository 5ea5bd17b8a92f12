"""Device: a raw socket, plain or TLS, that speaks exactly the bytes it is told to."""
import socket
import ssl
import time

from . import packets as mqtt

WAIT_S = 15


def tls_context(cafile, certfile=None, keyfile=None, minimum=None, maximum=None, ciphers=None):
    context = ssl.create_default_context(cafile=str(cafile)) if cafile else ssl._create_unverified_context()
    if certfile:
        context.load_cert_chain(str(certfile), str(keyfile))
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    return context


class Device:
    """`tls`: an ssl.SSLContext, or None for plain TCP."""

    def __init__(self, port, tls=None, version=4, host="127.0.0.1", server_hostname=None, receive_buffer=None,
                 source=None):
        self.version = version
        self.buffer = b""
        self.was_reset = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(WAIT_S)
        if source:
            self.sock.bind((source, 0))  # all of 127.0.0.0/8 is ours
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            try:
                self.sock = tls.wrap_socket(self.sock, server_hostname=server_hostname or host)
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def kill(self):
        """Gone without a word: TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _receive(self, timeout):
        """More bytes into the buffer; False at the end of the stream."""
        self.sock.settimeout(max(timeout, 0.001))
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True
            return False
        except ssl.SSLEOFError:
            return False
        self.buffer += data
        return bool(data)

    def read_raw(self, timeout=WAIT_S):
        """The next whole packet's bytes; None at the end of the stream."""
        end = time.monotonic() + timeout
        while True:
            size = mqtt.size_of_first(self.buffer)
            if size is not None and len(self.buffer) >= size:
                raw, self.buffer = self.buffer[:size], self.buffer[size:]
                return raw
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no packet came; there is %r" % self.buffer[:64])
            if not self._receive(left):
                return None

    def read(self, timeout=WAIT_S):
        raw = self.read_raw(timeout)
        return None if raw is None else mqtt.Packet(raw, self.version)

    def expect(self, kind, timeout=WAIT_S):
        packet = self.read(timeout)
        assert packet is not None, "the connection ended where a %s should come" % mqtt.NAMES[kind]
        assert packet.kind == kind, "%r came where a %s should" % (packet, mqtt.NAMES[kind])
        return packet

    def read_to_end(self, timeout=WAIT_S):
        """All packets until the program closes; fails when it does not, or when half a packet is left."""
        found = []
        while True:
            packet = self.read(timeout)
            if packet is None:
                assert self.buffer == b"", "half a packet came: %s" % self.buffer[:64].hex(" ")
                return found
            found.append(packet)

    def read_to_end_of_bytes(self, timeout=WAIT_S):
        """Whatever comes until the program closes, be it MQTT or not."""
        end = time.monotonic() + timeout
        while self._receive(end - time.monotonic()):
            assert time.monotonic() < end, "the program does not close"
        return self.buffer

    def is_silent(self, seconds):
        """Nothing comes and nothing ends for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if not self._receive(end - time.monotonic()) or self.buffer:
                    return False
            except (TimeoutError, ssl.SSLWantReadError):
                pass
        return True

    def connect(self, client_id="dev", code=0, **fields):
        """CONNECT and its CONNACK, which must have that code."""
        self.send(mqtt.connect(self.version, client_id, **fields))
        answer = self.expect(mqtt.CONNACK)
        assert answer.reason == code, "the CONNACK has code 0x%02x" % answer.reason
        return answer

    def ping(self):
        """A round trip to the broker."""
        self.send(mqtt.pingreq())
        return self.expect(mqtt.PINGRESP)

    def subscribe(self, *filters, packet_id=1):
        self.send(mqtt.subscribe(self.version, packet_id, filters))
        answer = self.expect(mqtt.SUBACK)
        assert answer.packet_id == packet_id
        return answer.codes

    def publish(self, topic, payload=b"", qos=0, packet_id=1, **fields):
        """Sends and, with a QoS, does the whole exchange; returns the reason of PUBACK, or of PUBREC."""
        self.send(mqtt.publish(self.version, topic, payload, qos, packet_id, **fields))
        if qos == 0:
            return None
        answer = self.expect(mqtt.PUBACK if qos == 1 else mqtt.PUBREC)
        assert answer.packet_id == packet_id
        if qos == 2 and answer.reason < 0x80:
            self.send(mqtt.ack(mqtt.PUBREL, self.version, packet_id))
            assert self.expect(mqtt.PUBCOMP).packet_id == packet_id
        return answer.reason
