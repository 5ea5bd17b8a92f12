"""The rules of an acl_file mean what they mean to a real mosquitto 2.0: the same questions are put to mosquitto with
that file, to the program with that file in front of an open mosquitto, and to `drawbridge explain`."""
import itertools

import pytest

from peers import gate as gates
from peers import packets as mqtt
from peers.broker import Broker
from peers.device import Device

VERSIONS = [4, 5]

# Sees and writes everything, and stands behind the rules in question, where it changes none of them.
WATCHER = "user watcher\ntopic readwrite #\ntopic readwrite $SYS/#\ntopic readwrite $other/#\n"

ALICE, BOB, CAROL, NOBODY = ("alice", "a1"), ("bob", "b1"), ("carol", "c1"), (None, "n1")
EVERYBODY = [ALICE, BOB, CAROL, NOBODY]
STATE = "$SYS/broker/connection/a1/state"

# name: (rules, who, topics); each topic is asked for with both accesses.
FILES = {
    "accesses": ("""topic anon/both
topic read anon/in
topic write anon/out
user alice
topic both
topic read in
topic write out
topic readwrite rw/+
user bob
topic deny both
topic read #
""", EVERYBODY, ["both", "in", "out", "rw/1", "rw/1/2", "rw", "anon/both", "anon/in", "anon/out"]),
    "wildcards": ("""user alice
topic read a/#
topic write +/b
topic readwrite x/+/z/#
user bob
topic #
""", [ALICE, BOB, CAROL], ["a", "a/b", "a/b/c", "b/b", "/b", "x/y/z", "x/y/z/1/2", "x/z", "x//z", "aa"]),
    "denies": ("""user alice
topic a/#
topic deny a/secret/#
topic a/secret/open
topic deny a/+/no
user bob
topic deny b/#
topic read b/1
topic write c/1
topic deny +/1
""", [ALICE, BOB], ["a/1", "a/secret", "a/secret/1", "a/secret/open", "a/x/no", "a/x/no/1", "b/1", "c/1", "c/2"]),
    "patterns": ("""pattern read dev/%c/#
pattern write dev/%c/up
pattern users/%u/box
pattern %u/%c/x
user alice
topic read shared
""", EVERYBODY, ["dev/a1", "dev/a1/up", "dev/b1/up", "dev/n1/up", "users/alice/box", "users/bob/box", "users//box",
                 "alice/a1/x", "bob/b1/x", "alice/b1/x", "shared"]),
    "pattern denies": ("""pattern all/#
pattern deny all/%c/no/#
pattern deny all/%u/never
user alice
topic read all/a1/no/but
topic write all/alice/never
user bob
topic deny all/shut/#
""", EVERYBODY, ["all/1", "all/a1/no/1", "all/a1/no/but", "all/alice/never", "all/bob/never", "all/b1/no", "all/shut/1"]),
    "users repeated": ("""user alice
topic one
user bob
topic two
user alice
topic read three
topic deny two
user Ann Lee
topic of/ann
""", [ALICE, BOB, ("Ann Lee", "x"), ("Ann", "x"), ("Alice", "x")], ["one", "two", "three", "of/ann"]),
    "only patterns": ("pattern read in/%c\npattern write out/%u/%c\npattern read always\n", EVERYBODY,
                      ["in/a1", "in/n1", "out/alice/a1", "out/bob/b1", "out/bob/a1", "always", "else"]),
    "only anonymous": ("topic read news/#\ntopic write desk\ntopic deny news/private\n", EVERYBODY,
                       ["news/1", "news/private", "news", "desk", "desk/1"]),
    "dollar": ("""user alice
topic read $SYS/broker/version
topic #
user bob
topic read $SYS/#
topic write $SYS/#
topic write $other/#
user carol
topic +/broker/version
pattern write $SYS/broker/connection/%c/state
topic deny $SYS/broker/uptime
""", EVERYBODY, ["$SYS/broker/version", "$SYS/broker/uptime", "$SYS/mine", STATE, "$other/1", "plain"]),
    "odd names": ("""pattern c/%c/#
pattern u/%u
user al+ce
topic read own/1
user alice
topic write own/2
""", [("al+ce", "a1"), ("alice", "a+"), ("alice", "#"), ("#", "c1"), ("alice", "a1")],
                  ["c/a1/1", "c/x/1", "u/alice", "u/al", "own/1", "own/2"]),
    "spaces": ("topic read two words/#\nuser alice\ntopic write  leading\n   topic read inner  space/+\n# topic all\n\n",
               [ALICE, NOBODY], ["two words/1", "leading", "inner  space/1", "inner space/1", "all"]),
    "levels": ("user alice\ntopic /\ntopic read //\ntopic write +/+/+\nuser bob\ntopic /#\ntopic deny //#\n", [ALICE, BOB],
               ["/", "//", "a/b/c", "a//c", "/x", "///", "a"]),
}

# Where mosquitto 2.0 puts text into the filter, 2.1 (and the program) compares whole levels. What the program says.
DIFFERENT = ("""pattern dev-%c/x
pattern p/%c/x
pattern q/%u%c
user watched
topic w
""", {("alice", "a1", "w", "dev-a1/x"): False, ("alice", "a1", "w", "dev-%c/x"): True,
      ("alice", "s/l", "w", "p/s/l/x"): False, ("alice", "a1", "w", "p/a1/x"): True,
      ("alice", "a1", "w", "q/alicea1"): False, ("alice", "a1", "w", "q/%u%c"): True})


def cases_of(name):
    _, who, topics = FILES[name]
    return [(user, client, access, topic) for (user, client), topic, access in itertools.product(who, topics, "rw")
            if (access, topic) != ("r", "$SYS/mine")]  # nobody may write it, so it is never there to be read


def connected(port, version, user, client):
    device = Device(port, version=version)
    device.connect(client, username=user)
    return device


class Watcher:
    """A device beside the one in question, at the broker itself."""

    def __init__(self, port, version):
        self.device = connected(port, version, "watcher", "watcher-1")
        self.device.subscribe("#", STATE, "$other/#", "$SYS/mine")
        self.count = 0

    def publish(self, topic, payload):
        self.device.send(mqtt.publish(self.device.version, topic, payload))

    def seen(self):
        """Payloads of all that came before this moment, as the broker orders them."""
        self.count += 1
        mark = b"mark %d" % self.count
        self.publish("mark", mark)
        found = set()
        while True:
            packet = self.device.expect(mqtt.PUBLISH)
            if packet.payload == mark:
                return found
            found.add(packet.payload)


def ask_writes(port, watcher, version, user, client, topics):
    """Which of the topics does the watcher see when the device writes to all of them?"""
    with connected(port, version, user, client) as device:
        for number, topic in enumerate(topics):
            # With QoS 1: once it is answered, the broker is through with it.
            device.publish(topic, b"%s %d" % (client.encode(), number), qos=1, packet_id=number + 1)
    seen = watcher.seen()
    return [b"%s %d" % (client.encode(), number) in seen for number in range(len(topics))]


def ask_reads(port, watcher, version, user, client, topics):
    """Which of the topics come to the device when it subscribes to all and the watcher writes to all?"""
    with connected(port, version, user, client) as device:
        for topic in topics:
            device.send(mqtt.subscribe(version, 1, [topic]))
            while device.read().kind != mqtt.SUBACK:
                pass  # what is retained below $SYS may come first; it comes again
        for topic in topics:
            device.send(mqtt.subscribe(version, 1, [topic]))
            watcher.publish(topic, b"for all")
        watcher.seen()
        device.send(mqtt.pingreq())
        found = set()
        while True:
            packet = device.read()
            if packet.kind == mqtt.PINGRESP:
                return [topic in found for topic in topics]
            if packet.kind == mqtt.PUBLISH:
                found.add(packet.topic)


def grouped(cases):
    """The cases by device and access."""
    ordered = sorted(cases, key=lambda case: (str(case[0]), *case[1:]))
    for who, some in itertools.groupby(ordered, key=lambda case: case[:3]):
        yield (*who, list(some))


def ask(port, watcher, version, cases):
    """The cases, and whether each is allowed: one connection for all of one device and access."""
    verdicts = {}
    for user, client, access, some in grouped(cases):
        answers = (ask_writes if access == "w" else ask_reads)(port, watcher, version, user, client, [case[3] for case in some])
        verdicts.update(zip(some, answers))
    return verdicts


def explain(config, version, cases):
    verdicts = {}
    for user, client, access, some in grouped(cases):
        done = gates.run("-c", config, "explain", *(() if user is None else ("--user", user)), "--clientid", client,
                         "--mqtt", version, "publish" if access == "w" else "deliver", "-",
                         input="".join(case[3] + "\n" for case in some))
        words = [line.split()[0].rstrip(":") for line in done.stdout.splitlines()]
        assert len(words) == len(some) and set(words) <= {"allow", "refuse"}, done.stdout + done.stderr
        assert done.returncode == (1 if "refuse" in words else 0)
        verdicts.update(zip(some, (word == "allow" for word in words)))
    return verdicts


@pytest.fixture
def ask_all(tmp_path, gate_of, port):
    """ask_all(rules, version, cases): what mosquitto, the program and explain say."""
    started = []

    def begin(rules, version, cases):
        acl = tmp_path / "acl"
        acl.write_text(rules + WATCHER)
        strict = Broker(tmp_path / "strict", "acl_file %s\n" % acl).start()
        started.append(strict)
        open_broker = Broker(tmp_path / "open").start()
        started.append(open_broker)
        gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nallow_anonymous true\nallow_unsafe_clientid_chars true\n"
                       "acl_file %s\n" % (open_broker.port, port, acl))
        theirs = ask(strict.port, Watcher(strict.port, version), version, cases)
        ours = ask(port, Watcher(open_broker.port, version), version, cases)
        return theirs, ours, explain(gate.path, version, cases)

    yield begin
    for broker in started:
        broker.stop()


def test_there_are_enough_cases():
    assert sum(len(cases_of(name)) for name in FILES) >= 300


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FILES)
def test_like_mosquitto(ask_all, name, version):
    cases = cases_of(name)
    theirs, ours, explained = ask_all(FILES[name][0], version, cases)
    assert any(theirs.values()) and not all(theirs.values()), "the file tells nothing apart"
    assert {case: said for case, said in ours.items() if said != theirs[case]} == {}
    assert {case: said for case, said in explained.items() if said != ours[case]} == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_unlike_mosquitto_2_0(ask_all, version):
    rules, expected = DIFFERENT
    theirs, ours, explained = ask_all(rules, version, list(expected))
    assert ours == expected and explained == expected
    assert any(theirs[case] != expected[case] for case in expected), "mosquitto has become like 2.1: move them up"
