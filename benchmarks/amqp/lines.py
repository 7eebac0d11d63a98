"""Our own I/O over a socket: with pamqp's frames, and with frames by hand."""

from __future__ import annotations

import socket
import struct
from abc import abstractmethod
from collections import deque
from importlib.metadata import version
from typing import Any

from pamqp import body, commands, frame, header

from benchmarks.amqp.client import ACKED_TOGETHER, BODY, HEADERS, ID, KIND, PREFETCH, Client


class Line(Client):
    """Our own I/O: a socket, whole frames cut out of what arrives, and a codec that a subclass brings."""

    def __init__(self, url: str, queue: str) -> None:
        super().__init__(url, queue)
        self.socket = socket.create_connection(self.place)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.arrived = bytearray()
        self.frames: deque[tuple[int, int, bytes]] = deque()
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.read()
        self.say(0, commands.Connection.StartOk({}, "PLAIN", f"\0{self.user}\0{self.password}", "en_US"))
        self.say(0, commands.Connection.TuneOk(2047, 131072, 0), answered=False)
        self.say(0, commands.Connection.Open(self.host))
        self.say(1, commands.Channel.Open())
        self.say(1, commands.Confirm.Select())

    def close(self) -> None:
        self.socket.close()

    def say(self, channel: int, method: Any, *, answered: bool = True) -> None:
        """Send a method and wait for its answer."""
        self.socket.sendall(frame.marshal(method, channel))
        if answered:
            self.read()

    def read(self) -> tuple[int, int, bytes]:
        """The next frame: its type, its channel, and the whole of it."""
        while not self.frames:
            self.fill()
        return self.frames.popleft()

    def fill(self) -> None:
        """Receive once and cut out the frames that are whole."""
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self.arrived += data
        at, whole, size = 0, bytes(self.arrived), len(self.arrived)
        while size - at >= 8:
            kind, channel, length = struct.unpack_from(">BHI", whole, at)
            if size - at < length + 8:
                break
            self.frames.append((kind, channel, whole[at : at + length + 8]))
            at += length + 8
        del self.arrived[:at]

    @abstractmethod
    def message(self) -> bytes:
        """The frames of one publish."""

    @abstractmethod
    def method(self, raw: bytes) -> tuple[str, int]:
        """Name and delivery tag of a method's frame."""

    @abstractmethod
    def headers(self, raw: bytes) -> dict[str, Any]:
        """The headers of a header's frame."""

    def publish(self, count: int) -> None:
        self.socket.sendall(b"".join([self.message() for _ in range(count)]))

    def hear(self) -> None:
        while True:
            name, tag = self.method(self.read()[2])
            if name == "Ack":
                self.confirmed = max(self.confirmed, tag)
            if not self.frames:
                return

    def consume(self, count: int) -> None:
        self.say(1, commands.Basic.Qos(0, PREFETCH, False))
        self.say(1, commands.Basic.Consume(queue=self.queue, consumer_tag="taker"))
        for seen in range(1, count + 1):
            name, tag = self.method(self.read()[2])
            assert name == "Deliver"
            assert self.headers(self.read()[2])["task"] == "proj.tasks.add"
            self.read()  # the body, which is a part of its frame
            if seen % ACKED_TOGETHER == 0:
                self.say(1, commands.Basic.Ack(tag, multiple=True), answered=False)
        self.say(1, commands.Basic.Cancel("taker"))


class Pamqp(Line):
    """Through pamqp's classes, as its documentation does it."""

    title = f"own I/O over pamqp {version('pamqp')}"

    def message(self) -> bytes:
        method = commands.Basic.Publish(0, "", self.queue, mandatory=True)
        properties = commands.Basic.Properties(
            headers=HEADERS, delivery_mode=2, correlation_id=ID, reply_to="r", **KIND
        )
        head = header.ContentHeader(0, len(BODY), properties)
        return frame.marshal(method, 1) + frame.marshal(head, 1) + frame.marshal(body.ContentBody(BODY), 1)

    def method(self, raw: bytes) -> tuple[str, int]:
        heard = frame.unmarshal(raw)[2]
        return type(heard).__name__, getattr(heard, "delivery_tag", 0)

    def headers(self, raw: bytes) -> dict[str, Any]:
        return frame.unmarshal(raw)[2].properties.headers  # type: ignore[no-any-return,union-attr]


def short(text: str) -> bytes:
    """A short string."""
    raw = text.encode()
    return bytes((len(raw),)) + raw


def framed(kind: int, payload: bytes) -> bytes:
    """A frame of channel 1."""
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


class Floor(Line):
    """By hand, only what this measurement needs."""

    title = "own I/O, frames by hand (the floor)"
    names: dict[str, bytes] = {key: short(key) for key in HEADERS}  # noqa: RUF012

    def table(self, values: dict[str, Any]) -> bytes:
        """A field table."""
        parts = []
        for key, value in values.items():
            parts.append(self.names[key])
            if value is None:
                parts.append(b"V")
            elif type(value) is str:
                raw = value.encode()
                parts.append(b"S" + len(raw).to_bytes(4, "big") + raw)
            else:
                parts.append(b"I" + value.to_bytes(4, "big", signed=True))
        raw = b"".join(parts)
        return len(raw).to_bytes(4, "big") + raw

    def message(self) -> bytes:
        method = b"\x00\x3c\x00\x28\x00\x00\x00" + short(self.queue) + b"\x01"
        head = struct.pack(">HHQH", 60, 0, len(BODY), 0xFE00 & ~0x0800 & ~0x0100)
        head += short(KIND["content_type"]) + short(KIND["content_encoding"]) + self.table(HEADERS)
        head += b"\x02" + short(ID) + short("r")
        return framed(1, method) + framed(2, head) + framed(3, BODY)

    def method(self, raw: bytes) -> tuple[str, int]:
        kind = raw[7:11]
        if kind == b"\x00\x3c\x00\x50":
            return "Ack", int.from_bytes(raw[11:19], "big")
        if kind == b"\x00\x3c\x00\x3c":
            at = 12 + raw[11]
            return "Deliver", int.from_bytes(raw[at : at + 8], "big")
        return "other", 0

    def headers(self, raw: bytes) -> dict[str, Any]:
        at = 21  # behind frame, class, weight, size and flags; content type and encoding are first here
        at += 1 + raw[at]
        at += 1 + raw[at]
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        at += 4
        found: dict[str, Any] = {}
        while at < end:
            start, at = at + 1, at + 1 + raw[at]
            key, kind = raw[start:at].decode(), raw[at]
            at += 1
            if kind == 83:
                length = int.from_bytes(raw[at : at + 4], "big")
                found[key] = raw[at + 4 : at + 4 + length].decode()
                at += 4 + length
            elif kind == 86:
                found[key] = None
            else:
                found[key] = int.from_bytes(raw[at : at + 4], "big", signed=True)
                at += 4
        return found
