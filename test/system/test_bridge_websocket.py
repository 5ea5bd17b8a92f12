"""A bridge over WebSocket (RFC 6455, MQTT 5.0 6) to a broker behind a server of our own."""
import ssl
import struct

import pytest

from peers import packets as mqtt
from peers.bridged import Bridged
from peers.broker import publish
from peers.gate import run
from peers.websockets import BINARY, CLOSE, PING, PONG, TEXT, WebSocketServer, accept_of, frame
from test_http_proxy import Proxy

OVER = "bridge_transport websockets\n"


@pytest.fixture
def server_of():
    made = []

    def make(*arguments, **options):
        made.append(WebSocketServer(*arguments, **options))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def bridge_to(gate_of, tmp_path, broker):
    def make(port, lines="topic w/# both 2", **options):
        return Bridged(gate_of, tmp_path, broker.port, "127.0.0.1:%d" % port, OVER + lines, **options)

    return make


def cross(bridge, here, there, broker, remote):
    """Messages of all sizes, both ways."""
    publish(broker.port, "-t", "w/out", "-m", "small", "-q", 1)
    publish(broker.port, "-t", "w/out", "-s", "-q", 2, stdin=b"L" * 200000)
    publish(remote.port, "-t", "w/in", "-m", "small", "-q", 1)
    publish(remote.port, "-t", "w/in", "-s", "-q", 2, stdin=b"l" * 200000)
    assert [message[3] for message in there.wait(2)] == [b"small", b"L" * 200000], bridge.gate.log()
    assert [message[3] for message in here.wait(2)] == [b"small", b"l" * 200000]


@pytest.fixture
def sides(broker, broker_of, subscriber_of):
    remote = broker_of("max_queued_messages 0\n")
    return subscriber_of(broker.port, "-t", "w/in", "-q", 2), subscriber_of(remote.port, "-t", "w/out", "-q", 2), broker, remote


@pytest.mark.parametrize("piece", [None, 1000, 7])
def test_messages_cross(bridge_to, server_of, sides, piece):
    """Also where a packet comes in many frames, with pings between them."""
    server = server_of(sides[3].port, piece=piece)
    bridge = bridge_to(server.port, "topic w/# both 2\nbridge_websockets_path /way/in?site=1").wait_up()
    cross(bridge, *sides)
    head = server.heads[0].split(b"\r\n")
    assert head[0] == b"GET /way/in?site=1 HTTP/1.1"
    assert b"Host: 127.0.0.1:%d" % server.port in head and b"Sec-WebSocket-Protocol: mqtt" in head
    assert b"Sec-WebSocket-Version: 13" in head and b"Upgrade: websocket" in head and b"Connection: Upgrade" in head
    if piece:
        assert server.wait_frame(PONG) == b"between"
    assert {kind for kind, _ in server.frames} <= {BINARY, PONG}


def test_many_packets_go_in_one_frame(bridge_to, server_of, sides):
    server = server_of(sides[3].port)
    bridge_to(server.port).wait_up()
    publish(sides[2].port, "-t", "w/out", "-l", "-q", 1, stdin=b"x\n" * 500)
    sides[1].wait(500)
    counts = [len([raw for raw in mqtt.split(payload)[0] if raw[0] >> 4 == mqtt.PUBLISH]) for kind, payload in server.frames
              if kind == BINARY]
    assert sum(counts) >= 500 and max(counts) > 3


def test_it_says_goodbye(bridge_to, server_of, sides):
    server = server_of(sides[3].port)
    bridge = bridge_to(server.port).wait_up()
    bridge.gate.stop()
    assert server.wait_frame(CLOSE) == struct.pack(">H", 1000)
    assert [raw[0] >> 4 for raw in mqtt.split(b"".join(payload for kind, payload in server.frames if kind == BINARY))[0]][-1] == mqtt.DISCONNECT


def usual(fields, **more):
    lines = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "mqtt",
             "Sec-WebSocket-Accept": accept_of(fields[b"Sec-WebSocket-Key"]).decode(), **more}
    return ("HTTP/1.1 101 OK\r\n" + "".join("%s: %s\r\n" % line for line in lines.items() if line[1] is not None) + "\r\n").encode()


@pytest.mark.parametrize("answer, words", [
    (lambda fields: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "it refused the WebSocket: 403 Forbidden"),
    (lambda fields: b"HTTP/1.0 101 OK\r\n\r\n", "it did not answer in HTTP/1.1"),
    (lambda fields: b"\x20\x02\x00\x00\r\n\r\n", "it did not answer in HTTP/1.1"),
    (lambda fields: usual(fields, **{"Upgrade": "h2c"}), "its answer does not switch to WebSocket"),
    (lambda fields: usual(fields, **{"Connection": "close"}), "its answer does not switch to WebSocket"),
    (lambda fields: usual(fields, **{"Sec-WebSocket-Accept": "A" * 27 + "="}), "its Sec-WebSocket-Accept is not the answer to our key"),
    (lambda fields: usual(fields, **{"Sec-WebSocket-Protocol": None}), "it does not take the subprotocol mqtt"),
    (lambda fields: usual(fields, **{"Sec-WebSocket-Protocol": "mqttv3.1"}), "it does not take the subprotocol mqtt"),
    (lambda fields: usual(fields, **{"Sec-WebSocket-Extensions": "permessage-deflate"}), "it wants a WebSocket extension"),
    (lambda fields: usual(fields, **{"X-Long": "x" * 9000}), "the head of its answer is too long")])
def test_a_handshake_that_is_refused(bridge_to, server_of, broker, answer, words):
    server = server_of(broker.port, answer=answer)
    bridge = bridge_to(server.port)
    bridge.gate.wait_log(r"the remote broker at 127\.0\.0\.1:\d+ is not there: " + words, 2)
    assert not server.frames
    assert bridge.metric("connection_ends", side="remote", cause="websocket_error") >= 2


def test_no_answer_at_all(bridge_to, server_of, broker):
    server = server_of(broker.port, answer=lambda fields: b"HTTP/1.1 101 OK\r\n")
    bridge_to(server.port, "topic w/# both\nbridge_connect_timeout 500ms").gate.wait_log(
        "it did not answer the request for a WebSocket within 500 ms")


@pytest.mark.parametrize("bad, words", [
    (frame(TEXT, b"hello"), r"it sent a text frame, where MQTT comes in binary ones"),
    (b"\xc2\x00", "what it sent is no proper WebSocket frame"),  # a reserved bit
    (b"\x83\x00", "what it sent is no proper WebSocket frame"),  # an opcode that is none
    (frame(0, b"x"), "what it sent is no proper WebSocket frame"),  # it continues nothing
    (frame(PING, b"x" * 126), "what it sent is no proper WebSocket frame"),
    (frame(CLOSE, b"\x03\xe9gone"), "it closed the WebSocket with code 1001"),
    (frame(BINARY, b"\x00\x00"), "what it sent is no MQTT")])
def test_frames_that_are_wrong(bridge_to, server_of, broker, bad, words):
    server = server_of(broker.port, front=bad)
    bridge_to(server.port).gate.wait_log(words, 2)


def test_through_tls_and_an_http_proxy(bridge_to, server_of, sides, certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_crt, certs.server_key)
    server = server_of(sides[3].port, tls=context)
    proxy = Proxy(credentials=b"edge:pass")
    bridge = bridge_to(server.port, "topic w/# both 2\nbridge_cafile %s\nbridge_http_proxy http://edge:pass@127.0.0.1:%d" % (
        certs.cafile, proxy.port)).wait_up()
    cross(bridge, *sides)
    assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:%d " % server.port)
    assert b"Host: 127.0.0.1:%d" % server.port in server.heads[0]


def test_it_comes_again(bridge_to, server_of, sides):
    server = server_of(sides[3].port)
    bridge = bridge_to(server.port).wait_up()
    server.sockets[0].shutdown(2)
    bridge.wait_up(2)
    cross(bridge, *sides)


@pytest.mark.parametrize("path", ["/a b", "/a#b", "/caf\u00e9", "nothing"])
def test_paths_that_cannot_be(tmp_path, path):
    config = tmp_path / "drawbridge.conf"
    config.write_text("backend 127.0.0.1:1883\nqueue_dir %s\nconnection cloud\naddress 127.0.0.1:80\ntopic a out\n"
                      "bridge_transport websockets\nbridge_websockets_path %s\n" % (tmp_path, path), encoding="utf-8")
    done = run("-c", config, "-t")
    assert done.returncode != 0 and "bridge_websockets_path" in done.stdout + done.stderr
