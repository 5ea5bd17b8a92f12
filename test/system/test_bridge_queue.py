"""What the queue keeps, what it drops, and in which order and how fast it is sent."""
import sqlite3
import time

import pytest

from peers import packets as mqtt
from peers.bridge import numbers, wait_until
from peers.broker import publish

OUT = "topic q/# out 2\nnotifications false\n"
SIZE = 1000


@pytest.fixture
def offline(world, subscriber_of):
    """offline(lines, more): the bridge with its remote broker away; `.proxy.is_refusing = False` lets it come; `.there` listens."""
    def start(lines="", more="", **options):
        world.proxy.is_refusing = True
        world.start(OUT + lines, more, is_up=False, **options)
        world.wait_local()
        return world

    world.break_links()
    world.there = subscriber_of(world.remote.port, "-t", "q/#", "-q", 2)
    world.begin = start
    return world


def feed_large(world, topic, numbers_, qos=1):
    publish(world.local.port, "-t", topic, "-q", qos, "-l",
            stdin=b"".join(b"%d %s\n" % (number, b"x" * SIZE) for number in numbers_))


def come_back(world):
    world.proxy.is_refusing = False
    world.gate.wait_log("connected to the remote broker")
    world.wait_metric("queued", 0, direction="out")
    time.sleep(0.2)
    return [int(message[3].split()[0]) for message in world.there.messages]


def test_drop_oldest(offline):
    offline.begin("queue_max_bytes 20k\nqueue_overflow drop_oldest")
    feed_large(offline, "q/a", range(50))
    offline.wait_metric("received", 50, direction="out")
    offline.wait_metric("queued_bytes", lambda value: 0 < value <= 20 * 1024, direction="out")
    dropped = int(offline.metric("dropped_overflow", direction="out"))
    assert dropped >= 30
    assert come_back(offline) == list(range(dropped, 50))


def test_drop_newest(offline):
    offline.begin("queue_max_bytes 20k\nqueue_overflow drop_newest")
    feed_large(offline, "q/a", range(50))
    offline.wait_metric("received", 50, direction="out")
    offline.wait_metric("dropped_overflow", lambda value: value >= 30, direction="out")
    kept = int(offline.metric("queued", direction="out"))
    assert kept + offline.metric("dropped_overflow", direction="out") == 50
    assert come_back(offline) == list(range(kept))


def test_stop_reading(offline):
    """What is not taken stays with the local broker, and comes when there is room."""
    offline.begin("queue_max_bytes 20k\nqueue_overflow stop_reading")
    feed_large(offline, "q/a", range(50))
    offline.wait_metric("queued", lambda value: value >= 15, direction="out")
    time.sleep(0.5)
    assert offline.metric("queued", direction="out") < 40 and offline.metric("dropped_overflow", direction="out") == 0
    assert come_back(offline) == list(range(50))


def test_max_queued_messages(offline):
    offline.begin("", "max_queued_messages 10\n")
    offline.feed("q/a", range(25))
    offline.wait_metric("dropped_overflow", 15, direction="out")
    offline.wait_metric("queued", 10, direction="out")
    assert come_back(offline) == list(range(15, 25))


def test_queue_max_age(offline):
    offline.begin("queue_max_age 2s")
    offline.feed("q/a", range(5))
    offline.wait_metric("queued", 5, direction="out")
    offline.wait_metric("dropped_aged", 5, direction="out")
    assert offline.metric("queued", direction="out") == 0
    offline.feed("q/a", range(5, 8))
    assert come_back(offline) == [5, 6, 7]


def test_message_expiry(offline, device_of):
    """It runs on in the queue: what is left of it is what the remote broker gets, and who is too late is not sent."""
    offline.begin("bridge_protocol_version mqttv50")
    writer = device_of(offline.local.port, version=5)
    writer.connect("writer")
    writer.publish("q/long", b"1", qos=1, props=[(0x02, 1000)])
    writer.publish("q/short", b"2", qos=1, props=[(0x02, 2)])
    writer.publish("q/none", b"3", qos=1)
    reader = device_of(offline.remote.port, version=5)
    reader.connect("reader")
    reader.subscribe(("q/#", 1))
    offline.wait_metric("queued", 3, direction="out")
    offline.wait_metric("dropped_aged", 1, direction="out")
    offline.proxy.is_refusing = False
    first, second = (reader.expect(mqtt.PUBLISH) for _ in range(2))
    assert (first.topic, second.topic) == ("q/long", "q/none")
    assert 900 <= first.prop(0x02) <= 998 and second.prop(0x02) is None
    assert reader.is_silent(0.3)


def test_newest_first(offline):
    offline.begin("queue_order newest_first", "max_inflight_messages 1\n")
    offline.feed("q/a", range(600))
    offline.wait_metric("queued", 600, direction="out")
    assert come_back(offline) == list(range(599, -1, -1))


def test_priority(offline):
    offline.begin("queue_priority q/alarm/# 10\nqueue_priority q/debug/# -5", "max_inflight_messages 1\n")
    for number in range(10):
        for level, topic in enumerate(("q/debug/a", "q/a", "q/alarm/a")):
            publish(offline.local.port, "-t", topic, "-m", level * 100 + number, "-q", 1)
    offline.wait_metric("queued", 30, direction="out")
    assert come_back(offline) == [level * 100 + number for level in (2, 1, 0) for number in range(10)]


def test_overflow_spares_priority(offline):
    offline.begin("queue_priority q/alarm/# 10", "max_queued_messages 10\n")
    offline.feed("q/alarm/a", range(5))
    offline.feed("q/a", range(100, 120))
    offline.wait_metric("dropped_overflow", 15, direction="out")
    assert come_back(offline) == list(range(5)) + list(range(115, 120))


@pytest.mark.parametrize("lines, seconds", [("drain_rate 20/s", 3), ("drain_bytes_rate 20k/s", 3)])
def test_drain_rate(offline, lines, seconds):
    """The backlog comes at its rate; what is published meanwhile passes it by."""
    offline.begin(lines)
    feed_large(offline, "q/old", range(200))
    offline.wait_metric("queued", 200, direction="out")
    offline.proxy.is_refusing = False
    offline.gate.wait_log("connected to the remote broker")
    began = time.monotonic()
    for number in range(5):
        publish(offline.local.port, "-t", "q/live", "-m", number, "-q", 1)
        offline.there.wait(1)
    wait_until(lambda: sum(message[0] == "q/live" for message in offline.there.messages) == 5, "live messages wait", 5)
    live_s = time.monotonic() - began
    time.sleep(max(0, seconds - live_s))
    elapsed = time.monotonic() - began
    old = [message for message in offline.there.messages if message[0] == "q/old"]
    assert live_s < 3
    assert 20 <= len(old) <= 20 * (elapsed + 3), "%d in %.1f s" % (len(old), elapsed)
    assert [int(message[3].split()[0]) for message in old] == list(range(len(old)))


def test_relaxed(offline):
    """It is on the disk all the same when the program is killed."""
    offline.begin("durability relaxed")
    offline.feed("q/a", range(50))
    offline.wait_metric("queued", 50, direction="out")
    offline.gate.kill()
    offline.gate.start()
    assert come_back(offline) == list(range(50))
    seen = sqlite3.connect("file:%s/queue/cloud.db?mode=ro" % offline.folder, uri=True).execute("select count(*) from message")
    assert seen.fetchone() == (0,)


def test_a_kill_in_the_middle_of_sending(offline):
    """QoS 2 comes once, whatever was on its way."""
    offline.begin()
    offline.feed("q/a", range(300), qos=2)
    offline.wait_metric("queued", 300, direction="out")
    offline.proxy.delay_s = 0.02
    offline.proxy.is_refusing = False
    offline.there.wait(20)
    offline.gate.kill()
    offline.proxy.delay_s = 0
    offline.gate.start()
    offline.there.wait(300)
    offline.wait_metric("queued", 0, direction="out")
    time.sleep(0.2)
    assert numbers(offline.there.messages) == list(range(300))
