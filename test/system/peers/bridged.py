"""A program with one bridge, `cloud`, from a mosquitto to whatever stands where the remote broker is."""
import ctypes
import os
import re
import socket
import time
import urllib.request

from .ports import free_port

_libc = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438


class Bridged:
    """`address`: of the remote end. `lines` belong to the section, `more` to the whole program."""

    def __init__(self, gate_of, folder, local_port, address, lines, more="", is_started=True, retry="1"):
        self.metrics_port = free_port()
        self.folder = folder
        self.head = ("backend 127.0.0.1:%d\nqueue_dir %s/queue\nmetrics_listener 127.0.0.1:%d\n%s\nconnection cloud\naddress %s\n"
                     "restart_timeout %s\n" % (local_port, folder, self.metrics_port, more, address, retry))
        self.gate = gate_of(self.head + lines + "\n", is_started=is_started)

    def wait_up(self, count=1):
        self.gate.wait_log(r"connected to the local broker")
        self.gate.wait_log(r"Bridge cloud: connected to the remote broker", count)
        return self

    def metric(self, name, **labels):
        labels = {"bridge": "cloud", **labels}
        text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.metrics_port, timeout=10).read().decode()
        for line in text.splitlines():
            found = re.match(r"drawbridge_bridge_(\w+?)(_total)?\{(.*)\} (\S+)$", line)
            if found and found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[3])) == labels:
                return float(found[4])
        raise AssertionError("no metric %s %s in\n%s" % (name, labels, text))

    def wait_metric(self, name, value, timeout=30, **labels):
        end = time.monotonic() + timeout
        while self.metric(name, **labels) != value:
            assert time.monotonic() < end, "%s %s is %s" % (name, labels, self.metric(name, **labels))
            time.sleep(0.05)

    def socket_to(self, port):
        """The program's own socket with that peer, to be asked for its options."""
        pid = os.pidfd_open(self.gate.pid)
        try:
            for name in os.listdir("/proc/%d/fd" % self.gate.pid):
                fd = _libc.syscall(_PIDFD_GETFD, pid, int(name), 0)
                if fd < 0:
                    continue
                try:
                    one = socket.socket(fileno=fd)
                except OSError:
                    os.close(fd)
                    continue
                try:
                    if one.getpeername()[1] == port:
                        return one
                except (OSError, IndexError):
                    pass
                one.close()
        finally:
            os.close(pid)
        raise AssertionError("the program has no connection to port %d" % port)
