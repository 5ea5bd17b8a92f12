"""drawbridge explain beyond the acl_file: whatever an option refuses live is refused here, with the option's line."""
import pytest

from peers import gate as gates

VERSIONS = (3, 4, 5)
CONFIG = """backend 127.0.0.1:1
allow_anonymous true
acl_file {acl}
listener {port} 127.0.0.1
{lines}
"""
NO_RULE = "refuse: no rule of the acl_file, whose line in the configuration is told"
ACL = "topic readwrite m/ok/#\ntopic readwrite ok/#\ntopic deny m/ok/secret\ntopic write $x/#\n"


@pytest.fixture
def explain(tmp_path, port):
    """explain(lines, version, words ...): status, and what it says, without directories. The first of `lines` is line 5."""

    def ask(lines, version, *words):
        (tmp_path / "acl").write_text(ACL)
        config = tmp_path / "drawbridge.conf"
        config.write_text(CONFIG.format(acl=tmp_path / "acl", port=port, lines=lines))
        done = gates.run("-c", config, "explain", "--clientid", "dev", "--mqtt", version, *words)
        assert done.stderr == ""
        return done.returncode, done.stdout.replace(str(tmp_path) + "/", "").strip()

    return ask


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lines, words, said", [
    ("", ["publish", "ok/x"], "allow acl:2"),
    ("mount_point m/", ["publish", "ok/x"], "allow acl:1"),
    ("mount_point m/", ["publish", "x"], NO_RULE),
    ("mount_point m/", ["publish", "ok/secret"], "refuse acl:3"),
    ("mount_point m/", ["deliver", "ok/x"], "allow acl:1"),
    ("mount_point m/", ["deliver", "ok/secret"], "refuse acl:3"),
    ("mount_point m/", ["subscribe", "ok/#"], "allow acl:1"),
    ("mount_point m/", ["subscribe", "$share/g/ok/#"], "allow acl:1"),
    ("mount_point m/", ["subscribe", "x/#"], NO_RULE),
    ("mount_point m/", ["connect", "ok/x"], "allow acl:1"),
    ("mount_point m/", ["connect", "ok/secret"], "refuse acl:3"),
    ("allow_from 192.0.2.0/24", ["connect"], "refuse drawbridge.conf:5: its address is not in allow_from"),
    ("allow_from 192.0.2.0/24", ["--address", "192.0.2.7", "connect"], "allow: nothing stands against it"),
    ("deny_from 192.0.2.0/24", ["--address", "192.0.2.7", "publish", "ok/x"], "refuse drawbridge.conf:5: its address is in deny_from"),
    ("deny_from 192.0.2.0/24", ["publish", "ok/x"], "allow acl:2"),
    ("clientid_deny d*", ["connect"], "refuse drawbridge.conf:5: "),
    ("wills deny", ["connect", "ok/will"], "refuse drawbridge.conf:5: it has a will, against wills deny"),
    ("retain_policy refuse", ["--retain", "publish", "ok/x"], "refuse drawbridge.conf:5: "),
    ("retain_policy strip", ["--retain", "publish", "ok/x"], "allow acl:2"),
    ("max_topic_levels 2", ["publish", "ok/a/b"], "refuse drawbridge.conf:5: "),
    ("max_topic_levels 2\nmount_point m/", ["publish", "ok/a"], "allow acl:1"),
    ("dollar_topics false", ["publish", "$x/a"], "refuse drawbridge.conf:5: "),
    ("wildcard_subscriptions false", ["subscribe", "ok/#"], "refuse drawbridge.conf:5: "),
    ("max_qos 1", ["--qos", "2", "publish", "ok/x"], "refuse drawbridge.conf:5: "),
    ("max_qos 1", ["--qos", "2", "subscribe", "ok/x"], "allow acl:2: QoS 1 instead of 2"),
    ("user_publish_rate 1/h\nlistener_publish_bytes_rate 100k/s", ["publish", "ok/x"], "allow acl:2"),
    ("max_connections_per_username 1\nban_after 1/60s for 10m", ["--user", "ann", "publish", "ok/x"], NO_RULE),
])
def test_options(explain, version, lines, words, said):
    status, answer = explain(lines, version, *words)
    assert status == (0 if said.startswith("allow") else 1)
    if said == NO_RULE:
        assert answer == "refuse drawbridge.conf:3: no rule grants it"
    else:
        assert answer == said or (said.endswith(": ") and answer.startswith(said))


def test_many_topics_of_one_question(explain, tmp_path, port):
    """Each line of standard input is asked on its own: no rate and no seat is used up by the one before."""
    explain("publish_rate 1/h\nrate_action disconnect\nmax_connections_per_address 1", 5, "publish", "ok/x")
    done = gates.run("-c", tmp_path / "drawbridge.conf", "explain", "--clientid", "dev", "publish", "-", input="ok/x\n" * 20)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["allow"] * 20
