"""watch_files true: a changed file is taken on without a signal, all or nothing."""
import os
import pathlib
import time

import pytest

from peers.device import tls_context

VERSIONS = [3, 4, 5]


@pytest.fixture
def backend(backend_of):
    return backend_of()


@pytest.fixture
def start(gate_of, backend, port, device_of, tmp_path):
    """start(files, lines, watch): a gate whose files are in tmp_path; returns a maker of devices."""

    def begin(lines="", watch="watch_files true", **files):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        gate = gate_of("backend 127.0.0.1:%d\n%s\nlistener %d 127.0.0.1\nallow_anonymous true\n%s\n"
                       % (backend.port, watch, port, lines.format(at=tmp_path)))

        def make(version=5, client_id="dev", **fields):
            device = device_of(port, version=version)
            device.connect(client_id, **fields)
            return device

        make.gate = gate
        return make

    return begin


def reloads(make):
    return make.gate.log().count("is in force")


def wait_reloads(make, count):
    end = time.monotonic() + 30
    while reloads(make) < count:
        assert time.monotonic() < end, make.gate.log()
        time.sleep(0.05)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_changed_acl(start, tmp_path, version):
    make = start("acl_file {at}/acl", acl="topic write old/#\n")
    device = make(version)
    refused = 0x87 if version == 5 else 0
    assert device.publish("old/x", "x", 1) == 0
    if version == 5:
        assert device.publish("new/x", "x", 1) == refused
    (tmp_path / "acl").write_text("topic write new/#\n")
    make.gate.wait_log("A file of the configuration has changed")
    wait_reloads(make, 1)
    time.sleep(0.2)
    assert device.publish("new/x", "x", 1) == 0
    assert device.publish("old/x", "x", 1) == refused
    assert device.ping()


def test_replaced_by_another_file(start, tmp_path):
    """As editors, configuration tools and mounted secrets do: a rename, and a link that points elsewhere."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "acl").write_text("topic write a/#\n")
    os.symlink(tmp_path / "folder", tmp_path / "current")
    make = start("acl_file {at}/current/acl", other="topic write b/#\n", third="topic write c/#\n")
    (tmp_path / "folder2").mkdir()
    os.rename(tmp_path / "other", tmp_path / "folder2" / "acl")
    os.symlink(tmp_path / "folder2", tmp_path / "next")
    os.rename(tmp_path / "next", tmp_path / "current")
    wait_reloads(make, 1)
    os.rename(tmp_path / "third", tmp_path / "folder2" / "acl")
    wait_reloads(make, 2)
    device = make(5)
    assert [device.publish(topic, "x", 1) for topic in ("a/x", "b/x", "c/x")] == [0x87, 0x87, 0]


def test_a_bad_file_changes_nothing(start, tmp_path):
    make = start("acl_file {at}/acl", acl="topic write old/#\n")
    device = make(5)
    (tmp_path / "acl").write_text("topic wrote old/#\n")
    make.gate.wait_log("The reload was refused")
    assert device.publish("old/x", "x", 1) == 0
    time.sleep(2.5)
    assert make.gate.log().count("The reload was refused") == 1, "it is tried once, not over and over"
    (tmp_path / "acl").unlink()
    make.gate.wait_log("The reload was refused", 2)
    assert device.publish("old/x", "x", 1) == 0
    (tmp_path / "acl").write_text("topic write new/#\n")
    wait_reloads(make, 1)
    time.sleep(0.2)
    assert device.publish("new/x", "x", 1) == 0


def test_a_file_that_is_still_written_is_waited_for(start, tmp_path):
    """Not read before nothing has moved for a second."""
    make = start("acl_file {at}/acl", acl="topic write old/#\n")
    with open(tmp_path / "acl", "w") as acl:
        for number in range(20):
            acl.write("topic write new/%d\n" % number)
            acl.flush()
            time.sleep(0.15)
        acl.write("topic wri")
        acl.flush()
        time.sleep(0.15)
        acl.write("te new/end\n")
    wait_reloads(make, 1)
    assert "refused" not in make.gate.log()
    assert make(5).publish("new/end", "x", 1) == 0


def test_certificates_and_folders(start, certs, gate_of, backend, port, device_of, tmp_path):
    """Also files of the TLS side, those of include_dir, and a new one there."""
    for line in certs.tls.splitlines():
        if line.startswith(("certfile ", "keyfile ")):
            (tmp_path / line.split()[0]).write_bytes(pathlib.Path(line.split()[1]).read_bytes())
    (tmp_path / "more").mkdir()
    gate = gate_of("backend 127.0.0.1:%d\nwatch_files true\nallow_anonymous true\nlistener %d 127.0.0.1\ncertfile %s\nkeyfile %s\ninclude_dir %s\n"
                   % (backend.port, port, tmp_path / "certfile", tmp_path / "keyfile", tmp_path / "more"))
    device = device_of(port, tls_context(certs.cafile))
    device.connect("dev")

    def count(wanted):
        end = time.monotonic() + 30
        while gate.log().count("is in force") < wanted:
            assert time.monotonic() < end, gate.log()
            time.sleep(0.05)

    os.utime(tmp_path / "certfile")
    count(1)
    (tmp_path / "more" / "a.conf").write_text("max_keepalive 100\n")
    count(2)
    (tmp_path / "more" / "a.conf").write_text("max_keepalive 200\n")
    count(3)
    assert device.ping()


def test_off_and_switched(start, tmp_path):
    make = start("acl_file {at}/acl", watch="", acl="topic write old/#\n")
    (tmp_path / "acl").write_text("topic write new/#\n")
    time.sleep(3)
    assert reloads(make) == 0
    config = pathlib.Path(make.gate.path).read_text()
    make.gate.reload("watch_files true\n" + config)
    (tmp_path / "acl").write_text("topic write newer/#\n")
    wait_reloads(make, 2)


def test_a_write_during_the_reload_is_seen(start, tmp_path):
    """SIGHUP in the middle of a write: what came behind the reader's back is read as well."""
    make = start("acl_file {at}/acl", acl="topic write old/#\n")
    (tmp_path / "acl").write_text("topic write half/#\n")
    make.gate.reload()
    (tmp_path / "acl").write_text("topic write whole/#\n")
    end = time.monotonic() + 30
    while True:
        if make(5).publish("whole/x", "x", 1) == 0:
            return
        assert time.monotonic() < end, make.gate.log()
        time.sleep(0.2)
