"""Counters: what the metrics listener tells."""
import re
import socket
import time

WAIT_S = 15


def counters(port):
    """name with labels -> number, as they stand in the text."""
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while True:
            data = sock.recv(65536)
            if not data:
                break
            answer += data
    return {name: float(number) for name, number in re.findall(r"^drawbridge_(\S+) (\S+)$", answer.decode(), re.M)}


def wait_counter(port, name, wanted):
    """A peer may see its bytes before the worker has counted them: looks again until the number is there."""
    end = time.monotonic() + WAIT_S
    while True:
        found = counters(port)[name]
        if found == wanted:
            return
        assert time.monotonic() < end, "%s is %d and does not become %d" % (name, found, wanted)
        time.sleep(0.02)
