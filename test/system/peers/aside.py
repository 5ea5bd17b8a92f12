"""Aside: a worker's second thread, which takes handshakes while somebody is connected who stays."""
import os
import pathlib
import re
import time

from .device import Device

WAIT_S = 15


def runs(gate):
    """How often the thread has gone to sleep; 0 while there is none."""
    for task in pathlib.Path("/proc/%d/task" % gate.pid).iterdir():
        if (task / "comm").read_text() == "handshakes\n":
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M).group(1))
    return 0


def nice_of(gate):
    """How much nicer the thread is than the program."""
    for task in pathlib.Path("/proc/%d/task" % gate.pid).iterdir():
        if (task / "comm").read_text() == "handshakes\n":
            return os.getpriority(os.PRIO_PROCESS, int(task.name)) - os.getpriority(os.PRIO_PROCESS, gate.pid)
    raise AssertionError("there is no such thread")


def wait_run(gate, before):
    end = time.monotonic() + WAIT_S
    while runs(gate) <= before:
        assert time.monotonic() < end, "no handshake was taken aside"
        time.sleep(0.02)


class Staying:
    """A device that is connected until the end of the block, on a program of one worker. In the block all handshakes with devices are
    taken aside. `port`: of a plain listener."""

    def __init__(self, gate, port, hello):
        self.device = Device(port)
        self.device.connect("staying")
        end = time.monotonic() + WAIT_S
        while not runs(gate):
            assert time.monotonic() < end, "no handshake was taken aside"
            hello()
            time.sleep(0.1)

    def __enter__(self):
        return self.device

    def __exit__(self, *_):
        self.device.close()
