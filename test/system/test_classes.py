"""Classes of faults that MQTT servers have had, as far as no other test owns them; test/CLASSES.md says who owns which."""
import re
import time

import pytest

from peers import packets as mqtt
from peers.device import Device
from peers.gate import REPOSITORY, release_program, run
from peers.ports import free_port

WAIT_S = 30


def wait_until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "waited in vain for " + what
        time.sleep(0.02)


def test_many_user_properties_cost_little(gate_of, backend_of, port):
    """13,000 properties in one CONNECT, 100 times: what looks at each of them once more for every other would compute for
    minutes (the release build's processor time)."""
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nconnection_messages false\n" % (backend.port, port), binary=release_program())
    packet = mqtt.connect(5, props=[(mqtt.USER_PROPERTY, ("", ""))] * 13000)
    before = gate.cpu_s()
    for number in range(100):
        with Device(port, version=5) as device:
            device.send(packet)
            assert device.expect(mqtt.CONNACK).reason == 0
    assert gate.cpu_s() - before < 2
    assert bytes(backend.connections[-1].received) == packet


def refusals():
    """What a CONNECT can be refused for: (its fields, the answers of 3.1.1 and 5.0)."""
    return {"password": ({"username": "alice", "password": "wrong"}, 5, 0x87), "stranger": ({"username": "eve", "password": "x"}, 5, 0x87),
            "anonymous": ({}, 5, 0x87), "client_id": ({"client_id": "other"}, 5, 0x87),
            "will_qos": ({"client_id": "dev1", "username": "alice", "password": "right",
                          "will": {"topic": "w", "payload": "x", "qos": 2}}, 5, 0x9B)}


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", refusals())
def test_a_refused_device_is_closed(gate_of, backend_of, tmp_path, port, version, name):
    """CONNACK with the reason, then the end of the connection, and all descriptors are given back."""
    assert run("passwd", "-c", "-b", tmp_path / "passwords", "alice", "right").returncode == 0
    backend = backend_of()
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d 127.0.0.1\nmax_qos 1\nclientid_prefixes dev\npassword_file %s\n"
                   "backend_timeout 1m\nconnect_timeout 1m\n"
                   % (backend.port, port, tmp_path / "passwords"))
    fields, code_3, code_5 = refusals()[name]
    descriptors = gate.descriptor_count()
    devices = [Device(port, version=version) for _ in range(50)]
    for device in devices:
        device.send(mqtt.connect(version, **fields))
    for device in devices:
        answers = device.read_to_end()
        assert [(one.kind, one.reason) for one in answers] == [(mqtt.CONNACK, code_5 if version == 5 else code_3)]
        assert not device.was_reset
        device.close()
    wait_until(lambda: gate.descriptor_count() == descriptors, "the descriptors to come back")
    assert backend.count() == 0


def numbers():
    """The rows of options.def that hold numbers: (keyword, low, high)."""
    text = (REPOSITORY / "include/conf/options.def").read_text()
    names = {"INT32_MIN": -2 ** 31, "INT32_MAX": 2 ** 31 - 1}
    rows = re.findall(r'^OPTION\(\w+, INT, \w+, "(\w+)", "[^"]*", [^,]+, (-?\w+), (-?\w+),', text, re.M)
    assert len(rows) > 5
    return [(keyword, names.get(low) if low in names else int(low), names.get(high) if high in names else int(high))
            for keyword, low, high in rows]


@pytest.mark.parametrize("keyword,low,high", numbers())
def test_numbers_at_their_bounds(tmp_path, keyword, low, high):
    """Taken up to the bounds, unless another sentence speaks against it; beyond them the line is named."""
    config = tmp_path / "it.conf"
    for value in {-2 ** 63, -2 ** 31, -2, -1, 0, 1, 2, low - 1, low, low + 1, high - 1, high, high + 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 63, 2 ** 64}:
        config.write_text("backend 127.0.0.1:1\nlistener %d\n%s %d\n" % (free_port(), keyword, value))
        done = run("-t", "-c", config)
        is_inside = low <= value <= high
        assert done.returncode in ((0, 1) if is_inside else (1,)), (value, done)
        assert done.returncode == 0 or "it.conf:3: " in done.stderr + done.stdout, (value, done)


@pytest.mark.parametrize("keyword", re.findall(r'^OPTION\(\w+, DURATION, \w+, "(\w+)"', (REPOSITORY / "include/conf/options.def").read_text(), re.M))
@pytest.mark.parametrize("value", ["-1", "-1s", "0", "0s", "99999999999999999999s", "18446744073709551617ms", "1e3s", "24856d", "s"])
def test_durations_beyond_their_bounds(tmp_path, keyword, value):
    (tmp_path / "it.conf").write_text("backend 127.0.0.1:1\nlistener %d\n%s %s\n" % (free_port(), keyword, value))
    done = run("-t", "-c", tmp_path / "it.conf")
    if keyword in ("ticket_rotation", "queue_max_age") and value in ("0", "0s"):  # no tickets; no limit
        assert done.returncode == 0, done
        return
    assert done.returncode == 1 and "it.conf:3: " in done.stderr + done.stdout, done
