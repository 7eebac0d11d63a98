"""MessagePack as kombu uses the ``msgpack`` library: text as str, bytes as bin, and no other types than its own."""

from __future__ import annotations

from typing import Any

import msgspec

from skirret.errors import DecodeError, EncodeError
from skirret.serializers.limits import DEFAULT, Limits
from skirret.serializers.serializer import Serializer

CONTENT_TYPE = "application/x-msgpack"
CONTENT_ENCODING = "binary"


def dumps(value: Any, limits: Limits = DEFAULT) -> bytes:
    """`value` as MessagePack; only None, bool, int of 64 bits, float, str, bytes, list, tuple, dict.

    Raises:
        EncodeError: another type is in it, or it is beyond `limits`.
    """
    try:
        # msgspec would write a uuid or a date as text, which the reader could not tell from text.
        return _ENCODE(_plain(value, limits.depth))
    except EncodeError:
        raise
    except (Exception, RecursionError) as exc:
        raise EncodeError(f"cannot write this value as MessagePack: {exc}") from exc


def loads(body: bytes, limits: Limits = DEFAULT) -> Any:
    """The value that `body` tells.

    Raises:
        DecodeError: it is not MessagePack, has map keys that are neither text nor bytes, or is beyond `limits`.
    """
    if len(body) > limits.nodes and _count(body, limits.nodes) > limits.nodes:
        raise DecodeError(f"refused: more than {limits.nodes} values")
    try:
        value = _DECODE(body)
        _check(value, limits.depth)
    except DecodeError:
        raise
    except (Exception, RecursionError) as exc:
        raise DecodeError(f"not MessagePack: {type(exc).__name__}: {str(exc)[:200]}") from exc
    return value


_KEPT = frozenset({str, int, bool, float, bytes, type(None)})
_BASES: tuple[type[Any], ...] = (str, int, float, bytes)


def _plain(value: Any, depth: int) -> Any:
    """`value` with subclasses (enumerations, signatures, ...) reduced to the base that msgpack sees in them."""
    kind = type(value)
    if kind in _KEPT:
        return value
    if depth <= 0:
        raise EncodeError("this value nests too deep to be read again")
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {_plain(key, 1): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    for base in _BASES:
        if isinstance(value, base):
            return base.__new__(base, base.__str__(value)) if base is str else base(value)
    raise EncodeError(
        f"cannot write an object of type {kind.__module__}.{kind.__qualname__} as MessagePack; pass plain values"
    )


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    if kind in _KEPT:
        return
    if depth <= 0:
        raise DecodeError("refused: nested too deep")
    if kind is list:
        for item in value:
            _check(item, depth - 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str and type(key) is not bytes:
                raise DecodeError(f"a map key of type {type(key).__name__}")
            _check(item, depth - 1)
    else:
        raise DecodeError(f"an extension type ({kind.__name__}) that this dialect does not use")


def _count(body: bytes, enough: int) -> int:
    """Values announced by `body`, stopping soon after `enough`; only run on bodies that could hold so many."""
    nodes, at, size = 0, 0, len(body)
    while at < size and nodes <= enough:
        lead = body[at]
        at += 1
        nodes += 1
        if 0xA0 <= lead <= 0xBF:
            at += lead & 0x1F
        elif lead in _FIXED:
            at += _FIXED[lead]
        elif lead in _SIZED:
            width, extra = _SIZED[lead]
            at += width + extra + int.from_bytes(body[at : at + width], "big")
    return nodes


# Lead byte -> bytes that follow (numbers, lengths of arrays and maps, fixed extensions).
_FIXED = {
    lead: width
    for leads, width in (
        ((0xCC, 0xD0), 1),
        ((0xCD, 0xD1, 0xD4, 0xDC, 0xDE), 2),
        ((0xD5,), 3),
        ((0xCA, 0xCE, 0xD2, 0xDD, 0xDF), 4),
        ((0xD6,), 5),
        ((0xCB, 0xCF, 0xD3), 8),
        ((0xD7,), 9),
        ((0xD8,), 17),
    )
    for lead in leads
}
# Lead byte -> (width of the length, bytes beside it): bin, ext, str.
_SIZED = {
    lead: (width, extra)
    for leads, extra in (((0xC4, 0xC5, 0xC6), 0), ((0xC7, 0xC8, 0xC9), 1), ((0xD9, 0xDA, 0xDB), 0))
    for lead, width in zip(leads, (1, 2, 4), strict=True)
}

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder().decode

SERIALIZER = Serializer("msgpack", dumps, loads, CONTENT_TYPE, CONTENT_ENCODING)
