"""Messages over a bridge while everything around it breaks: what was published at the local broker is compared with what arrived at the
remote one."""
import collections
import random
import threading
import time

import paho.mqtt.client as paho

WAIT_S = 120


class Ledger:
    """Each payload is `number` of its topic, counted from 0."""

    def __init__(self):
        self.arrived = collections.defaultdict(list)
        self.count, self.distinct, self.repeated = 0, 0, 0
        self.changed = threading.Condition()
        self._seen = set()

    def note(self, topic, payload, is_repeated=False):
        """`is_repeated`: the broker said DUP. A restarted mosquitto 2.0.11 publishes QoS 2 messages again that were released already
        (it forgets that it sent the PUBREL); that is its doing, and it says so."""
        with self.changed:
            number = int(payload.split(b" ", 1)[0])
            if is_repeated and (topic, number) in self._seen:
                self.repeated += 1
                return
            self.arrived[topic].append(number)
            self.count += 1
            if (topic, number) not in self._seen:
                self._seen.add((topic, number))
                self.distinct += 1
            self.changed.notify_all()

    def wait(self, distinct, timeout):
        with self.changed:
            self.changed.wait_for(lambda: self.distinct >= distinct, timeout)
        return self.distinct

    def verdict(self, sent, exactly_once=()):
        """Words for what is wrong, and counts; `sent`: messages per topic."""
        wrong, missing, doubled = [], 0, 0
        for topic, count in sorted(sent.items()):
            numbers = self.arrived.get(topic, [])
            first, seen = [], set()
            for number in numbers:
                if number not in seen:
                    seen.add(number)
                    first.append(number)
            lost = set(range(count)) - seen
            missing += len(lost)
            doubled += len(numbers) - len(seen)
            if lost:
                wrong.append("%s: %d of %d missing, such as %s" % (topic, len(lost), count, sorted(lost)[:5]))
            if first != sorted(first):
                at = next(i for i in range(1, len(first)) if first[i] < first[i - 1])
                wrong.append("%s: out of order at %d: %s" % (topic, at, first[max(0, at - 3):at + 3]))
            if topic in exactly_once and len(numbers) != len(seen):
                again = [number for number, times in collections.Counter(numbers).items() if times > 1]
                wrong.append("%s: %d twice, such as %s" % (topic, len(numbers) - len(seen), again[:5]))
        return wrong, missing, doubled


def client(name, port, is_clean=False):
    made = paho.Client(name, clean_session=is_clean)
    made.max_inflight_messages_set(200)
    made.max_queued_messages_set(0)
    made.reconnect_delay_set(1, 1)
    made.connect("127.0.0.1", port, 60)
    return made


class Listener:
    """A subscriber with a session, which outlives the broker's restarts."""

    def __init__(self, port, filters, ledger, name="listener"):
        self.ledger = ledger
        self.client = client(name, port)
        self.ready = threading.Event()
        self.filters = filters
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _, __, message: ledger.note(message.topic, message.payload, message.dup)
        self.client.loop_start()
        assert self.ready.wait(WAIT_S), "the listener has no SUBACK"

    def _connected(self, made, _, __, code):
        assert code == 0
        made.subscribe(self.filters)

    def stop(self):
        self.client.loop_stop()
        self.client.disconnect()


class Talker:
    """Publishes `counts[topic]` messages to each topic in turn, with the QoS of the topic's first letter: q1/..., q2/..."""

    def __init__(self, port, counts, rate=None, size=0, name="talker"):
        self.client = client(name, port)
        self.counts, self.rate = counts, rate
        self.filler = b" " + b"x" * size if size else b""
        self.sent = collections.Counter()
        self.client.loop_start()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        began, total, last = time.monotonic(), 0, None
        left = dict(self.counts)
        while left:
            for topic in list(left):
                last = self.client.publish(topic, b"%d%s" % (self.sent[topic], self.filler), int(topic[1]))
                self.sent[topic] += 1
                total += 1
                left[topic] -= 1
                if not left[topic]:
                    del left[topic]
                if total % 100 == 0 and self.rate:
                    time.sleep(max(0, began + total / self.rate - time.monotonic()))
                while len(self.client._out_messages) > 1000:
                    time.sleep(0.005)
        self.last = last

    def wait(self, timeout=WAIT_S):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "the talker is not done"
        end = time.monotonic() + timeout
        while self.client._out_messages and time.monotonic() < end:
            time.sleep(0.02)
        assert not self.client._out_messages, "%d messages are not acknowledged" % len(self.client._out_messages)

    def is_done(self):
        return not self.thread.is_alive() and not self.client._out_messages

    def stop(self):
        self.client.loop_stop()
        self.client.disconnect()


def topics(kind, count, total):
    """{kind/0: n, ...}: `total` messages over `count` topics."""
    return {"%s/%d" % (kind, i): total // count + (1 if i < total % count else 0) for i in range(count)}


def torture(gate, proxy, remote, talker, cuts, restarts, kills, seconds, seed):
    """Breaks things at random moments within `seconds`, while the talker talks; all are whole at the end."""
    random_ = random.Random(seed)
    acts = ["cut"] * cuts + ["restart"] * restarts + ["kill"] * kills
    random_.shuffle(acts)
    moments = sorted(random_.uniform(0.2, seconds) for _ in acts)
    began = time.monotonic()
    for moment, act in zip(moments, acts):
        time.sleep(max(0, began + moment - time.monotonic()))
        if act == "cut":
            proxy.cut(is_reset=random_.random() < 0.5)
        elif act == "restart":
            remote.stop()
            time.sleep(random_.uniform(0, 0.5))
            remote.start()
        else:
            gate.kill()
            gate.start()
