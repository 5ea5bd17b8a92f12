"""Free ports, below the range that the kernel gives to outgoing connections. Test runs beside each other keep out of each other's way: each
process locks blocks of ports for as long as it lives."""
import fcntl
import os
import pathlib
import random
import socket
import tempfile

FIRST, SIZE, COUNT = 12000, 100, 190
MOST = 8  # blocks for one process; then it begins anew with its first
_folder = pathlib.Path(tempfile.gettempdir()) / ("drawbridge-test-ports-%d" % os.getuid())
_locks, _ports, _next = [], [], 0


def _take_block():
    _folder.mkdir(mode=0o700, exist_ok=True)
    for block in random.sample(range(COUNT), COUNT):
        lock = open(_folder / str(block), "w", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        _ports.extend(range(FIRST + block * SIZE, FIRST + (block + 1) * SIZE))
        return
    assert _ports, "no ports are left: %s" % _folder


def free_port():
    global _next
    while True:
        if _next == len(_ports):
            if len(_locks) < MOST:
                _take_block()
            else:
                _next = 0
        port = _ports[_next]
        _next += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
