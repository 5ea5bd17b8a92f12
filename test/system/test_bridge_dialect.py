"""The topic lines of a connection section mean what they mean to mosquitto: the same section is given to a real mosquitto's own bridge and
to ours, the same messages are published on both sides, and what arrives everywhere is compared."""
import pytest

from peers.broker import Broker, Subscriber, publish

END = "zz/end"

# name: (topic lines, local topics, remote topics)
RULES = {
    "plain": ("topic a/# out 1\ntopic b/+ in 2\ntopic c both 0", ["a", "a/1", "b/1", "c", "d"], ["a/1", "b/1", "b/1/2", "c", "d"]),
    "defaults": ("topic a\ntopic b in", ["a", "b"], ["a", "b"]),
    "words": ("topic a OUT 1\ntopic b In 1\ntopic c BOTH 1", ["a", "b", "c"], ["a", "b", "c"]),
    "prefixes-out": ("topic t/# out 1 in/ out/", ["in/t/1", "in/t", "t/1", "out/t/1"], ["out/t/1", "in/t/1"]),
    "prefixes-in": ("topic t/# in 1 here/ there/", ["here/t/1", "there/t/1"], ["there/t/1", "there/t", "here/t/1", "t/1"]),
    "prefixes-both": ("topic t/+ both 1 l/ r/", ["l/t/1", "r/t/2", "l/t/1/2"], ["r/t/1", "l/t/2", "r/t/1/2"]),
    "local-prefix-only": ('topic t/# both 1 l/ ""', ["l/t/1", "t/2"], ["t/1", "l/t/2"]),
    "remote-prefix-only": ('topic t/# both 1 "" r/', ["t/1", "r/t/2"], ["r/t/1", "t/2"]),
    "one-to-one": ('topic "" out 1 local/exact remote/exact\ntopic "" in 1 local/back remote/back',
                   ["local/exact", "local/back", "local/exact/1"], ["remote/back", "remote/exact", "remote/back/1"]),
    "hash-with-prefixes": ("topic # out 1 l/ r/\ntopic # in 1 l2/ r2/", ["l/1", "l", "l/1/2", "x"], ["r2/1", "r2", "r2/1/2"]),
    "no-separator": ("topic lamp/# out 1 house- site-", ["house-lamp/1", "house-lamp", "lamp/1"], ["site-lamp/1"]),
    "the-prefix-that-is-not-there": ("topic # in 0 A/ B/c/", ["A/1"], ["B/c/1", "B/c", "B/c/d/e"]),
    "first-match-wins": ("topic t/1 out 1 l/ first/\ntopic t/# out 1 l/ second/", ["l/t/1", "l/t/2"], []),
    "no-prefix-then-prefix": ("topic l/t/# out 1\ntopic t/# out 1 l/ r/", ["l/t/1", "l/t"], []),
    "prefix-then-no-prefix": ("topic t/# out 1 l/ r/\ntopic l/t/# out 1", ["l/t/1", "l/t"], []),
    "duplicates": ("topic a/# out 1\ntopic a/# out 1\ntopic b out 1 x/ y/\ntopic b out 1 x/ y/", ["a/1", "x/b"], []),
    "qos": ("topic q0 out 0\ntopic q1 out 1\ntopic q2 out 2", ["q0", "q1", "q2"], []),
    "levels": ("topic +/x/# both 1", ["a/x", "a/x/y/z", "/x", "a/b/x"], ["b/x", "b/x/y", "x"]),
    "crossed": ("topic up/# out 1\ntopic down/# in 1", ["up/1", "down/1"], ["up/2", "down/2"]),
}


class Side:
    """Two brokers and whatever bridges them."""

    def __init__(self, local, remote):
        self.brokers = {"local": local, "remote": remote}
        self.seen = {name: Subscriber(broker.port, "-t", "#", "-q", 2) for name, broker in self.brokers.items()}

    def run(self, local_topics, remote_topics):
        for name, topics in (("local", local_topics), ("remote", remote_topics)):
            for number, topic in enumerate(topics + [END]):
                publish(self.brokers[name].port, "-t", topic, "-m", "%s %d" % (name, number), "-q", 2)
        found = {}
        for name, seen in self.seen.items():
            other = {"local": "remote", "remote": "local"}[name]
            mark = b"%s %d" % (other.encode(), len({"local": local_topics, "remote": remote_topics}[other]))
            seen._wait(lambda seen=seen, mark=mark: any(message[3] == mark for message in seen.messages), 30, "the end")
            found[name] = sorted((topic, qos, payload) for topic, qos, _, payload in seen.messages if topic != END)
            seen.stop()
        return found


def section(remote_port, lines):
    return "connection cloud\naddress 127.0.0.1:%d\nrestart_timeout 1\nnotifications false\n%s\ntopic %s both 1\n" % (
        remote_port, lines, END)


@pytest.mark.parametrize("name", RULES)
def test_as_mosquitto(name, tmp_path, gate_of):
    lines, local_topics, remote_topics = RULES[name]
    remotes = [Broker(tmp_path / ("remote%d" % i)).start() for i in range(2)]
    theirs = Broker(tmp_path / "theirs", section(remotes[0].port, lines)).start()
    ours = Broker(tmp_path / "ours").start()
    try:
        gate = gate_of("backend 127.0.0.1:%d\nqueue_dir %s/queue\n%s" % (ours.port, tmp_path, section(remotes[1].port, lines)))
        gate.wait_log("connected to the local broker")
        gate.wait_log("connected to the remote broker")
        _wait_bridge(remotes[0])
        expected = Side(theirs, remotes[0]).run(local_topics, remote_topics)
        found = Side(ours, remotes[1]).run(local_topics, remote_topics)
        assert found == expected
    finally:
        for broker in [theirs, ours, *remotes]:
            broker.stop()


def _wait_bridge(remote):
    """mosquitto's bridge has subscribed to the last line."""
    import time
    end = time.monotonic() + 30
    while END not in remote.log() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)


def test_there_are_enough_cases():
    assert sum(len(local) + len(remote) for _, local, remote in RULES.values()) >= 60
