"""Gate: the program under test, with its configuration in a folder of its own."""
import os
import pathlib
import re
import resource
import signal
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
WAIT_S = 30
TROUBLE = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|runtime error|Assertion .* failed")


def program(name="DRAWBRIDGE", default="build/asan/drawbridge"):
    path = REPOSITORY / os.environ.get(name, default)
    assert path.exists(), "%s does not exist; build it first" % path
    return str(path)


def release_program():
    """Memory is measured without the checks of the compiler."""
    return program("DRAWBRIDGE_RELEASE", "build/drawbridge")


def environment():
    given = dict(os.environ)
    given.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
    given.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:exitcode=99")
    given.setdefault("TSAN_OPTIONS", "exitcode=99")
    return given


def run(*arguments, binary=None, **options):
    """The program as a command; returns the finished process with its texts."""
    options.setdefault("timeout", 60)
    done = subprocess.run([binary or program(), *map(str, arguments)], capture_output=True, text=True,
                          env=environment(), **options)
    assert not TROUBLE.search(done.stderr), done.stderr
    return done


class Gate:
    """`config` is the text of the configuration file. Lines that every test wants are put in front unless it
    has its own: `user root` for root, two workers."""

    def __init__(self, folder, config, binary=None, files=None, arguments=(), identity=None):
        """`files`: the limit of descriptors. `identity`: user, group and extra_groups of subprocess.Popen."""
        self.folder = pathlib.Path(folder)
        self.path = self.folder / "drawbridge.conf"
        self.log_path = self.folder / "drawbridge.log"
        self.binary = binary or program()
        self.files = files
        self.identity = identity or {}
        self.arguments = list(arguments)
        self.process = None
        self.status = None
        self.starts = 0
        self.write(config)

    def write(self, config):
        front = ""
        if os.geteuid() == 0 and not re.search(r"^user ", config, re.M):
            front += "user root\n"
        if not re.search(r"^workers ", config, re.M):
            front += "workers 2\n"
        # Lines of the whole program stand at the end, where no line number of the test's own moves.
        self.path.write_text(config.rstrip("\n") + "\n" + front)

    def start(self, is_ready_awaited=True):
        def limit():
            if self.files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.binary, "-c", str(self.path), *self.arguments], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=environment(), preexec_fn=limit, **self.identity)
        self.starts += 1
        if is_ready_awaited:
            self.wait_log(r"\bready\b", self.starts)
        return self

    def kill(self):
        """SIGKILL; start() begins anew, with the same log."""
        self.process.kill()
        self.process.wait(WAIT_S)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def is_alive(self):
        return self.process.poll() is None

    def wait_log(self, pattern, count=1, timeout=WAIT_S):
        """Waits until that many matches are in the log; returns the last one."""
        end = time.monotonic() + timeout
        while True:
            is_alive = self.is_alive()
            found = list(re.finditer(pattern, self.log(), re.M | re.I))
            if len(found) >= count:
                return found[-1]
            assert is_alive, "the program has ended with status %s:\n%s" % (self.process.returncode, self.log())
            assert time.monotonic() < end, "no %r in the log:\n%s" % (pattern, self.log())
            time.sleep(0.02)

    def reload(self, config=None):
        """SIGHUP, perhaps with a new configuration; returns what the log says from then on."""
        if config is not None:
            self.write(config)
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + WAIT_S
        while not re.search(r"is in force|reload was refused", self.log()[before:]):
            assert time.monotonic() < end and self.is_alive(), "no word of a reload:\n" + self.log()
            time.sleep(0.02)
        time.sleep(0.1)  # the workers take it on
        return self.log()[before:]

    def stop(self):
        """SIGTERM; the end must be clean. May be called twice."""
        if self.process is None or self.status is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.status = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.status = self.process.wait()
            raise AssertionError("the program does not end at SIGTERM:\n" + self.log()[-4000:]) from None
        log = self.log()
        trouble = TROUBLE.search(log)
        assert not trouble, "the checks of the compiler found something:\n" + log[trouble.start():][:6000]
        assert self.status == 0, "the program ended with status %d:\n%s" % (self.status, log[-4000:])

    def wait_end(self, timeout=WAIT_S):
        """For a program that must end by itself."""
        self.status = self.process.wait(timeout)
        assert not TROUBLE.search(self.log()), self.log()[-6000:]
        return self.status

    def proc(self, name):
        return pathlib.Path("/proc/%d/%s" % (self.pid, name)).read_text()

    def memory_kib(self, field="VmRSS"):
        """VmRSS now, VmHWM the most so far."""
        return int(re.search(r"^%s:\s+(\d+) kB" % field, self.proc("status"), re.M).group(1))

    def anonymous_kib(self):
        return int(re.search(r"^Anonymous:\s+(\d+) kB", self.proc("smaps_rollup"), re.M).group(1))

    def cpu_s(self):
        fields = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptor_count(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))
