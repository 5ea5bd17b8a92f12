"""Connection sections as `-t` judges them: every keyword with a good and a bad value, whole files of mosquitto, pure bridges."""
import os
import pathlib
import re
import shutil
import subprocess
import urllib.request

import pytest

from peers.certs import Authority
from peers.gate import REPOSITORY, run
from peers.ports import free_port

# Line 1 names the broker, line 2 opens the section; what a test adds begins in line 5.
SECTION = "backend 127.0.0.1:1\nconnection cloud\naddress broker.example.com\ntopic #\n"
TLS = "bridge_cafile ca.pem\n"
PAIR = TLS + "bridge_certfile server.pem\nbridge_keyfile server.key\n"

# keyword, a good value, what else it needs, a bad value (None: there is none), words that the finding must have
KEYWORDS = [
    ("connection", "other.one-2_x\naddress h\ntopic #", "", "a/b\naddress h\ntopic #", "letters, digits"),
    ("address", None, "", "broker:port", "1 to 65535"),
    ("addresses", None, "", "mqtts://broker:8883", "a URL"),
    ("topic", 'sensors/# out 1 plant/ "site 7/"', "", "sensors/# sideways", "out, in or both"),
    ("remap", "sensors/+/temp out 1 eu/$1/t", "", "sensors/temp out 1 eu/$1", "only 0 +"),
    ("remote_clientid", "edge7", "", "", "has no value"),
    ("clientid", "edge7", "", "", "has no value"),
    ("local_clientid", "local.edge7", "", "", "has no value"),
    ("remote_username", "ann", "", "", "has no value"),
    ("username", "ann", "", "", "has no value"),
    ("remote_password", "sesame", "username u\n", "", "has no value"),
    ("password", "sesame", "username u\n", "", "has no value"),
    ("remote_password_file", "secret", "username u\n", "", "has no value"),
    ("remote_password_command", "cat secret", "username u\n", "", "has no value"),
    ("remote_password_timeout", "5s", "username u\nremote_password_command x\n", "soon", "no duration"),
    ("local_username", "ann", "", "", "has no value"),
    ("local_password", "sesame", "local_username u\n", "", "has no value"),
    ("local_password_file", "secret", "local_username u\n", "", "has no value"),
    ("profile", "mosquitto", "", "amazon", "aws-iot"),
    ("start_type", "once", "", "manual", "automatic, lazy or once"),
    ("threshold", "5", "start_type lazy\n", "many", "no whole number"),
    ("idle_timeout", "30", "start_type lazy\n", "soon", "no duration"),
    ("restart_timeout", "10 60 5", "", "60 10", "not less than the first"),
    ("round_robin", "false", "", "maybe", "true or false"),
    ("bridge_connect_timeout", "20s", "", "0", "must be from"),
    ("keepalive_interval", "30", "", "65536", "from 0 to 65535"),
    ("bridge_ack_timeout", "1m", "", "0", "must be from"),
    ("cleansession", "true", "", "yes", "true or false"),
    ("local_cleansession", "true", "", "yes", "true or false"),
    ("bridge_protocol_version", "mqttv31", "", "mqttv4", "mqttv50"),
    ("try_private", "false", "", "no", "true or false"),
    ("notifications", "false", "", "no", "true or false"),
    ("notifications_local_only", "true", "", "no", "true or false"),
    ("notification_topic", "bridges/cloud/state", "", "bridges/#", "no + and #"),
    ("bridge_attempt_unsubscribe", "false", "", "no", "true or false"),
    ("bridge_outgoing_retain", "false", "", "no", "true or false"),
    ("bridge_max_packet_size", "100000", "", "19", "at least 20"),
    ("bridge_receive_maximum", "10", "bridge_protocol_version mqttv50\ncleansession true\n", "65536", "from 0 to 65535"),
    ("bridge_session_expiry_interval", "3600", "bridge_protocol_version mqttv50\n", "-2", "from -1"),
    ("bridge_max_topic_alias", "5", "bridge_protocol_version mqttv50\ncleansession true\n", "65536", "from 0 to 65535"),
    ("bridge_reload_type", "immediate", "", "eager", "lazy"),
    ("bridge_transport", "websockets", "", "udp", "tcp"),
    ("bridge_websockets_path", "/ws", "bridge_transport websockets\n", "ws", "begin with a slash"),
    ("bridge_http_proxy", "http://u:p@proxy:3128", "", "", "has no value"),
    ("bridge_http_proxy_password_file", "secret", "bridge_http_proxy http://u@proxy:3128\n", "", "has no value"),
    ("bridge_bind_address", "127.0.0.1", "", "", "has no value"),
    ("bridge_tcp_keepalive", "60 10 5", "", "60 10", "three numbers"),
    ("bridge_tcp_user_timeout", "30000", "", "-1", "must be from 0"),
    ("bridge_cafile", "ca.pem", "", "", "has no value"),
    ("bridge_capath", "hashed", "", "", "has no value"),
    ("bridge_tls_use_os_certs", "true", "", "yes", "true or false"),
    ("bridge_certfile", "server.pem", TLS + "bridge_keyfile server.key\n", "", "has no value"),
    ("bridge_keyfile", "server.key", TLS + "bridge_certfile server.pem\n", "", "has no value"),
    ("bridge_identity", "edge7", "bridge_psk 0123abcd\n", "", "has no value"),
    ("bridge_psk", "0123ABCD", "bridge_identity edge7\n", "0x12", "hexadecimal digits"),
    ("bridge_alpn", "mqtt", TLS, "x" * 256, "255 bytes"),
    ("bridge_tls_version", "tlsv1.3", TLS, "tlsv1.4", "tlsv1.2 or tlsv1.3"),
    ("bridge_ciphers", "ECDHE+AESGCM", TLS, "", "has no value"),
    ("bridge_ciphers_tls1.3", "TLS_AES_128_GCM_SHA256", TLS, "", "has no value"),
    ("bridge_insecure", "false", TLS, "no", "true or false"),
    ("bridge_require_ocsp", "true", TLS, "no", "true or false"),
    ("queue_dir", "queues", "", "", "has no value"),
    ("queue_max_bytes", "500m", "", "plenty", "500m or 1g"),
    ("queue_max_age", "1d", "", "a week", "no duration"),
    ("queue_overflow", "stop_reading", "", "explode", "drop_oldest"),
    ("queue_order", "newest_first", "", "random", "fifo"),
    ("queue_priority", "alarms/# 10", "", "alarms/#", "a filter and a number"),
    ("durability", "relaxed", "", "none", "full"),
    ("drain_rate", "500/s burst 1000", "", "fast", "no rate"),
    ("drain_bytes_rate", "1m/s", "", "fast", "no rate"),
    ("dead_letter_after", "0", "", "-1", "must be from 0"),
    ("max_inflight_messages", "100", "", "65536", "from 0 to 65535"),
    ("max_queued_messages", "5000", "", "-1", "must be from 0"),
    ("max_queued_bytes", "10m", "", "much", "500m or 1g"),
    ("queue_qos0_messages", "true", "", "yes", "true or false"),
    ("upgrade_outgoing_qos", "true", "", "yes", "true or false"),
]


@pytest.fixture
def check(tmp_path, server_files):
    """check(text): `-t` with that configuration, good certificates beside it: the findings, without the folder's name."""
    for name, path in server_files.items():
        shutil.copy(path, tmp_path / name)
    (tmp_path / "secret").write_text("sesame\n")
    (tmp_path / "hashed").mkdir()
    shutil.copy(server_files["ca.pem"], tmp_path / "hashed/ca.pem")
    subprocess.run(["openssl", "rehash", str(tmp_path / "hashed")], check=True, capture_output=True)

    def run_check(text):
        (tmp_path / "it.conf").write_text(text)
        done = run("-t", "-c", tmp_path / "it.conf")
        said = [line for line in done.stderr.replace(str(tmp_path) + "/", "").splitlines()
                if "the configuration is good." not in line]
        if any(not line.startswith(("Warning: ", "Note: ")) for line in said):
            assert done.returncode == 1
        return said

    return run_check


@pytest.fixture(scope="module")
def server_files(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("certs") / "ca")
    certificate, key = authority.issue_device("edge7")
    return {"ca.pem": authority.crt, "server.pem": certificate, "server.key": key}


def test_every_keyword_is_here():
    text = (REPOSITORY / "include/conf/options.def").read_text(encoding="utf-8")
    text = text[text.index('SECTION("Bridges"'):text.index('SECTION("Logging"')]
    assert [row[0] for row in KEYWORDS] == re.findall(r'^(?:OPTION|ALIAS|TWIN)\([^"]*"([^"]+)"', text, re.M)


@pytest.mark.parametrize("keyword, good, others, bad, words", KEYWORDS, ids=lambda value: None)
def test_keywords(check, keyword, good, others, bad, words):
    begin = SECTION
    if keyword in ("address", "addresses"):
        begin = "backend 127.0.0.1:1\nconnection cloud\ntopic #\n# four\n"
        good = "a.example:8883 [2001:db8::1]:8884 192.0.2.1 # three"
    assert check("%s%s%s %s\n" % (begin, others, keyword, good)) == []
    line = (begin + others).count("\n") + 1
    findings = check("%s%s%s %s\n" % (begin, others, keyword, bad))
    errors = [one for one in findings if one.startswith("it.conf:")]
    assert len(errors) == 1 and errors[0].startswith("it.conf:%d: " % line), findings
    assert words in errors[0] and keyword in errors[0].replace("the name of the connection", "connection"), errors


@pytest.mark.parametrize("keyword", [row[0] for row in KEYWORDS if row[0].startswith(("bridge_", "remote_", "notification"))])
def test_keywords_outside_of_a_section(check, keyword):
    findings = check("backend 127.0.0.1:1\nlistener 1883 127.0.0.1\nallow_anonymous true\n%s 1\n" % keyword)
    assert findings == ["it.conf:4: %s belongs to a bridge; put it below the connection line it is meant for, or remove it" % keyword]


# As they stand in the tutorials that people copy, with only the backend line added.
TUTORIALS = {
    "steve's": """
# Bridge to the cloud broker
connection bridge-01
address 192.168.1.184:1883
topic # out 0
topic # in 0
""",
    "prefixes": """
connection bridge_to_main
address main.example.com
topic sensors/# out 0 house1/ ""
topic commands/# in 1 "" house1/
remote_username bridge
remote_password s3cret word
start_type automatic
notifications true
notification_topic house1/bridge/state
cleansession true
try_private true
""",
    "aws": """
# create bridge to AWS
connection awsiot
address XXXXXXXXXXXXXX-ats.iot.us-east-1.amazonaws.com:8883
# Specifying which topics are bridged
topic awsiot_to_localgateway in 1
topic localgateway_to_awsiot out 1
topic both_directions both 1
# Setting protocol version explicitly
bridge_protocol_version mqttv311
bridge_insecure false
# Bridge connection name and MQTT client Id, enabling the connection automatically when the broker starts.
cleansession true
clientid bridgeawsiot
start_type automatic
notifications false
log_type all
# Path to the rootCA, the certificate and the key
bridge_cafile ca.pem
bridge_certfile server.pem
bridge_keyfile server.key
""",
    "azure": """
connection azureiot
address hub.azure-devices.net:8883
remote_clientid device1
remote_username hub.azure-devices.net/device1/?api-version=2018-06-30
remote_password SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fdevice1&sig=abc%3D&se=1600000000
bridge_cafile ca.pem
bridge_protocol_version mqttv311
try_private false
cleansession true
start_type automatic
bridge_insecure false
notifications false
bridge_attempt_unsubscribe false
topic devices/device1/messages/events/# out 1
topic devices/device1/messages/devicebound/# in 1
""",
    "home assistant": """
persistence true
persistence_location /mosquitto/data/
log_dest stdout
max_queued_messages 8192
listener 1883 127.0.0.1
allow_anonymous true

connection first
addresses a.example.com:1883 b.example.com:1884
round_robin true
topic zigbee2mqtt/# both 2
keepalive_interval 300
restart_timeout 10 30

connection second
address c.example.com:8883
topic "" in 1 home/state remote/home/state
topic owntracks/+/+ in 0 "" remote/
bridge_tls_use_os_certs true
start_type lazy
topic cmd/# out 1
threshold 1
idle_timeout 10
local_clientid bridge.second
local_username bridge
local_password inside
""",
}


@pytest.mark.parametrize("name", TUTORIALS)
def test_files_of_mosquitto_pass_unchanged(check, name):
    """Nothing is refused, and nothing is said but what concerns the broker alone."""
    findings = check("backend 127.0.0.1:1\n" + TUTORIALS[name])
    assert [one for one in findings if "for the broker, without effect here: persistence" not in one] == []


def test_several_files(check, tmp_path):
    """A section ends with its file; values above any connection hold for those of other files."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.conf").write_text("connection a\naddress h\ntopic #\n")
    (tmp_path / "conf.d/b.conf").write_text("connection b\naddress h\ntopic #\n")
    (tmp_path / "conf.d/c.conf").write_text("keepalive_interval 30\n")
    main = "backend 127.0.0.1:1\nqueue_max_bytes 1m\ninclude_dir conf.d\n"
    assert check(main) == ["conf.d/c.conf:1: keepalive_interval belongs to a bridge; put it below the connection line it is meant for, or remove it"]
    (tmp_path / "conf.d/c.conf").write_text("connection a\naddress h\ntopic #\n")
    assert check(main) == ["conf.d/c.conf:1: connection a stands at conf.d/a.conf:1 already; give each its own name"]
    (tmp_path / "conf.d/c.conf").write_text("# nothing\n")
    assert check(main) == []


def test_all_errors_are_told_at_once(check):
    findings = check(SECTION + "topic a+\nqos 1\nstart_type manual\nconnection x\nlocal_clientid y\n")
    assert [one.split(": ")[0] for one in findings if one.startswith("it.conf")] == ["it.conf:5", "it.conf:6", "it.conf:7", "it.conf:8", "it.conf:8"]


def test_a_backend_is_required(check):
    assert any("there is no backend" in one for one in check("connection cloud\naddress h\ntopic #\n"))


# ---- running ----

RUNNING = "backend 127.0.0.1:%d\nmetrics_listener 127.0.0.1:%d\nqueue_dir queues\nconnection cloud\naddress 127.0.0.1:%d\ntopic a/# out 1\n"


@pytest.fixture
def pure(gate_of, tmp_path):
    """A pure bridge whose brokers are away: (the running program, its configuration, its metrics port)."""
    (tmp_path / "it.conf").write_text(SECTION)
    ports = [free_port() for _ in range(3)]
    config = RUNNING % tuple(ports)
    return gate_of(config), config, ports[1]


def test_a_pure_bridge_opens_no_port(pure):
    gate, _, metrics_port = pure
    listening = {line.split()[9] for name in ("net/tcp", "net/tcp6") for line in gate.proc(name).splitlines()[1:] if line.split()[3] == "0A"}
    mine = {os.readlink(path) for path in pathlib.Path("/proc/%d/fd" % gate.pid).iterdir()}
    assert len([inode for inode in listening if "socket:[%s]" % inode in mine]) == 1  # the metrics
    assert "drawbridge_" in urllib.request.urlopen("http://127.0.0.1:%d/metrics" % metrics_port, timeout=10).read().decode()


def test_a_reload_tells_what_changes_of_which_bridge(pure):
    gate, config, _ = pure
    said = gate.reload(config + "keepalive_interval 30\npassword sesame\nusername u\nconnection second\naddress h\ntopic #\n")
    assert re.search(r"conf:7: connection cloud: keepalive_interval changes from 60 to 30\.", said)
    assert "connection cloud: remote_password changes from none to a text that is not shown." in said and "sesame" not in said
    assert re.search(r"conf:10: connection second is new\.", said)
    said = gate.reload(config)
    assert re.search(r"conf:10: connection second is gone\.", said) and "keepalive_interval changes from 30 to 60" in said
    said = gate.reload("queue_max_bytes 1m\n" + config)
    assert said.count("queue_max_bytes changes from 1073741824 to 1048576") == 1
    said = gate.reload(config.replace("queue_dir queues", "queue_dir other"))
    assert re.search(r"queue_dir changes from \S+queues to \S+other: needs a restart", said)
    said = gate.reload(config + "topic a+\n")
    assert "refused" in said and "conf:7: the local filter 'a+'" in said
