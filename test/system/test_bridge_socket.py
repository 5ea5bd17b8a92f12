"""What a bridge's connection to the remote broker is made from, and how the system looks after it."""
import socket

import pytest

from peers.bridged import Bridged
from peers.gate import run


@pytest.fixture
def bridge_to(gate_of, tmp_path, broker):
    def make(address, lines, **options):
        return Bridged(gate_of, tmp_path, broker.port, address, "topic nothing/here out\n" + lines, **options)

    return make


def option(sock, level, name):
    return sock.getsockopt(level, name)


def test_it_comes_from_the_bind_address(bridge_to, backend_of):
    backend = backend_of()
    bridge_to("127.0.0.1:%d" % backend.port, "bridge_bind_address 127.0.0.77").wait_up()
    assert backend.wait_connection().sock.getpeername()[0] == "127.0.0.77"


@pytest.mark.parametrize("address, words", [
    ("192.0.2.1", r"it cannot be reached from bridge_bind_address 192\.0\.2\.1: "),
    ("::1", r"it cannot be reached from bridge_bind_address ::1: it has no address of that family")])
def test_a_bind_address_that_cannot_be(bridge_to, backend_of, address, words):
    backend = backend_of()
    bridge = bridge_to("127.0.0.1:%d" % backend.port, "bridge_bind_address " + address)
    bridge.gate.wait_log(words, 2)  # it goes on trying: the address may come with the network
    assert backend.count() == 0
    assert bridge.metric("connection_ends", side="remote", cause="unreachable") >= 2


def test_a_bind_address_that_is_none(tmp_path):
    path = tmp_path / "drawbridge.conf"
    path.write_text("backend 127.0.0.1:1883\nqueue_dir %s\nconnection cloud\naddress 127.0.0.1:1884\ntopic a out\n"
                    "bridge_bind_address no-such-name.invalid\n" % tmp_path)
    done = run("-c", path, "-t")
    assert done.returncode != 0 and "bridge_bind_address is 'no-such-name.invalid', which is no address" in done.stdout + done.stderr


def test_probes_and_the_user_timeout(bridge_to, backend_of):
    backend = backend_of()
    bridge = bridge_to("127.0.0.1:%d" % backend.port, "bridge_tcp_keepalive 61 11 4\nbridge_tcp_user_timeout 23456").wait_up()
    with bridge.socket_to(backend.port) as sock:
        assert option(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 61
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 11
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 23456
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_without_them_the_system_decides(bridge_to, backend_of):
    backend = backend_of()
    bridge = bridge_to("127.0.0.1:%d" % backend.port, "").wait_up()
    with bridge.socket_to(backend.port) as sock:
        assert option(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
        assert option(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_an_address_off_the_loopback(bridge_to):
    """Where connecting takes its time the options are there as well, before the connection is."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own.connect(("192.0.2.1", 9))
        address = own.getsockname()[0]
    except OSError:
        pytest.skip("this machine has no address but the loopback")
    finally:
        own.close()
    with socket.create_server((address, 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        bridge = bridge_to("%s:%d" % (address, port), "bridge_bind_address %s\nbridge_tcp_keepalive 62 12 5" % address)
        peer, where = listener.accept()
        with peer, bridge.socket_to(port) as sock:
            assert where[0] == address
            assert option(sock, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 62
            assert option(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
