"""Field tables of AMQP 0-9-1, which hold a message's headers, in RabbitMQ's dialect of the types.

Source of the format: the AMQP 0-9-1 specification, 4.2.5, with RabbitMQ's errata (``s`` is a 16-bit number, ``l`` a
64-bit one). Every message has such a table, so that this is a hot path: 4 us for the twelve headers of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from struct import Struct, error
from typing import Any

from skirret.errors import DecodeError, EncodeError

MAX_DEPTH = 32
"""Tables and arrays in one another, at most: deeper ones are hostile."""

TEXT, VOID = ord("S"), ord("V")
"""Letters of types: text (or any bytes), and none."""

_INT = Struct(">i")
_LONG = Struct(">q")
_UNSIGNED = Struct(">I")
_DOUBLE = Struct(">d")

_BYTES = [bytes((number,)) for number in range(256)]

_keys: dict[str, bytes] = {}
_MAX_KEYS = 500

_FIXED = {
    ord(letter): packed
    for letter, packed in {
        "b": Struct(">b"), "B": Struct(">B"), "s": Struct(">h"), "u": Struct(">H"), "I": _INT, "i": _UNSIGNED,
        "l": _LONG, "L": _LONG, "f": Struct(">f"), "d": _DOUBLE,
    }.items()
}  # fmt: skip
"""Numbers, by the letters of their types."""

_SIZES = {
    **{letter: packed.size for letter, packed in _FIXED.items()},
    ord("t"): 1,
    ord("V"): 0,
    ord("T"): 8,
    ord("D"): 5,
}
"""The sizes of what has always the same, in bytes."""

_SIZED = frozenset(b"SxAF")
"""Types that have their length before them."""


def short_text(text: str) -> bytes:
    """A short string: its length in one byte, then its bytes.

    Raises:
        EncodeError: longer than 255 bytes.
    """
    data = text.encode()
    if len(data) > 255:
        raise EncodeError(f"{text[:40]!r}... has {len(data)} bytes, and AMQP allows 255 there")
    return _BYTES[len(data)] + data


def encode(table: Mapping[str, Any]) -> bytes:
    """A table in bytes, its length before it.

    Raises:
        EncodeError: a name of more than 255 bytes, or a value that AMQP does not know.
    """
    parts = [b""]
    add, size_of, known = parts.append, _UNSIGNED.pack, _keys.get
    for name, value in table.items():
        add(known(name) or _key(name))
        if value is None:
            add(b"V")
        elif type(value) is str and value.isascii():
            add(b"S" + size_of(len(value)))
            add(value.encode())
        else:
            _write(value, parts)
    parts[0] = size_of(sum(map(len, parts)))
    return b"".join(parts)


def _key(name: str) -> bytes:
    key = short_text(name)
    if len(_keys) < _MAX_KEYS:
        _keys[name] = key
    return key


def _write(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        try:
            data = value.encode()
        except UnicodeEncodeError as exc:
            raise EncodeError("a header has a lone surrogate, which no message can carry") from exc
        parts.append(b"S" + _UNSIGNED.pack(len(data)) + data)
    elif value is None:
        parts.append(b"V")
    elif kind is bool:
        parts.append(b"t\x01" if value else b"t\x00")
    elif kind is int:
        if -(2**31) <= value < 2**31:
            parts.append(b"I" + _INT.pack(value))
        elif -(2**63) <= value < 2**63:
            parts.append(b"l" + _LONG.pack(value))
        else:
            raise EncodeError(f"the number {value} in a header is too large for AMQP's 64 bits")
    elif kind is float:
        parts.append(b"d" + _DOUBLE.pack(value))
    else:
        _write_rare(value, parts)


def _write_rare(value: Any, parts: list[bytes]) -> None:
    if isinstance(value, Mapping):
        parts.append(b"F" + encode({str(name): inner for name, inner in value.items()}))
    elif isinstance(value, list | tuple):
        inside: list[bytes] = []
        for inner in value:
            _write(inner, inside)
        data = b"".join(inside)
        parts.append(b"A" + _UNSIGNED.pack(len(data)) + data)
    elif isinstance(value, bytes | bytearray):
        parts.append(b"x" + _UNSIGNED.pack(len(value)) + bytes(value))
    elif isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        parts.append(b"T" + _LONG.pack(int(moment.timestamp())))
    elif isinstance(value, Decimal):
        sign, digits, exponent = value.as_tuple()
        number = int("".join(map(str, digits))) * (-1 if sign else 1)
        if not isinstance(exponent, int) or not -255 <= exponent <= 0 or not -(2**31) <= number < 2**31:
            raise EncodeError(f"the number {value} in a header is none of AMQP's decimals")
        parts.append(b"D" + bytes((-exponent,)) + _INT.pack(number))
    elif isinstance(value, str | int | float):  # their subclasses, such as enumerations
        base = next(kind for kind in (str, int, float) if isinstance(value, kind))
        _write(base(value), parts)
    else:
        raise EncodeError(f"a header holds {value!r}, which is of no type that AMQP knows")


Span = tuple[str, int, int, int]
"""Where a value lies in a table's bytes: its name, the letter of its type, and from where to where its content is."""


def decode(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The table at a place in `data`, and the place behind it.

    Raises:
        DecodeError: it is none.
    """
    found, end = spans(data, at)
    return read(data, found), end


def spans(data: bytes, at: int) -> tuple[list[Span], int]:
    """Where the values of the table at a place in `data` lie, and the place behind it.

    Raises:
        DecodeError: it is none.
    """
    try:
        start, end = _piece(data, at, len(data))
        return _spans(data, start, end), end
    except (IndexError, error, ValueError) as exc:
        raise DecodeError(f"the headers are no AMQP table: {exc}") from exc


def read(data: bytes, found: Iterable[Span]) -> dict[str, Any]:
    """The values that lie there, by their names.

    Raises:
        DecodeError: one cannot be read.
    """
    table: dict[str, Any] = {}
    for name, letter, start, end in found:
        if letter == TEXT:
            try:
                table[name] = data[start:end].decode()
            except UnicodeDecodeError:
                table[name] = data[start:end]  # AMQP's long strings are bytes of any kind
        elif letter == VOID:
            table[name] = None
        else:
            table[name] = READERS[letter](data[start:end])
    return table


def _read(letter: int, data: bytes) -> Any:
    try:
        return _value(letter, data, 0)
    except (IndexError, error, ValueError, OverflowError, OSError) as exc:
        raise DecodeError(f"the headers are no AMQP table: {exc}") from exc


def _spans(data: bytes, at: int, end: int) -> list[Span]:
    found: list[Span] = []
    size_at = _UNSIGNED.unpack_from
    while at < end:
        start = at + 1
        at = start + data[at]
        name = data[start:at].decode()
        letter = data[at]
        if letter == TEXT:  # nearly every header is text, or nothing
            start = at + 5
            at = start + size_at(data, at + 1)[0]
        elif letter == VOID:
            at += 1
            start = at
        else:
            start, at = _bounds(letter, data, at + 1, end)
        found.append((name, letter, start, at))
    if at != end:
        raise DecodeError("a header ends in the middle")
    return found


def _bounds(letter: int, data: bytes, at: int, end: int) -> tuple[int, int]:
    size = _SIZES.get(letter)
    if size is None:
        if letter not in _SIZED:
            raise DecodeError(f"a header is of the unknown type {bytes((letter,))!r}")
        return _piece(data, at, end)
    if at + size > end:
        raise DecodeError("a header ends in the middle")
    return at, at + size


def _piece(data: bytes, at: int, end: int) -> tuple[int, int]:
    """What has its length before it."""
    start = at + 4
    behind = start + _UNSIGNED.unpack_from(data, at)[0]
    if behind > end:
        raise DecodeError("a header ends in the middle")
    return start, behind


def _value(letter: int, data: bytes, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise DecodeError(f"the headers hold tables and arrays in more than {MAX_DEPTH} others")
    match letter:
        case 0x53:  # S
            try:
                return data.decode()
            except UnicodeDecodeError:
                return data  # AMQP's long strings are bytes of any kind
        case 0x56:  # V
            return None
        case 0x74:  # t
            return data[0] != 0
        case 0x46:  # F
            inside = _spans(data, 0, len(data))
            return {name: _value(inner, data[start:end], depth + 1) for name, inner, start, end in inside}
        case 0x41:  # A
            return _items(data, depth)
        case 0x78:  # x
            return data
        case 0x54:  # T
            return datetime.fromtimestamp(_LONG.unpack(data)[0], UTC)
        case 0x44:  # D
            return Decimal(_INT.unpack_from(data, 1)[0]).scaleb(-data[0])
    return _FIXED[letter].unpack(data)[0]


def _items(data: bytes, depth: int) -> list[Any]:
    if not data.strip(b"V"):  # as time limits are that nobody set
        return [None] * len(data)
    items: list[Any] = []
    at, end = 0, len(data)
    while at < end:
        letter = data[at]
        start, at = _bounds(letter, data, at + 1, end)
        items.append(_value(letter, data[start:at], depth + 1))
    return items


def _number(packed: Struct) -> Callable[[bytes], Any]:
    unpack = packed.unpack
    return lambda data: unpack(data)[0]


READERS: dict[int, Callable[[bytes], Any]] = {
    **{letter: partial(_read, letter) for letter in (*_SIZED, *_SIZES)},
    **{letter: _number(packed) for letter, packed in _FIXED.items()},
}
"""What makes values of their contents, by the letters of types; they raise DecodeError for what is none."""
