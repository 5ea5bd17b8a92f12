"""Fixtures of the system tests. Run from the repository root:

    DRAWBRIDGE=build/asan/drawbridge /usr/bin/python3 -m pytest test/system -q
"""
import sys
import types

import pytest

sys.dont_write_bytecode = True

from peers.backend import RecordingBackend  # noqa: E402
from peers.bridge import World  # noqa: E402
from peers.broker import Broker, Subscriber  # noqa: E402
from peers.certs import Authority  # noqa: E402
from peers.device import Device, tls_context  # noqa: E402
from peers.gate import Gate  # noqa: E402
from peers.ports import free_port  # noqa: E402


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """One CA and its server certificate (ECDSA), and the CA of the devices with a few of them."""
    folder = tmp_path_factory.mktemp("certs")
    ca = Authority(folder / "server-ca", "Server CA")
    server_crt, server_key = ca.issue_server()
    device_ca = Authority(folder / "device-ca", "Device CA")
    alice = device_ca.issue_device("alice", "/O=firm/OU=plant/CN=alice")
    mallory = device_ca.issue_device("mallory")
    device_ca.revoke("mallory")
    return types.SimpleNamespace(folder=folder, ca=ca, cafile=ca.crt, server_crt=server_crt, server_key=server_key,
                                 device_ca=device_ca, alice=alice, mallory=mallory, crl=device_ca.write_crl(),
                                 tls="certfile %s\nkeyfile %s\n" % (server_crt, server_key))


@pytest.fixture(scope="session")
def tls(certs):
    """What a device needs to trust the server certificate of `certs`."""
    return tls_context(certs.cafile)


def _gates(folder):
    made = []

    def make(config, is_started=True, **options):
        place = folder / ("gate%d" % len(made))
        place.mkdir()
        gate = Gate(place, config, **options)
        made.append(gate)
        return gate.start() if is_started else gate

    def stop():
        errors = []
        for gate in made:
            try:
                gate.stop()
            except AssertionError as error:
                errors.append(str(error))
        assert not errors, "\n".join(errors)

    return make, stop


@pytest.fixture
def gate_of(tmp_path):
    """gate_of(config): a started Gate; at the end it must have ended cleanly."""
    make, stop = _gates(tmp_path)
    yield make
    stop()


@pytest.fixture(scope="module")
def shared_gate_of(tmp_path_factory):
    """The same for all tests of a file."""
    make, stop = _gates(tmp_path_factory.mktemp("shared"))
    yield make
    stop()


def _backends():
    made = []

    def make(script=None, **options):
        backend = RecordingBackend(options.pop("port", None) or free_port(), script, **options)
        made.append(backend)
        return backend

    def stop():
        for backend in made:
            backend.stop()

    return make, stop


@pytest.fixture
def backend_of():
    make, stop = _backends()
    yield make
    stop()


@pytest.fixture(scope="module")
def shared_backend_of():
    make, stop = _backends()
    yield make
    stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """A mosquitto for all tests that do not end it; topics are kept apart by the tests. 2.0.11 miscounts its
    max_inflight_messages with QoS 2 in both directions, without any proxy too: none here."""
    running = Broker(tmp_path_factory.mktemp("broker"), "max_queued_messages 0\nmax_inflight_messages 0\n").start()
    yield running
    running.stop()


@pytest.fixture
def broker_of(tmp_path):
    made = []

    def make(extra="", port=None):
        running = Broker(tmp_path / ("broker%d" % len(made)), extra, port).start()
        made.append(running)
        return running

    yield make
    for running in made:
        running.stop()


@pytest.fixture
def world(tmp_path, broker_of, gate_of):
    """world.start(lines): a gate with a bridge `cloud` between `.local` and `.remote`, up."""
    made = World(tmp_path, broker_of, gate_of)
    yield made
    made.stop()


@pytest.fixture
def subscriber_of():
    made = []

    def make(port, *arguments, **options):
        subscriber = Subscriber(port, *arguments, **options)
        made.append(subscriber)
        return subscriber

    yield make
    for subscriber in made:
        subscriber.stop()


@pytest.fixture
def device_of():
    """device_of(port, tls=None, version=4): a connected Device, closed at the end."""
    made = []

    def make(*arguments, **options):
        device = Device(*arguments, **options)
        made.append(device)
        return device

    yield make
    for device in made:
        device.close()


@pytest.fixture
def port():
    return free_port()
