"""Field tables of AMQP 0-9-1, which hold a message's headers, in RabbitMQ's dialect of the types.

Source of the format: the AMQP 0-9-1 specification, 4.2.5, with RabbitMQ's errata (``s`` is a 16-bit number, ``l`` a
64-bit one). Every message has such a table, so that this is a hot path: 4 us for the twelve headers of a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct, error
from typing import Any

from skirret.errors import DecodeError, EncodeError

MAX_DEPTH = 32
"""Tables and arrays in one another, at most: deeper ones are hostile."""

_INT = Struct(">i")
_LONG = Struct(">q")
_UNSIGNED = Struct(">I")
_DOUBLE = Struct(">d")

_keys: dict[str, bytes] = {}
_MAX_KEYS = 500

_FIXED = {
    b"b": Struct(">b"), b"B": Struct(">B"), b"s": Struct(">h"), b"u": Struct(">H"), b"I": _INT, b"i": _UNSIGNED,
    b"l": _LONG, b"L": _LONG, b"f": Struct(">f"), b"d": _DOUBLE,
}  # fmt: skip
"""Types of a fixed size, by their letter."""


def short_text(text: str) -> bytes:
    """A short string: its length in one byte, then its bytes.

    Raises:
        EncodeError: longer than 255 bytes.
    """
    data = text.encode()
    if len(data) > 255:
        raise EncodeError(f"{text[:40]!r}... has {len(data)} bytes, and AMQP allows 255 there")
    return bytes((len(data),)) + data


def encode(table: Mapping[str, Any]) -> bytes:
    """A table in bytes, its length before it.

    Raises:
        EncodeError: a name of more than 255 bytes, or a value that AMQP does not know.
    """
    parts: list[bytes] = []
    for name, value in table.items():
        key = _keys.get(name)
        if key is None:
            key = short_text(name)
            if len(_keys) < _MAX_KEYS:
                _keys[name] = key
        parts.append(key)
        _write(value, parts)
    data = b"".join(parts)
    return _UNSIGNED.pack(len(data)) + data


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


def decode(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The table at a place in `data`, and the place behind it.

    Raises:
        DecodeError: it is none.
    """
    try:
        return _read_table(data, at, 0)
    except (IndexError, error, ValueError, OverflowError, OSError) as exc:
        raise DecodeError(f"the headers are no AMQP table: {exc}") from exc


def _read_table(data: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > MAX_DEPTH:
        raise DecodeError(f"the headers hold tables in more than {MAX_DEPTH} tables")
    (size,) = _UNSIGNED.unpack_from(data, at)
    at += 4
    end = at + size
    if end > len(data):
        raise DecodeError("the headers end in the middle")
    found: dict[str, Any] = {}
    while at < end:
        start = at + 1
        at = start + data[at]
        name = data[start:at].decode()
        kind = data[at]
        if kind == 0x53:  # S: nearly every header is text
            (size,) = _UNSIGNED.unpack_from(data, at + 1)
            start = at + 5
            at = start + size
            if at > end:
                raise DecodeError("a header ends in the middle")
            found[name] = _text(data[start:at])
        elif kind == 0x56:  # V
            found[name] = None
            at += 1
        else:
            found[name], at = _read(data, at, depth)
    if at != end:
        raise DecodeError("a header ends in the middle")
    return found, end


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data  # AMQP's long strings are bytes of any kind


def _read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    letter = data[at : at + 1]
    at += 1
    fixed = _FIXED.get(letter)
    if fixed is not None:
        return fixed.unpack_from(data, at)[0], at + fixed.size
    match letter:
        case b"t":
            return data[at] != 0, at + 1
        case b"V":
            return None, at
        case b"F":
            return _read_table(data, at, depth + 1)
        case b"T":
            return datetime.fromtimestamp(_LONG.unpack_from(data, at)[0], UTC), at + 8
        case b"D":
            return Decimal(_INT.unpack_from(data, at + 1)[0]).scaleb(-data[at]), at + 5
    if letter not in {b"S", b"x", b"A"}:
        raise DecodeError(f"a header is of the unknown type {letter!r}")
    (size,) = _UNSIGNED.unpack_from(data, at)
    at += 4
    end = at + size
    if end > len(data):
        raise DecodeError("a header ends in the middle")
    if letter != b"A":
        piece = data[at:end]
        return (_text(piece) if letter == b"S" else piece), end
    if depth > MAX_DEPTH:
        raise DecodeError(f"the headers hold arrays in more than {MAX_DEPTH} arrays")
    items: list[Any] = []
    while at < end:
        value, at = _read(data, at, depth + 1)
        items.append(value)
    return items, end
