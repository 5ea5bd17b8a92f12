"""The samples of test/samples/packets.txt, and the reason codes that violations.def promises."""
import re
import types

from .gate import REPOSITORY


def load(quality, direction):
    found = []
    for line in (REPOSITORY / "test/samples/packets.txt").read_text().splitlines():
        words = line.split()
        if not words or words[0] != quality or words[2] != direction:
            continue
        found.append(types.SimpleNamespace(version=int(words[1]), name=words[3], violation=words[4],
                                           raw=bytes.fromhex("".join(words[5:]))))
    assert found, "no samples"
    return found


def _reasons():
    codes = {name: int(value, 16) for value, name in re.findall(
        r"^REASON\((0x[0-9A-F]+), (\w+)", (REPOSITORY / "include/mqtt/reasons.def").read_text(), re.M)}
    text = (REPOSITORY / "include/mqtt/violations.def").read_text()
    return {name.lower(): codes[reason] for name, reason in re.findall(r"^VIOLATION\((\w+), MQTT_REASON_(\w+)", text, re.M)}


REASON_OF = _reasons()
