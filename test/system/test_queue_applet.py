"""drawbridge queue: what operators see of a bridge's queue, beside python's own SQLite."""
import base64
import contextlib
import fcntl
import json
import os
import re
import sqlite3
import time

import pytest

from peers.claims import REPOSITORY
from peers.gate import run

TOPIC = 'house/"door"\\\n\u00e9'


def schema():
    """As the program writes it, with what marks the file as ours."""
    text = (REPOSITORY / "proxy/bridge/store.c").read_text(encoding="utf-8")
    piece = re.search(r"static const char schema\[\] =(.*?\");", text, re.S).group(1)
    mark = int(re.search(r"APPLICATION_ID\s+(0x[0-9a-f]+)", text).group(1), 16)
    version = int(re.search(r"SCHEMA_VERSION\s+(\d+)", text).group(1))
    return "".join(re.findall(r'"(.*?)"', piece)) + "PRAGMA application_id = %d; PRAGMA user_version = %d;" % (mark, version)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "queues"
    place.mkdir(mode=0o700)
    return place


def make(folder, name="cloud"):
    """The file, and a connection to it that stays open, as a bridge's."""
    base = sqlite3.connect(folder / (name + ".db"), isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.executescript(schema())
    return base


def put(base, number, topic=b"t", payload=b"p", lane=0, came=None, expires=0, rank=0, props=b"", qos=1, retain=0):
    came = int(time.time()) if came is None else came
    base.execute("INSERT INTO message(number, lane, state, rank, qos, retain, came_s, expires_s, size, topic, props, payload)"
                 " VALUES(?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                 (number, lane, rank, qos, retain, came, expires, len(topic) + len(props) + len(payload), topic, props, payload))


def bury(base, number, topic, payload, died, reason):
    base.execute("INSERT INTO dead VALUES(?, 0, 0, 1, 0, 5, 0, ?, ?, x'', ?, ?, ?)",
                 (number, len(topic) + len(payload), topic, payload, died, reason))


@contextlib.contextmanager
def owned(folder, name="cloud"):
    """As a running bridge holds it."""
    with open(folder / (name + ".db-lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        yield


def queue(folder, verb, *words, status=0, **options):
    done = run("queue", verb, "--dir", folder, *words, **options)
    assert done.returncode == status, done
    assert re.sub(r"Delete .*\? \[y/N\] ", "", done.stderr) == "" if status == 0 else done.stderr
    return done


def test_inspect(folder):
    base = make(folder)
    now = int(time.time())
    put(base, 1, came=now - 2 * 86400 - 3 * 3600 - 60, payload=b"x" * 99)
    put(base, 2)
    put(base, 3, lane=1, came=now - 7200)
    for number in range(4, 9):
        bury(base, number, b"bad\x1b[2J/%d" % number, b"xyz", now - 90, "the remote closed the connection")
    make(folder, "other")
    with owned(folder):
        said = queue(folder, "inspect").stdout
    assert [line for line in said.splitlines() if not line.startswith(" ")] == ["cloud", "other"]
    cloud, other = said.split("other\n")
    assert re.search(r"file +%s/cloud.db, %d bytes, its journal \d+" % (folder, os.stat(folder / "cloud.db").st_size), cloud)
    assert re.search(r"out +2 messages, 102 bytes, the oldest 2d 3h\n", cloud)
    assert re.search(r"in +1 messages, 2 bytes, the oldest 2h 0m\n", cloud)
    assert re.search(r"dead +5 messages\n", cloud)
    dead = re.findall(r"^ +(bad\S+), 3 bytes, 1m 3\ds ago: the remote closed the connection$", cloud, re.M)
    assert dead == ["bad\\x1B[2J/%d" % number for number in (8, 7, 6)]
    assert re.search(r"out +0 messages, 0 bytes\n", other)
    assert queue(folder, "inspect", "other").stdout == "other\n" + other


def test_nothing_to_inspect(folder):
    assert queue(folder, "inspect").stdout == "no queue in %s\n" % folder
    assert "No such file" in queue(folder / "none", "inspect", status=1).stderr
    assert "cannot read %s/cloud.db" % folder in queue(folder, "inspect", "cloud", status=1).stderr
    assert os.listdir(folder) == []


def test_export(folder):
    """While the bridge writes: each line is JSON, and every row that was there at the start is in it once."""
    base = make(folder)
    put(base, 1, TOPIC.encode(), bytes(range(256)) * 40, rank=-5, qos=2, retain=1, came=1000, expires=2000, props=b"\x26\x00\x01k\x00\x01v")
    put(base, 2, b"not\xff\xfeutf8", b"", lane=1, came=7)
    for number in range(3, 503):
        put(base, number, b"t", b"%d" % number)
    with owned(folder):
        lines = [json.loads(line) for line in queue(folder, "export", "cloud").stdout.splitlines()]
        put(base, 600)
    first = dict(lines[0])
    assert base64.b64decode(first.pop("payload"), validate=True) == bytes(range(256)) * 40
    assert base64.b64decode(first.pop("properties"), validate=True) == b"\x26\x00\x01k\x00\x01v"
    assert first == {"number": 1, "lane": "out", "topic": TOPIC, "qos": 2, "retain": True, "priority": 5, "came": 1000, "expires": 2000}
    assert lines[1] == {"number": 2, "lane": "in", "topic": "not\ufffd\ufffdutf8", "qos": 1, "retain": False, "priority": 0, "came": 7,
                        "expires": None, "payload": ""}
    assert [line["number"] for line in lines] == list(range(1, 503))
    assert all(base64.b64decode(line["payload"]) == b"%d" % line["number"] for line in lines[2:])


def test_export_dead(folder):
    base = make(folder)
    put(base, 9)
    bury(base, 4, b"a/b", b"xyz", 77, 'it said "no"')
    lines = queue(folder, "export", "--dead", "cloud").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"number": 4, "lane": "out", "topic": "a/b", "qos": 1, "retain": False, "priority": 0, "came": 5, "expires": None, "died": 77,
         "reason": 'it said "no"', "payload": base64.b64encode(b"xyz").decode()}]


def test_export_of_a_damaged_file(folder):
    """By its path, as far as it can be read; the status says that it is not all."""
    base = make(folder)
    for number in range(1, 301):
        put(base, number, payload=b"p" * 1000)
    base.close()
    size = os.stat(folder / "cloud.db").st_size
    with open(folder / "cloud.db", "r+b") as file:
        file.seek(size - 20 * 4096)
        file.write(b"\xa5" * 8192)
    done = queue(folder, "export", folder / "cloud.db", status=1)
    numbers = [json.loads(line)["number"] for line in done.stdout.splitlines()]
    assert "cannot read all of" in done.stderr
    assert len(numbers) > 100 and numbers == list(range(1, len(numbers) + 1))


def count(base, table="message"):
    return base.execute("SELECT count(*) FROM %s" % table).fetchone()[0]


def test_purge(folder):
    base = make(folder)
    for number in range(1, 4):
        put(base, number)
    bury(base, 8, b"t", b"p", 1, "no")
    with owned(folder):
        words = queue(folder, "purge", "--yes", "cloud", status=1).stderr
    assert "in use by another drawbridge (process 4711)" in words
    assert "nothing was deleted" in queue(folder, "purge", "cloud", input="n\n", status=1).stderr
    assert "nothing was deleted" in queue(folder, "purge", "cloud", input="", status=1).stderr
    assert (count(base), count(base, "dead")) == (3, 1)
    assert queue(folder, "purge", "--dead", "--yes", "cloud").stdout == "1 dead letters deleted\n"
    assert (count(base), count(base, "dead")) == (3, 0)
    done = queue(folder, "purge", "cloud", input="y\n")
    assert done.stdout == "3 messages deleted\n" and "Delete 3 messages of" in done.stderr
    assert count(base) == 0
    assert "No such file" in queue(folder, "purge", "--yes", "none", status=1).stderr
    assert not (folder / "none.db").exists()


def test_wrong_questions(folder):
    assert "Usage:" in run("queue", "--help").stdout
    assert run("queue").returncode == 1
    assert "inspect, export or purge" in queue(folder, "eat", "x", status=1).stderr
    assert "NAME is missing" in queue(folder, "export", status=1).stderr
    assert "NAME is missing" in queue(folder, "purge", "--yes", status=1).stderr
    assert "one NAME" in queue(folder, "export", "a", "b", status=1).stderr
    assert "--help" in queue(folder, "inspect", "--whatever", status=1).stderr
