"""A real mosquitto behind the program, and mosquitto_pub and mosquitto_sub in front of it."""
import os
import pathlib
import re
import subprocess
import threading
import time

from .ports import free_port

WAIT_S = 30
_path = os.environ["PATH"] + ":/usr/sbin:/sbin"


class Broker:
    """mosquitto without TLS on loopback; `extra`: more lines of its configuration."""

    def __init__(self, folder, extra="", port=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.extra = extra
        self.process = None

    def start(self):
        text = "listener %d 127.0.0.1\npersistence false\nlog_dest stderr\nlog_type all\n" % self.port
        text += "set_tcp_nodelay true\n"
        if "allow_anonymous" not in self.extra:
            text += "allow_anonymous true\n"
        if os.geteuid() == 0:
            text += "user root\n"
        (self.folder / "mosquitto.conf").write_text(text + self.extra)
        log = self.folder / "mosquitto.log"
        before = len(self.log()) if log.exists() else 0
        with open(log, "ab") as output:
            self.process = subprocess.Popen(["mosquitto", "-c", str(self.folder / "mosquitto.conf")], stdout=output,
                                            stderr=output, env=dict(os.environ, PATH=_path))
        end = time.monotonic() + WAIT_S
        while " running" not in self.log()[before:]:
            assert self.process.poll() is None and time.monotonic() < end, self.log()[before:]
            time.sleep(0.02)
        return self

    def log(self):
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def stop(self, is_killed=False):
        if self.process is None:
            return
        (self.process.kill if is_killed else self.process.terminate)()
        self.process.wait(WAIT_S)
        self.process = None


def publish(port, *arguments, stdin=None, is_good=True):
    """mosquitto_pub; returns the finished process."""
    done = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), *map(str, arguments)], input=stdin,
                          capture_output=True, timeout=120)
    if is_good:
        assert done.returncode == 0, "mosquitto_pub: %d %s" % (done.returncode, done.stderr.decode())
    return done


class Subscriber:
    """mosquitto_sub; each message is a line `topic|qos|retain|payload in hexadecimal`. Subscribed when made."""

    def __init__(self, port, *arguments, is_awaited=True):
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", str(port), "-F", "MSG|%t|%q|%r|%x"]
        self.process = subprocess.Popen(command + [str(word) for word in arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.messages, self._lines = [], []
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        if is_awaited:
            self._wait(lambda: re.search(r"^Subscribed", self.other, re.M), WAIT_S, "a SUBACK")

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                if line.startswith(b"MSG|"):
                    topic, qos, retain, payload = line.decode().rstrip("\n").split("|")[1:]
                    self.messages.append((topic, int(qos), int(retain), bytes.fromhex(payload)))
                else:
                    self._lines.append(line.decode(errors="replace"))
                self.changed.notify_all()

    @property
    def other(self):
        """What it said besides."""
        return "".join(self._lines)

    def _wait(self, condition, timeout, what):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "mosquitto_sub waits for %s: %s" % (what, self.other[-4000:])

    def wait(self, count, timeout=60):
        """That many messages, which are returned; the rest is not looked at."""
        self._wait(lambda: len(self.messages) >= count, timeout, "message %d of %d" % (len(self.messages) + 1, count))
        return self.messages[:count]

    def wait_end(self, timeout=WAIT_S):
        return self.process.wait(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait(WAIT_S)

    def stop(self):
        """SIGINT: mosquitto_sub says DISCONNECT and ends."""
        if self.process.poll() is None:
            self.process.send_signal(2)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
