"""Many messages while the remote broker is away: they are on the disk and not in memory, and come at their rate when it is back."""
import os
import pathlib
import threading
import time

from peers.bridge import wait_until
from peers.broker import publish
from peers.gate import release_program

COUNT = int(os.environ.get("DRAWBRIDGE_OFFLINE_COUNT", "10000"))
SIZE = 1024
RATE = 2000
FLAT_KIB = 8 * 1024


def feed(world, first, count):
    filler = b"x" * (SIZE - 8)
    publish(world.local.port, "-t", "q/old", "-q", 1, "-l", stdin=b"".join(
        b"%07d %s\n" % (number, filler) for number in range(first, first + count)))


def live_count(there):
    return sum(message[0] == "q/live" for message in list(there.messages))


def test_offline(world, subscriber_of):
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start("topic q/# out 1\nnotifications false\ndrain_rate %d/s" % RATE, is_up=False, binary=release_program())
    world.wait_local()
    feed(world, 0, COUNT // 10)
    world.wait_metric("queued", COUNT // 10, direction="out", timeout=60)
    before = world.gate.anonymous_kib()
    feed(world, COUNT // 10, COUNT - COUNT // 10)
    world.wait_metric("queued", COUNT, direction="out", timeout=120)
    offline = world.gate.anonymous_kib()
    on_disk = sum(path.stat().st_size for path in (pathlib.Path(world.folder) / "queue").iterdir())
    proxy.is_refusing = False
    world.gate.wait_log("connected to the remote broker")
    began = time.monotonic()
    delays = []

    def talk():
        for number in range(10):
            sent = time.monotonic()
            publish(world.local.port, "-t", "q/live", "-m", number, "-q", 1)
            wait_until(lambda due=number + 1: live_count(there) >= due, "a live message waits", 20)
            delays.append(time.monotonic() - sent)
            time.sleep(0.2)

    talker = threading.Thread(target=talk)
    talker.start()
    there.wait(COUNT, timeout=COUNT / RATE * 4 + 60)
    talker.join(60)
    wait_until(lambda: len(there.messages) >= COUNT + 10, "messages are missing")
    took = time.monotonic() - began
    drained = world.gate.anonymous_kib()
    print("%d messages of %d bytes: %d KiB before, %d offline, %d after; %.1f MiB on disk; drained in %.1f s; live messages took %.3f s "
          "at most" % (COUNT, SIZE, before, offline, drained, on_disk / 2**20, took, max(delays)))
    assert [int(message[3][:7]) for message in there.messages if message[0] == "q/old"] == list(range(COUNT))
    assert on_disk >= COUNT * SIZE
    assert offline - before < FLAT_KIB and drained - before < FLAT_KIB
    assert took >= (COUNT - RATE * 2) / RATE, "it is faster than its rate"
    assert len(delays) == 10 and max(delays) < 3
