"""A bridge whose disk is full, read-only, damaged or in use: it says so, waits, acknowledges nothing that it has not, and goes on."""
import os
import pathlib
import sqlite3
import subprocess

import pytest

from peers.bridge import numbers, wait_until
from peers.broker import publish

OUT = "topic q/# out 2\nnotifications false\n"


@pytest.fixture
def disk(world):
    """A small file system where the queue is to be."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = pathlib.Path(world.folder) / "queue"
    folder.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "none", str(folder)], capture_output=True).returncode != 0:
        pytest.skip("mounting is not possible here")
    yield folder
    if world.gate is not None:
        world.gate.stop()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, left):
    """Leaves so many bytes."""
    state = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - left))


def test_a_full_disk(world, disk, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT)
    world.feed("q/a", range(5), qos=2)
    there.wait(5)
    world.wait_metric("queued", 0, direction="out")
    fill(disk, 2 << 20)
    world.feed("q/a", range(5, 25), qos=2)
    world.wait_metric("queue_trouble", 1)
    world.gate.wait_log(r"queue \S+/cloud\.db: the disk is full; messages wait, and are not acknowledged")
    world.wait_metric("received", lambda value: value >= 20, direction="out")
    assert len(there.messages) == 5 and world.metric("acknowledged", direction="out") == 5
    assert world.metric("remote_up") == 1 and world.metric("local_up") == 1, "the links have nothing to do with it"
    (disk / "filler").unlink()
    assert numbers(there.wait(25)) == list(range(25))
    world.wait_metric("queue_trouble", 0)
    world.gate.wait_log(r"queue \S+/cloud\.db: it is written again")
    assert numbers(there.messages) == list(range(25))


def test_what_a_full_disk_holds_can_be_sent(world, disk, subscriber_of):
    """Rows of before leave it although nothing new can be written."""
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT, is_up=False)
    world.wait_local()
    world.feed("q/a", range(10))
    world.wait_metric("queued", 10, direction="out")
    fill(disk, 1 << 20)
    world.feed("q/a", range(10, 15))
    world.wait_metric("queue_trouble", 1)
    proxy.is_refusing = False
    assert numbers(there.wait(10)) == list(range(10))
    world.wait_metric("queued", 0, direction="out")
    (disk / "filler").unlink()
    assert numbers(there.wait(15)) == list(range(15))


def test_a_disk_that_is_read_only_at_start(world, disk, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    world.start(OUT, is_up=False)
    world.gate.wait_log(r"queue \S+/cloud\.db: it cannot be written; messages wait, and are not acknowledged")
    world.wait_metric("queue_trouble", 1)
    assert world.metric("local_up") == 0 and world.gate.is_alive()
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    world.wait_up()
    world.wait_metric("queue_trouble", 0)
    world.feed("q/a", range(5))
    assert numbers(there.wait(5)) == list(range(5))


def set_aside(world):
    return [path.name for path in (pathlib.Path(world.folder) / "queue").iterdir() if ".corrupt-" in path.name
            and not path.name.endswith(("-wal", "-shm"))]


def test_a_damaged_file_at_start(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    folder = pathlib.Path(world.folder) / "queue"
    folder.mkdir(mode=0o700)
    (folder / "cloud.db").write_bytes(os.urandom(20000))
    world.start(OUT)
    world.gate.wait_log(r"queue \S+/cloud\.db is damaged .*: it is set aside as \S+cloud\.db\.corrupt-\S+, and a new one is begun")
    world.wait_metric("queue_set_aside", 1)
    assert len(set_aside(world)) == 1
    world.feed("q/a", range(5))
    assert numbers(there.wait(5)) == list(range(5))
    world.gate.stop()
    world.start(OUT)
    assert len(set_aside(world)) == 1, "the new one is good"


def test_a_file_that_is_damaged_while_messages_wait(world, subscriber_of):
    """What was in it is lost to the bridge, not to people; what comes then passes."""
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT, is_up=False)
    world.wait_local()
    world.feed("q/a", range(20))
    world.wait_metric("queued", 20, direction="out")
    world.gate.kill()
    path = pathlib.Path(world.folder) / "queue" / "cloud.db"
    sqlite3.connect(path).execute("pragma wal_checkpoint(truncate)").fetchall()
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    world.gate.start()
    world.wait_metric("queue_set_aside", 1)
    proxy.is_refusing = False
    world.wait_local(2)
    world.feed("q/a", range(100, 105))
    assert [number for number in numbers(there.wait(5)) if number >= 100] == list(range(100, 105))


def test_a_file_that_is_damaged_while_it_is_used(world, subscriber_of):
    """More is in it than is in memory, so the damage is met when it is to be sent."""
    proxy = world.break_links()
    proxy.is_refusing = True
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT, is_up=False)
    world.wait_local()
    for _ in range(8):
        publish(world.local.port, "-t", "q/large", "-q", 1, "-s", stdin=bytes(1 << 20))
    world.wait_metric("queued", 8, direction="out")
    path = pathlib.Path(world.folder) / "queue" / "cloud.db"
    for name in (path, pathlib.Path(str(path) + "-wal")):
        if name.exists() and name.stat().st_size > 4096:
            with open(name, "r+b") as file:
                file.seek(4096)
                file.write(os.urandom(name.stat().st_size - 4096))
    proxy.is_refusing = False
    world.wait_metric("queue_set_aside", 1)
    world.wait_metric("queue_trouble", 0)
    world.wait_metric("remote_up", 1)
    world.feed("q/b", range(5), qos=2)
    wait_until(lambda: [message[3] for message in there.messages if message[0] == "q/b"] == [b"%d" % i for i in range(5)],
               "it does not go on")
    assert len(set_aside(world)) == 1


def test_a_second_program_waits_for_the_queue(world, subscriber_of):
    there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.start(OUT + "remote_clientid one")
    other = world.gate_of(world.config(OUT + "remote_clientid two").replace("metrics_listener", "#"))
    other.wait_log(r"queue \S+/cloud\.db: another process has it; messages wait, and are not acknowledged")
    assert "connected to" not in other.log()
    world.gate.stop()
    other.wait_log("connected to the remote broker")
    publish(world.local.port, "-t", "q/a", "-m", "x", "-q", 1)
    there.wait(1)
