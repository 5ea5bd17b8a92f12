"""drawbridge explain bridge: what a topic is called on the other side, and the line that says so."""
import socket

import pytest

from peers.gate import run

CONFIG = """backend 127.0.0.1:1
connection cloud
address broker.example.com
topic sensors/# out 1 plant/ site7/
topic sensors/alarm/# out 2 plant/ never/
topic # both 0
topic "" in 1 here/x there/y
remap s/+/t/# out 2 ${name}/$1/${#:-}
remap h in 0 ${hostname}/h
topic # out 1 gone/
connection other
address broker.example.com
topic a in
"""


@pytest.fixture
def explain(tmp_path):
    """explain(words ...): exit status, standard output without the folder, standard error."""
    (tmp_path / "it.conf").write_text(CONFIG)

    def ask(*words, **options):
        done = run("-c", tmp_path / "it.conf", "explain", "bridge", *words, **options)
        return done.returncode, done.stdout.replace(str(tmp_path) + "/", "").strip(), done.stderr

    ask.folder = tmp_path
    return ask


@pytest.mark.parametrize("words, status, said", [
    (["cloud", "out", "plant/sensors/a"], 0, "allow it.conf:4: topic sensors/# out 1 plant/ site7/: site7/sensors/a, QoS 1 at most"),
    (["cloud", "out", "plant/sensors/alarm/a"], 0,
     "allow it.conf:4: topic sensors/# out 1 plant/ site7/: site7/sensors/alarm/a, QoS 2 at most"),
    (["cloud", "out", "x"], 0, "allow it.conf:6: topic # both 0: x, QoS 0 at most"),
    (["cloud", "in", "x"], 0, "allow it.conf:6: topic # both 0: x, QoS 0 at most"),
    (["cloud", "in", "there/y"], 0, 'allow it.conf:7: topic "" in 1 here/x there/y: here/x, QoS 1 at most'),
    (["cloud", "out", "s/1/t/2/3"], 0, "allow it.conf:8: remap s/+/t/# out 2 ${name}/$1/${#:-}: cloud/1/2-3, QoS 2 at most"),
    (["cloud", "in", "h"], 0, "allow it.conf:9: remap h in 0 ${hostname}/h: %s/h, QoS 0 at most" % socket.gethostname()),
    (["cloud", "out", "gone/"], 1, 'refuse it.conf:10: topic # out 1 gone/ "": what it makes of this topic is no topic name'),
    (["cloud", "out", "$SYS/x"], 1, "refuse it.conf:2: no line out of connection cloud matches"),
    (["other", "out", "a"], 1, "refuse it.conf:11: no line out of connection other matches"),
    (["other", "in", "b"], 1, "refuse it.conf:11: no line in of connection other matches"),
])
def test_answers(explain, words, status, said):
    assert explain(*words) == (status, said, "")


def test_many_topics(explain):
    status, said, _ = explain("other", "in", "-", input="a\nb\na\n")
    assert status == 1 and [line.split()[0] for line in said.splitlines()] == ["allow", "refuse", "allow"]
    assert explain("other", "in", "-", input="a\na\n")[0] == 0
    assert explain("other", "in", "-", input="a\n+\na\n")[0] == 2


@pytest.mark.parametrize("words, said", [
    ([], "which connection"),
    (["cloud", "out"], "which connection"),
    (["cloud", "out", "a", "b"], "which connection"),
    (["cloud", "both", "a"], "both is no in or out"),
    (["none", "out", "a"], "there is no connection none in "),
    (["cloud", "out", "a/#"], "no valid topic name"),
])
def test_wrong_questions(explain, words, said):
    status, answer, error = explain(*words)
    assert (status, answer) == (2, "") and said in error and "Usage: drawbridge" in error


def test_wrong_configurations(explain):
    (explain.folder / "it.conf").write_text(CONFIG + "topic a+\n")
    status, said, error = explain("cloud", "out", "a")
    assert (status, said) == (2, "") and "it.conf:14: " in error
    # from a broker to itself, round and round
    (explain.folder / "it.conf").write_text(CONFIG.replace("broker.example.com", "localhost:1"))
    status, said, error = explain("cloud", "out", "a")
    assert (status, said) == (2, "") and "it.conf:4: address localhost:1 is the broker in backend" in error


def test_help_tells_it():
    assert "explain bridge NAME in|out TOPIC" in run("--help").stdout
    assert "explain bridge NAME in|out TOPIC" in run("explain").stderr
