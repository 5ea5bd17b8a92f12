"""A small MQTT codec, independent of the program's: writes packets of 3.1, 3.1.1 and 5.0, and takes them apart.

`version` is the protocol level everywhere: 3, 4 or 5. What is written may be wrong on purpose; what is read
must be right, else ValueError.
"""
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
NAMES = ("RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
         "PINGREQ PINGRESP DISCONNECT AUTH").split()

# Property identifiers and their kinds (MQTT 5.0 2.2.2.2).
SESSION_EXPIRY, ASSIGNED_ID, SERVER_KEEP_ALIVE, AUTH_METHOD, AUTH_DATA = 0x11, 0x12, 0x13, 0x15, 0x16
REASON_STRING, RECEIVE_MAXIMUM, ALIAS_MAXIMUM, ALIAS, MAXIMUM_QOS = 0x1F, 0x21, 0x22, 0x23, 0x24
RETAIN_AVAILABLE, USER_PROPERTY, MAXIMUM_PACKET_SIZE, SUBSCRIPTION_ID = 0x25, 0x26, 0x27, 0x0B
_KINDS = {
    0x01: "byte", 0x02: "four", 0x03: "string", 0x08: "string", 0x09: "binary", 0x0B: "varint", 0x11: "four",
    0x12: "string", 0x13: "two", 0x15: "string", 0x16: "binary", 0x17: "byte", 0x18: "four", 0x19: "byte",
    0x1A: "string", 0x1C: "string", 0x1F: "string", 0x21: "two", 0x22: "two", 0x23: "two", 0x24: "byte",
    0x25: "byte", 0x26: "pair", 0x27: "four", 0x28: "byte", 0x29: "byte", 0x2A: "byte",
}


def varint(number):
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def binary(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def _property(identifier, value):
    kind = _KINDS[identifier]
    if kind == "byte":
        body = bytes([value])
    elif kind == "two":
        body = struct.pack(">H", value)
    elif kind == "four":
        body = struct.pack(">I", value)
    elif kind == "varint":
        body = varint(value)
    elif kind == "pair":
        body = binary(value[0]) + binary(value[1])
    else:
        body = binary(value)
    return bytes([identifier]) + body


def properties(props):
    """`props`: a list of (identifier, value)."""
    body = b"".join(_property(identifier, value) for identifier, value in props)
    return varint(len(body)) + body


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def connect(version, client_id="dev", clean=True, keep_alive=60, username=None, password=None, will=None, props=(),
            bridge=False):
    """`will`: a dict with topic, payload, and perhaps qos, retain, props."""
    flags = 0x02 if clean else 0
    body = binary(client_id)
    if will is not None:
        flags |= 0x04 | will.get("qos", 0) << 3 | (0x20 if will.get("retain") else 0)
        if version == 5:
            body += properties(will.get("props", ()))
        body += binary(will["topic"]) + binary(will["payload"])
    if username is not None:
        flags |= 0x80
        body += binary(username)
    if password is not None:
        flags |= 0x40
        body += binary(password)
    head = binary("MQIsdp" if version == 3 else "MQTT") + bytes([version | (0x80 if bridge else 0), flags])
    head += struct.pack(">H", keep_alive)
    if version == 5:
        head += properties(props)
    return packet(CONNECT, 0, head + body)


def connack(version, code=0, session_present=0, props=()):
    return packet(CONNACK, 0, bytes([session_present, code]) + (properties(props) if version == 5 else b""))


def publish(version, topic, payload=b"", qos=0, packet_id=None, retain=False, dup=False, props=()):
    payload = payload.encode() if isinstance(payload, str) else payload
    body = binary(topic)
    if qos:
        body += struct.pack(">H", packet_id)
    if version == 5:
        body += properties(props)
    return packet(PUBLISH, qos << 1 | (1 if retain else 0) | (8 if dup else 0), body + payload)


def publish_head(version, topic, payload_size, qos=0, packet_id=None):
    """What stands in front of a payload that is sent in pieces."""
    body = binary(topic) + (struct.pack(">H", packet_id) if qos else b"") + (b"\0" if version == 5 else b"")
    return bytes([PUBLISH << 4 | qos << 1]) + varint(len(body) + payload_size) + body


def ack(kind, version, packet_id, reason=None, props=None):
    """PUBACK, PUBREC, PUBREL, PUBCOMP."""
    body = struct.pack(">H", packet_id)
    if version == 5 and reason is not None:
        body += bytes([reason])
        if props is not None:
            body += properties(props)
    return packet(kind, 2 if kind == PUBREL else 0, body)


def subscribe(version, packet_id, filters, props=()):
    """`filters`: texts or (text, options)."""
    body = struct.pack(">H", packet_id) + (properties(props) if version == 5 else b"")
    for entry in filters:
        text, options = entry if isinstance(entry, tuple) else (entry, 0)
        body += binary(text) + bytes([options])
    return packet(SUBSCRIBE, 2, body)


def suback(version, packet_id, codes, kind=SUBACK, props=()):
    body = struct.pack(">H", packet_id) + (properties(props) if version == 5 else b"")
    return packet(kind, 0, body + bytes(codes))


def unsubscribe(version, packet_id, filters, props=()):
    body = struct.pack(">H", packet_id) + (properties(props) if version == 5 else b"")
    return packet(UNSUBSCRIBE, 2, body + b"".join(binary(text) for text in filters))


def unsuback(version, packet_id, count=1):
    return suback(version, packet_id, [0] * count if version == 5 else [], UNSUBACK)


def pingreq():
    return b"\xc0\0"


def pingresp():
    return b"\xd0\0"


def disconnect(version, reason=None, props=None):
    body = b""
    if version == 5 and reason is not None:
        body = bytes([reason]) + (properties(props) if props is not None else b"")
    return packet(DISCONNECT, 0, body)


def auth(reason=None, props=()):
    return packet(AUTH, 0, b"" if reason is None else bytes([reason]) + properties(props))


class _Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("a field does not fit: %s" % self.data[:64].hex())
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def binary(self):
        return self.take(self.number(2))

    def varint(self):
        number = 0
        for shift in range(0, 28, 7):
            byte = self.number(1)
            number |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return number
        raise ValueError("variable byte integer")

    def rest(self):
        return self.take(len(self.data) - self.at)

    def has_more(self):
        return self.at < len(self.data)

    def properties(self):
        inner = _Cursor(self.take(self.varint()))
        found = []
        while inner.has_more():
            identifier = inner.number(1)
            kind = _KINDS[identifier]
            if kind == "pair":
                value = (inner.binary().decode(), inner.binary().decode())
            elif kind in ("byte", "two", "four"):
                value = inner.number({"byte": 1, "two": 2, "four": 4}[kind])
            elif kind == "varint":
                value = inner.varint()
            else:
                value = inner.binary()
                value = value.decode() if kind == "string" else value
            found.append((identifier, value))
        return found


class Packet:
    """A whole packet: `raw`, `kind`, `flags`, and the fields its kind has."""

    def __init__(self, raw, version):
        self.raw = bytes(raw)
        self.kind, self.flags = raw[0] >> 4, raw[0] & 15
        self.name = NAMES[self.kind]
        self.props, self.reason, self.packet_id = [], None, None
        cursor = _Cursor(self.raw[1:])
        size = cursor.varint()
        if size != len(self.raw) - 1 - cursor.at:
            raise ValueError("not one whole packet")
        getattr(self, "_read_" + self.name.lower(), self._read_nothing)(cursor, version)
        if cursor.has_more():
            raise ValueError("%s has bytes left: %s" % (self.name, self.raw[:64].hex()))

    def __repr__(self):
        return "<%s %s>" % (self.name, self.raw[:48].hex(" "))

    def prop(self, identifier, default=None):
        return next((value for one, value in self.props if one == identifier), default)

    def _read_nothing(self, cursor, version):
        pass

    def _read_connect(self, cursor, version):
        self.protocol = cursor.binary()
        self.level = cursor.number(1)
        self.version = self.level & 0x7F
        self.connect_flags = flags = cursor.number(1)
        self.clean, self.keep_alive = bool(flags & 2), cursor.number(2)
        self.props = cursor.properties() if self.version == 5 else []
        self.client_id = cursor.binary().decode()
        self.will = self.username = self.password = None
        if flags & 4:
            props = cursor.properties() if self.version == 5 else []
            self.will = {"props": props, "topic": cursor.binary().decode(), "payload": cursor.binary(),
                         "qos": flags >> 3 & 3, "retain": bool(flags & 0x20)}
        is_old = self.version == 3  # 3.1 allows to leave out what the flags announce
        if flags & 0x80 and (cursor.has_more() or not is_old):
            self.username = cursor.binary().decode()
        if flags & 0x40 and (cursor.has_more() or not is_old):
            self.password = cursor.binary()

    def _read_connack(self, cursor, version):
        self.session_present, self.reason = cursor.number(1), cursor.number(1)
        self.props = cursor.properties() if version == 5 else []

    def _read_publish(self, cursor, version):
        self.qos, self.retain, self.dup = self.flags >> 1 & 3, bool(self.flags & 1), bool(self.flags & 8)
        self.topic = cursor.binary().decode()
        self.packet_id = cursor.number(2) if self.qos else None
        self.props = cursor.properties() if version == 5 else []
        self.payload = cursor.rest()

    def _read_ack(self, cursor, version):
        self.packet_id = cursor.number(2)
        self.reason = cursor.number(1) if version == 5 and cursor.has_more() else 0
        self.props = cursor.properties() if version == 5 and cursor.has_more() else []

    _read_puback = _read_pubrec = _read_pubrel = _read_pubcomp = _read_ack

    def _read_subscribe(self, cursor, version):
        self.packet_id = cursor.number(2)
        self.props = cursor.properties() if version == 5 else []
        self.filters = []
        while cursor.has_more():
            self.filters.append((cursor.binary().decode(), cursor.number(1)))

    def _read_unsubscribe(self, cursor, version):
        self.packet_id = cursor.number(2)
        self.props = cursor.properties() if version == 5 else []
        self.filters = []
        while cursor.has_more():
            self.filters.append(cursor.binary().decode())

    def _read_suback(self, cursor, version):
        self.packet_id = cursor.number(2)
        self.props = cursor.properties() if version == 5 else []
        self.codes = list(cursor.rest())

    _read_unsuback = _read_suback

    def _read_disconnect(self, cursor, version):
        self.reason = cursor.number(1) if version == 5 and cursor.has_more() else 0
        self.props = cursor.properties() if version == 5 and cursor.has_more() else []

    _read_auth = _read_disconnect


def size_of_first(data):
    """The size of the first packet, None when its fixed header is not there yet."""
    size = 0
    for position in range(1, 5):
        if position >= len(data):
            return None
        byte = data[position]
        size |= (byte & 0x7F) << 7 * (position - 1)
        if not byte & 0x80:
            return position + 1 + size
    raise ValueError("a remaining length of five bytes: %s" % bytes(data[:8]).hex())


def split(data):
    """(list of whole raw packets, rest)."""
    found, at, view = [], 0, memoryview(data)
    while True:
        size = size_of_first(view[at:at + 5])
        if size is None or at + size > len(data):
            return found, bytes(view[at:])
        found.append(bytes(view[at:at + size]))
        at += size
