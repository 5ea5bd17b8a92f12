"""Free ports, below the range that the kernel gives to outgoing connections."""
import random
import socket

_given = set()


def free_port():
    while True:
        port = random.randrange(12000, 31000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
