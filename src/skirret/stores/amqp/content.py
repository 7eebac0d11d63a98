"""A message's properties as AMQP's content header frame carries them: fourteen fields, one of them the headers.

Source of the format: the AMQP 0-9-1 specification, 2.3.5.2 (content header) and 1.8 (properties of class basic).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import Any

import msgspec

from skirret.errors import DecodeError
from skirret.stores.amqp import tables
from skirret.stores.amqp.shape import Shape, Value

_HEAD = Struct(">HHQH")
_BODY_SIZE_END = 12
_BASIC = 60
_STAMP = Struct(">Q")
_LENGTH = Struct(">I")

KEPT_SHAPES = 400
"""Shapes of content headers that are kept, one for a size."""

SIGHTS = 3
"""How often a size is seen before its shape is worth keeping."""

MISSES = 30
"""Headers of its size that were of another kind, one after another, after which a shape gives way."""

MOST_HEADERS = 64
"""Headers that a shape has at most: it takes 15 KB then, and 5 KB for a task's."""

_SHORT = {
    "content_type": 15, "content_encoding": 14, "correlation_id": 10, "reply_to": 9, "expiration": 8, "message_id": 7,
    "type": 5, "user_id": 4, "app_id": 3, "cluster_id": 2,
}  # fmt: skip
"""The bits of the properties that are short strings."""


class Content(msgspec.Struct, kw_only=True):
    """What a message says of itself beside its body; a property that is None is not sent.

    Args:
        headers: a table of plain values.
        delivery_mode: 2 outlives a restart of the server, 1 does not.
        priority: 0 to 255.
        expiration: milliseconds as text.
        timestamp: seconds since the epoch.
        content_type, content_encoding, correlation_id, reply_to, message_id, type, user_id, app_id, cluster_id: text
            of at most 255 bytes.
    """

    headers: dict[str, Any] = {}
    content_type: str | None = None
    content_encoding: str | None = None
    delivery_mode: int | None = 2
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


_ORDER = (
    "content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to",
    "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id",
)  # fmt: skip
"""The properties in the order of their bits, from 15 down."""

_shapes: dict[int, Shape | int] = {}
"""A shape of content headers of a size; before there is one, how often the size was seen."""

_seen: dict[str, bytes] = {}
"""Content types and encodings, of which there are few, in bytes."""


def _short(text: str) -> bytes:
    found = _seen.get(text)
    if found is None:
        found = tables.short_text(text)
        if len(_seen) < 100:
            _seen[text] = found
    return found


def encode(content: Content, size: int) -> bytes:
    """The payload of a content header frame for a body of `size` bytes.

    Raises:
        EncodeError: a property that AMQP cannot hold.
    """
    flags = 0
    parts: list[bytes] = []
    if content.content_type is not None:
        flags |= 0x8000
        parts.append(_short(content.content_type))
    if content.content_encoding is not None:
        flags |= 0x4000
        parts.append(_short(content.content_encoding))
    if content.headers:
        flags |= 0x2000
        parts.append(tables.encode(content.headers))
    if content.delivery_mode is not None:
        flags |= 0x1000
        parts.append(bytes((content.delivery_mode,)))
    if content.priority is not None:
        flags |= 0x0800
        parts.append(bytes((content.priority,)))
    if content.correlation_id is not None:
        flags |= 0x0400
        parts.append(tables.short_text(content.correlation_id))
    if content.reply_to is not None:
        flags |= 0x0200
        parts.append(tables.short_text(content.reply_to))
    for name in ("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"):
        value = getattr(content, name)
        if value is not None:
            flags |= 1 << (15 - _ORDER.index(name))
            parts.append(_STAMP.pack(value) if name == "timestamp" else tables.short_text(value))
    return _HEAD.pack(_BASIC, 0, size, flags) + b"".join(parts)


def size_of(payload: bytes) -> int:
    """The size of the body that a content header announces, in bytes."""
    return int(_HEAD.unpack_from(payload)[2])


def priority_of(payload: bytes) -> int:
    """The priority alone, without reading the headers before it; 0 if there is none, or nothing can be read."""
    try:
        flags = payload[12] << 8 | payload[13]
        if not flags & 0x0800:
            return 0
        at = _HEAD.size
        if flags & 0x8000:
            at += 1 + payload[at]
        if flags & 0x4000:
            at += 1 + payload[at]
        if flags & 0x2000:
            at += 4 + _LENGTH.unpack_from(payload, at)[0]
        if flags & 0x1000:
            at += 1
        return payload[at]
    except (IndexError, error):
        return 0


def decode(payload: bytes) -> Content:
    """The properties in a content header frame's payload.

    Raises:
        DecodeError: it is not one.
    """
    size = len(payload)
    shape = _shapes.get(size, 0)
    told = None if isinstance(shape, int) else shape.read(payload)
    if told is None:
        properties, spans = _outline(payload)
        values = {name: read(payload[start:end]) for name, read, start, end, _ in properties}
        told = {"delivery_mode": None, **values}, tables.read(payload, spans)
        _learn(payload, shape, properties, spans)
    found, headers = told
    return Content(headers=headers, **found)


def _learn(payload: bytes, shape: Shape | int, properties: list[Value], spans: list[tables.Span]) -> None:
    """Keep the shape of a header whose size comes often, or what there is to know of how often it came."""
    size = len(payload)
    if isinstance(shape, int) and shape < SIGHTS:
        if len(_shapes) >= KEPT_SHAPES:
            _shapes.clear()
        _shapes[size] = shape + 1
    elif (isinstance(shape, int) or shape.misses > MISSES) and len(spans) <= MOST_HEADERS:
        last = {one[0]: one for one in spans}  # of several with one name the last counts
        values = [*properties, *(_header(payload, one) for one in last.values() if one[1] != tables.VOID)]
        _shapes[size] = Shape(payload, _BODY_SIZE_END, sorted(values, key=lambda value: value[2:4]), last)


def _outline(payload: bytes) -> tuple[list[Value], list[tables.Span]]:
    """Where the properties and the headers of a content header lie, found field by field."""
    properties: list[Value] = []
    headers: list[tables.Span] = []
    try:
        _, _, _, flags = _HEAD.unpack_from(payload)
        at = _HEAD.size
        for place, name in enumerate(_ORDER):
            if not flags & (0x8000 >> place):
                continue
            if name == "headers":
                headers, at = tables.spans(payload, at)
                continue
            read, start, at = _property(payload, at, name)
            if at > len(payload):
                raise DecodeError(f"the property {name} ends in the middle")
            properties.append((name, read, start, at, False))
    except (IndexError, error) as exc:
        raise DecodeError(f"the properties end in the middle: {exc}") from exc
    return properties, headers


def _property(payload: bytes, at: int, name: str) -> tuple[Callable[[bytes], Any], int, int]:
    if name in _SHORT:
        start, end = at + 1, at + 1 + payload[at]
        return (bytes.decode if payload[start:end].isascii() else _words), start, end
    if name == "timestamp":
        return _moment, at, at + 8
    return ord, at, at + 1


def _header(payload: bytes, span: tables.Span) -> Value:
    name, letter, start, end = span
    is_text = letter == tables.TEXT and _is_text(payload[start:end])
    return name, bytes.decode if is_text else tables.READERS[letter], start, end, True


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _words(data: bytes) -> str:
    """Text of what is none: AMQP's short strings are bytes of any kind. It fits into a short string again."""
    return data.decode(errors="backslashreplace").encode()[:255].decode(errors="ignore")


def _moment(data: bytes) -> int:
    return int(_STAMP.unpack(data)[0])
