"""Messages that could go round for ever do not."""
import time

from peers.bridge import section
from peers.broker import publish
from peers.gate import run


def watch(subscriber_of, *brokers):
    return [subscriber_of(broker.port, "-t", "l/#", "-q", 2) for broker in brokers]


def send_and_count(world, seen):
    """10 of each QoS on each side: each arrives once on each side."""
    for number in range(15):
        publish(world.local.port, "-t", "l/up/%d" % number, "-m", "up", "-q", number % 3)
        publish(world.remote.port, "-t", "l/down/%d" % number, "-m", "down", "-q", number % 3)
    for side in seen:
        side.wait(30)
    time.sleep(1)
    for side in seen:
        assert sorted(message[0] for message in side.messages) == sorted(
            "l/%s/%d" % (way, number) for way in ("up", "down") for number in range(15))


def test_our_own_guard(world, subscriber_of):
    """MQTT 3.1.1 without mosquitto's bit on the remote side: No Local is not there, and what comes back is left out."""
    seen = watch(subscriber_of, world.local, world.remote)
    world.start("topic l/# both 2\ntry_private false\nnotifications false")
    send_and_count(world, seen)
    world.wait_metric("echoes", lambda value: value >= 15, direction="in")
    assert world.metric("echoes", direction="out") == 0, "the local broker has No Local"


def test_the_guard_forgets_what_it_left_out(world, subscriber_of):
    """The same message, published again on the remote side by somebody else, is no echo."""
    here = subscriber_of(world.local.port, "-t", "l/#", "-q", 2)
    world.start("topic l/# both 1\ntry_private false\nnotifications false")
    publish(world.local.port, "-t", "l/a", "-m", "same", "-q", 1)
    world.wait_metric("echoes", 1, direction="in")
    publish(world.remote.port, "-t", "l/a", "-m", "same", "-q", 1)
    assert len(here.wait(2)) == 2
    assert world.metric("echoes", direction="in") == 1


def test_two_bridges_side_by_side(world, subscriber_of):
    """One out, one in, of different topics: each message once."""
    seen = watch(subscriber_of, world.local, world.remote)
    second = "\nconnection other\naddress 127.0.0.1:%d\nrestart_timeout 1\nremote_clientid other\n" % world.remote.port
    world.start("topic l/up/# out 2\nnotifications false" + second + "topic l/down/# in 2\nnotifications false")
    world.gate.wait_log("bridge other: connected to the remote broker")
    send_and_count(world, seen)


def test_lines_that_feed_each_other_are_warned_of(world):
    """What goes out as b/a/... comes in by the other line, and goes out again as b/b/a/..."""
    world.start('topic # out 1 "" b/\ntopic b/# in 1\nnotifications false', is_up=False)
    world.gate.wait_log(r"what connection cloud sends out by one of this line and \S+:\d+ can come in by the other")


def test_the_same_broker_on_both_sides_is_refused(tmp_path, world):
    path = tmp_path / "bad.conf"
    path.write_text(section(world.local.port, world.local.port, tmp_path, "topic a/# both 1\n"))
    done = run("-c", path, "-t")
    assert done.returncode == 1 and "is the broker in backend" in done.stderr
