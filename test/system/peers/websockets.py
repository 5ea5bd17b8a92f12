"""A WebSocket server of our own in front of a broker: it shakes hands as told, keeps what it was asked and the frames that came, and
passes binary frames on."""
import base64
import contextlib
import hashlib
import socket
import struct
import threading

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode, payload, is_final=True):
    head = bytes([(0x80 if is_final else 0) | opcode])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    return head + (bytes([126]) + struct.pack(">H", size) if size < 65536 else bytes([127]) + struct.pack(">Q", size)) + payload


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


class WebSocketServer:
    """`answer`: called with the request's head, returns bytes to say instead of the usual answer. `front`: frames sent before
    anything of the broker. `piece`: so many bytes of the broker go into each frame, the later ones as continuations. `tls`: an
    ssl context."""

    def __init__(self, broker_port, answer=None, front=b"", piece=None, tls=None):
        self.broker_port, self.answer, self.front, self.piece, self.tls = broker_port, answer, front, piece, tls
        self.heads, self.frames, self.sockets, self.names = [], [], [], []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _note(self, where, what):
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def wait(self, condition, timeout=20):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), (self.heads, self.frames)

    def wait_frame(self, opcode, count=1):
        self.wait(lambda: len([one for one in self.frames if one[0] == opcode]) >= count)
        return [payload for kind, payload in self.frames if kind == opcode][count - 1]

    def _serve(self, sock):
        with contextlib.suppress(OSError, EOFError):
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with sock:
                self._talk(sock)

    def _talk(self, sock):
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                return
            head += data
        head, rest = head.split(b"\r\n\r\n", 1)
        self._note(self.heads, head)
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        said = self.answer(fields) if self.answer else None
        if said is None:
            said = (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n"
                    b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" % accept_of(fields[b"Sec-WebSocket-Key"]))
        sock.sendall(said + self.front)
        with socket.create_connection(("127.0.0.1", self.broker_port)) as broker:
            self._note(self.sockets, sock)
            threading.Thread(target=self._pump, args=(broker, sock), daemon=True).start()
            try:
                self._read(sock, rest, broker)
            finally:
                broker.shutdown(socket.SHUT_RDWR)

    def _read(self, sock, data, broker):
        def take(size):
            nonlocal data
            while len(data) < size:
                more = sock.recv(65536)
                if not more:
                    raise EOFError
                data += more
            part, data = data[:size], data[size:]
            return part

        while True:
            first, second = take(2)
            assert first & 0x80 and second & 0x80, "a frame that is not whole or not masked"
            size = second & 0x7f
            if size == 126:
                size, = struct.unpack(">H", take(2))
            elif size == 127:
                size, = struct.unpack(">Q", take(8))
            mask = take(4)
            masked = take(size)
            key = (mask * (size // 4 + 1))[:size]
            payload = (int.from_bytes(masked, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
            self._note(self.frames, (first & 15, payload))
            if first & 15 == BINARY:
                broker.sendall(payload)
            if first & 15 == CLOSE:
                return

    def _pump(self, broker, sock):
        with contextlib.suppress(OSError):
            while data := broker.recv(65536):
                if not self.piece:
                    sock.sendall(frame(BINARY, data))
                    continue
                pieces = [data[i:i + self.piece] for i in range(0, len(data), self.piece)]
                for i, piece in enumerate(pieces):
                    sock.sendall(frame(0 if i else BINARY, piece, i == len(pieces) - 1))
                    if i % 3 == 1:
                        sock.sendall(frame(PING, b"between"))

    def stop(self):
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
