"""Session tickets: what they outlive, what they are bound to."""
import os
import socket
import ssl
import subprocess
import time

import pytest

from peers.device import Device, tls_context

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13])


@pytest.fixture(scope="module")
def backend(shared_backend_of):
    return shared_backend_of()


class Visitor:
    """A device that keeps its ticket."""

    def __init__(self, certs, version, *own):
        self.context = tls_context(certs.cafile, *own, minimum=version, maximum=version)
        self.session = None

    def comes(self, port, keeps=True):
        """Connects with the ticket, if there is one; was it resumed? `keeps` the ticket given this time."""
        with Device.__new__(Device) as device:
            device.version, device.buffer, device.was_reset = 4, b"", False
            device.sock = self.context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1",
                                                   session=self.session)
            device.connect()
            assert device.ping()  # TLS 1.3: tickets come behind the handshake
            if keeps:
                self.session = device.sock.session
            return device.sock.session_reused


def write_keys(path, *keys):
    path.write_bytes(b"".join(keys))
    path.chmod(0o600)
    return path


@BOTH
def test_own_keys_outlive_a_reload(gate_of, backend, certs, port, version):
    config = "backend 127.0.0.1:%d\nlistener %d\n%s" % (backend.port, port, certs.tls)
    gate = gate_of(config)
    visitor = Visitor(certs, version)
    assert not visitor.comes(port) and visitor.comes(port)
    assert "in force" in gate.reload(config + "max_keepalive 100\n")
    assert visitor.comes(port)
    gate.stop()
    gate_of(config)
    assert not visitor.comes(port), "keys of our own are gone with the process"


def test_each_resumption_brings_the_next_ticket(gate_of, backend, certs, port, tmp_path):
    """A client of TLS 1.3 may use a ticket once (RFC 8446 C.4): without a new one every second visit would be a full handshake."""
    gate_of("backend 127.0.0.1:%d\nlistener %d\n%s" % (backend.port, port, certs.tls))
    words = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_3", "-sess_out", tmp_path / "ticket"]
    for visit in range(4):
        own = ["-sess_in", tmp_path / "ticket"] if visit else []
        with subprocess.Popen(words + own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
            seen = ""
            for line in client.stdout:
                seen += line
                if "New Session Ticket arrived" in line:
                    break
            client.kill()
        assert "New Session Ticket arrived" in seen, "visit %d brings no ticket:\n%s" % (visit, seen)
        assert ("Reused, TLSv1.3" in seen) == (visit > 0)


@BOTH
def test_what_binds_changes_at_a_reload(gate_of, backend, certs, port, version):
    mutual = "backend 127.0.0.1:%d\nlistener %d\n%scafile %%s\nrequire_certificate true\n" % (backend.port, port, certs.tls)
    gate = gate_of(mutual % certs.device_ca.crt)
    visitor = Visitor(certs, version, *certs.alice)
    assert not visitor.comes(port) and visitor.comes(port)
    both = gate.folder / "both.crt"
    both.write_text(certs.device_ca.crt.read_text() + certs.ca.crt.read_text())
    assert "in force" in gate.reload(mutual % both)
    assert not visitor.comes(port), "other CAs"
    assert visitor.comes(port)


@BOTH
def test_a_key_file_outlives_a_restart(gate_of, backend, certs, port, version, tmp_path):
    keys = write_keys(tmp_path / "keys", os.urandom(80))
    config = "backend 127.0.0.1:%d\nlistener %d\n%sticket_keyfile %s\n" % (backend.port, port, certs.tls, keys)
    gate = gate_of(config)
    visitor = Visitor(certs, version)
    assert not visitor.comes(port)
    gate.stop()
    gate = gate_of(config)
    assert visitor.comes(port)
    gate.stop()
    write_keys(keys, os.urandom(80))
    gate_of(config)
    assert not visitor.comes(port)


def test_instances_share_a_key_file(gate_of, backend, certs, port, tmp_path):
    """Behind a balancer: the same port on other addresses."""
    keys = write_keys(tmp_path / "keys", os.urandom(80))
    gates = ["backend 127.0.0.1:%d\nlistener %d 127.0.0.%d\n%sticket_keyfile %s\n" % (backend.port, port, number, certs.tls, keys)
             for number in (1, 2)]
    gate = gate_of(gates[0])
    visitor = Visitor(certs, V13)
    assert not visitor.comes(port)
    gate_of(gates[1])
    sock = visitor.context.wrap_socket(socket.create_connection(("127.0.0.2", port)), server_hostname="127.0.0.1", session=visitor.session)
    assert sock.session_reused
    sock.close()
    gate.stop()


@BOTH
def test_key_file_is_read_again(gate_of, backend, certs, port, version, tmp_path):
    """A new key in front: old tickets are taken and renewed; without the old key they are refused."""
    first, second = os.urandom(80), os.urandom(80)
    keys = write_keys(tmp_path / "keys", first)
    gate = gate_of("backend 127.0.0.1:%d\nlistener %d\n%sticket_keyfile %s\n" % (backend.port, port, certs.tls, keys))
    old, visitor = Visitor(certs, version), Visitor(certs, version)
    assert not old.comes(port) and not visitor.comes(port)
    write_keys(keys, second, first)
    assert "in force" in gate.reload()
    assert visitor.comes(port) and old.comes(port, keeps=False)
    write_keys(keys, second)
    assert "in force" in gate.reload()
    assert visitor.comes(port), "it was given a ticket of the new key"
    assert not old.comes(port)
    for broken in (b"", second[:48], second + b"\n", bytes(80)):
        keys.write_bytes(broken)
        log = gate.reload()
        assert "refused" in log and "ticket_keyfile" in log
        assert visitor.comes(port), "the old keys stay"
    keys.unlink()
    assert "refused" in gate.reload()
    assert visitor.comes(port)


@BOTH
def test_tickets_end(gate_of, backend, certs, port, version):
    gate_of("backend 127.0.0.1:%d\nticket_rotation 1s\nlistener %d\n%s" % (backend.port, port, certs.tls))
    visitor = Visitor(certs, version)
    assert not visitor.comes(port)
    time.sleep(3)
    assert not visitor.comes(port)


def test_no_tickets(gate_of, backend, certs, port):
    gate_of("backend 127.0.0.1:%d\nticket_rotation 0\nlistener %d\n%s" % (backend.port, port, certs.tls))
    for version in (V12, V13):
        visitor = Visitor(certs, version)
        assert not visitor.comes(port) and not visitor.comes(port)
        assert visitor.session is None or not visitor.session.has_ticket
