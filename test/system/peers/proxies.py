"""The PROXY protocol, written and read strictly, and haproxy and nginx as proxies in front of a program."""
import ipaddress
import os
import pathlib
import socket
import struct
import subprocess
import time

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FAMILIES = {0x11: (4, socket.AF_INET), 0x21: (16, socket.AF_INET6)}
WAIT_S = 30
_path = os.environ["PATH"] + ":/usr/sbin:/sbin"


def line(source, destination="192.0.2.1", source_port=4711, destination_port=8883):
    kind = "TCP6" if ":" in source else "TCP4"
    return ("PROXY %s %s %s %d %d\r\n" % (kind, source, destination, source_port, destination_port)).encode()


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def tls_tlv(client=7, verify=0, version=b"TLSv1.3", name=None, cipher=None):
    parts = [(0x21, version), (0x22, name), (0x23, cipher)]
    return tlv(0x20, struct.pack(">BI", client, verify) + b"".join(tlv(kind, value) for kind, value in parts if value is not None))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def header(source=None, destination="192.0.2.1", source_port=4711, destination_port=8883, tlvs=b"", command=0x21, family=None, has_sum=False):
    """Version 2; without a source: LOCAL."""
    body = b""
    if source is None:
        command, family = 0x20, family or 0
    else:
        ends = [ipaddress.ip_address(text) for text in (source, destination)]
        family = family if family is not None else 0x11 if ends[0].version == 4 else 0x21
        body = ends[0].packed + ends[1].packed + struct.pack(">HH", source_port, destination_port)
    body += tlvs + (tlv(3, b"\0\0\0\0") if has_sum else b"")
    whole = SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body
    return whole[:-4] + struct.pack(">I", crc32c(whole)) if has_sum else whole


class Header:
    """A header taken apart; ValueError for what the paper does not allow."""

    def __init__(self, data):
        self.tlvs, self.source, self.destination, self.tls = {}, None, None, None
        (self._read_line if data.startswith(b"PROXY ") else self._read)(bytes(data))

    def _read_line(self, data):
        self.version = 1
        end = data.find(b"\r\n")
        if not 0 < end <= 105:
            raise ValueError("no line of version 1")
        self.size = end + 2
        words = data[:end].decode("ascii").split(" ")
        self.is_local = words[1] == "UNKNOWN"
        if self.is_local:
            return
        if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
            raise ValueError("wrong words")
        ends = [ipaddress.ip_address(text) for text in words[2:4]]
        if any(end.version != int(words[1][3]) for end in ends) or any(word != str(int(word)) for word in words[4:]):
            raise ValueError("wrong ends")
        self.source, self.destination = (str(ends[0]), int(words[4])), (str(ends[1]), int(words[5]))

    def _read(self, data):
        self.version = 2
        if data[:12] != SIGNATURE or len(data) < 16:
            raise ValueError("no header")
        if data[12] >> 4 != 2 or data[12] & 15 > 1:
            raise ValueError("wrong version or command")
        self.is_local = data[12] & 15 == 0
        self.size = 16 + struct.unpack(">H", data[14:16])[0]
        if len(data) < self.size:
            raise ValueError("cut short")
        body = data[16:self.size]
        self.body_size = len(body)
        if self.is_local:
            return
        width, family = FAMILIES[data[13]]
        self.source = (socket.inet_ntop(family, body[:width]), struct.unpack(">H", body[2 * width:2 * width + 2])[0])
        self.destination = (socket.inet_ntop(family, body[width:2 * width]), struct.unpack(">H", body[2 * width + 2:2 * width + 4])[0])
        self.tlvs = self._tlvs(body[2 * width + 4:])
        if 0x20 in self.tlvs:
            value = self.tlvs[0x20]
            client, verify = struct.unpack(">BI", value[:5])
            self.tls = (client, verify, self._tlvs(value[5:]))

    @staticmethod
    def _tlvs(data):
        found = {}
        while data:
            if len(data) < 3:
                raise ValueError("a TLV is cut short")
            kind, size = struct.unpack(">BH", data[:3])
            if kind in found or len(data) < 3 + size:
                raise ValueError("a TLV is there twice or cut short")
            found[kind] = data[3:3 + size]
            data = data[3 + size:]
        return found


class Front:
    """haproxy or nginx with a configuration of the test's own, in the foreground."""

    def __init__(self, folder, name, config, port):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "proxy.conf").write_text(config)
        command = {"haproxy": ["haproxy", "-db", "-f", self.folder / "proxy.conf"],
                   "nginx": ["nginx", "-p", self.folder, "-e", "stderr", "-c", self.folder / "proxy.conf"]}[name]
        self.log_path = self.folder / "proxy.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ, PATH=_path))
        end = time.monotonic() + WAIT_S
        while True:
            assert self.process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", port), WAIT_S).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < end, self.log()
                time.sleep(0.02)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, words, timeout=WAIT_S):
        end = time.monotonic() + timeout
        while words not in self.log():
            assert time.monotonic() < end, "no %r in the proxy's log:\n%s" % (words, self.log())
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(WAIT_S)


def haproxy(folder, port, bind, server, more=""):
    """One frontend `bind 127.0.0.1:port ...` and its server; logs to its standard output."""
    return Front(folder, "haproxy", """global
    nbthread 1
    maxconn 200
    log stdout format raw local0
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    log global
frontend f
    bind 127.0.0.1:%d %s
    default_backend b
%s
backend b
    server s 127.0.0.1:%s
""" % (port, bind, more, server), port)


def nginx(folder, port, server, more=""):
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    load = "load_module %s;\n" % module if os.path.exists(module) else ""
    user = "user root;\n" if os.geteuid() == 0 else ""
    return Front(folder, "nginx", load + user + """daemon off;
master_process off;
worker_processes 1;
pid %s/nginx.pid;
error_log stderr info;
events { worker_connections 200; }
stream {
    server {
        listen 127.0.0.1:%d;
        proxy_pass 127.0.0.1:%d;
        proxy_protocol on;
        %s
    }
}
""" % (folder, port, server, more), port)
