"""A TCP proxy that breaks: cut (FIN), reset (RST), silent (takes everything, passes nothing), refuse (accepts and closes), half (one
direction alone), delay."""
import select
import socket
import struct
import threading
import time


class FaultProxy:
    """Passes connections on `port` to `target`; all faults can be set and taken back while it runs."""

    def __init__(self, port, target, host="127.0.0.1"):
        self.port, self.target, self.host = port, target, host
        self.is_refusing = False
        self.silent = set()  # "up" (to the target), "down"
        self.delay_s = 0.0
        self.accepted = 0
        self.passed = {"up": 0, "down": 0}
        self._pairs, self._lock, self._is_ended = set(), threading.Lock(), False
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind((host, port))
        self._server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self._is_ended:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            if self.is_refusing:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            target = socket.create_connection((self.host, self.target), 5)
        except OSError:
            client.close()
            return
        for one in (client, target):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, target)
        with self._lock:
            self._pairs.add(pair)
        try:
            while True:
                ready, _, _ = select.select(pair, [], [], 0.5)
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    way = "up" if one is client else "down"
                    if self.delay_s:
                        time.sleep(self.delay_s)
                    if way not in self.silent:
                        self.passed[way] += len(data)
                        (target if one is client else client).sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._pairs.discard(pair)
            for one in pair:
                one.close()

    def count(self):
        with self._lock:
            return len(self._pairs)

    def cut(self, is_reset=False):
        """Ends all connections of now."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for one in pair:
                try:
                    if is_reset:
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self):
        self._is_ended = True
        try:
            self._server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._server.close()
        self.cut()
