"""AMQP's frames: cutting the server's bytes into them, and those few that are sent or read for every message.

All other methods go through pamqp, whose frames cost 20 to 60 us each; a message needs three of them each way.
Source of the format: the AMQP 0-9-1 specification, 2.3 and 1.8.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from skirret.stores.amqp import tables

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"

PUBLISH = b"\x00\x3c\x00\x28"
DELIVER = b"\x00\x3c\x00\x3c"
ACK = b"\x00\x3c\x00\x50"
NACK = b"\x00\x3c\x00\x78"

ALIVE = b"\x08\x00\x00\x00\x00\x00\x00\xce"
"""The frame that says nothing but that its sender lives."""

_FRAME = Struct(">BHI")
_TAG = Struct(">QB")
_SETTLE = Struct(">BHI4sQBc")


Frame = tuple[int, int, bytes]
"""One frame: its kind, its channel, what it holds."""


class Delivered(NamedTuple):
    """The method that comes before a message of a consumer."""

    consumer: str
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame in bytes."""
    return _FRAME.pack(kind, channel, len(payload)) + payload + END


def cut(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames at the start of `data`, and what is left.

    Raises:
        ValueError: these are no frames.
    """
    found: list[Frame] = []
    at, end = 0, len(data)
    while end - at >= 8:
        kind, channel, size = _FRAME.unpack_from(data, at)
        behind = at + 7 + size
        if behind >= end:
            break
        if data[behind] != 0xCE:
            raise ValueError("a frame has no end where it should")
        found.append((kind, channel, data[at + 7 : behind]))
        at = behind + 1
    return found, data[at:]


def publish(
    channel: int, exchange: bytes, routing_key: bytes, header: bytes, body: bytes, largest: int, *, mandatory: bool
) -> bytes:
    """A message to be stored: method, header and body frames in one piece.

    Args:
        channel: its number.
        exchange, routing_key: short strings in bytes.
        header: of `content.encode`.
        body: as it is.
        largest: size of the largest frame that was agreed on, in bytes.
        mandatory: whether the server gives it back if no queue wants it.
    """
    method = PUBLISH + b"\x00\x00" + exchange + routing_key + (b"\x01" if mandatory else b"\x00")
    parts = [
        _FRAME.pack(METHOD, channel, len(method)), method, END, _FRAME.pack(HEADER, channel, len(header)), header, END,
    ]  # fmt: skip
    room = largest - 8
    if len(body) <= room:
        if body:
            parts += [_FRAME.pack(BODY, channel, len(body)), body, END]
    else:
        for at in range(0, len(body), room):
            parts.append(frame(BODY, channel, body[at : at + room]))
    return b"".join(parts)


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    """Says that a message is done, or all up to it."""
    return _SETTLE.pack(METHOD, channel, 13, ACK, tag, multiple, END)


def nack(channel: int, tag: int) -> bytes:
    """Gives a message back to its queue."""
    return _SETTLE.pack(METHOD, channel, 13, NACK, tag, 2, END)  # bit 0 is multiple, bit 1 requeue


def delivered(payload: bytes) -> Delivered:
    """A ``basic.deliver`` method's fields."""
    at = 5 + payload[4]
    tag, again = _TAG.unpack_from(payload, at)
    consumer, exchange, routing_key = _names(payload[5:at], payload[at + 9 :])
    return Delivered(consumer, tag, again != 0, exchange, routing_key)


@lru_cache(maxsize=1000)  # nearly all that come from a queue are alike
def _names(consumer: bytes, rest: bytes) -> tuple[str, str, str]:
    at = 1 + rest[0]
    return _name(consumer), _name(rest[1:at]), _name(rest[at + 1 : at + 1 + rest[at]])


def _name(data: bytes) -> str:
    return data.decode(errors="backslashreplace")  # AMQP's short strings are bytes of any kind


def settled(payload: bytes) -> tuple[int, bool]:
    """The tag in a confirm, and whether it stands for all up to it."""
    tag, bits = _TAG.unpack_from(payload, 4)
    return tag, bool(bits & 1)


def method(channel: int, command: Any) -> bytes:
    """Any other method, as pamqp's object, in a frame."""
    from pamqp import frame as pamqp

    data: bytes = pamqp.marshal(command, channel)
    return data


def read_method(payload: bytes) -> Any:
    """Any other method as pamqp's object.

    Raises:
        ValueError: pamqp cannot read it.
    """
    from pamqp import frame as pamqp
    from pamqp.exceptions import UnmarshalingException

    try:
        return pamqp.unmarshal(frame(METHOD, 1, payload))[2]
    except UnmarshalingException as exc:
        raise ValueError(str(exc)) from exc


short = tables.short_text
