"""How large, deep and wide a body may be: the bounds that stop bombs, checked before anything is built from bytes.

The figures of ``STRICT`` are those of the profile ``security="strict"``; ``DEFAULT`` is wider, because a Celery
producer may send long lists and deep signatures. Both are checked when a body is read and when it is written, so that
what this process publishes another one can read.
"""

from __future__ import annotations

import sys

import msgspec

MAX_BYTES = 16 * 1024 * 1024
"""Largest message and largest decompressed body, in bytes, where a caller names no other."""

_WINDOW = 1 << 16
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")
_DIGITS = bytes(48 if 48 <= c < 58 else 32 for c in range(256))
_SQUARE = bytes.maketrans(b"{}", b"[]")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one profile.

    Args:
        depth: containers inside containers.
        nodes: values, keys included.
        digits: decimal digits of an integer.
        exponent: largest absolute exponent of a tagged decimal.
        text: characters of a task name or id.
        exact: also refuse NaN and infinity, repeated keys, lone surrogates, and names beyond ``[A-Za-z0-9_.:-]``.
    """

    depth: int = 256
    nodes: int = 1_000_000
    digits: int = 4300
    exponent: int = 10_000
    text: int = 1024
    exact: bool = False


DEFAULT = Limits()
STRICT = Limits(depth=64, nodes=100_000, text=255, exact=True)


def python_bounds_integers(limits: Limits) -> bool:
    """Whether Python itself refuses integers of more digits than `limits` has, so that nobody must look for them."""
    return 0 < sys.get_int_max_str_digits() <= limits.digits


def fits_plain(size: int, limits: Limits) -> bool:
    """Whether the JSON of a plain value (`is_plain`), of `size` bytes, keeps `limits` without a look at it."""
    return size <= limits.depth or (
        size <= 2 * limits.nodes and limits.depth >= PLAIN_DEPTH and python_bounds_integers(limits)
    )


def breach(body: bytes, limits: Limits = DEFAULT) -> str | None:
    """What of `limits` the JSON text `body` breaks, in words, or None. Linear in time; a few counts for small bodies.

    The text need not be valid: a decoder reports that.
    """
    opens = body.count(b"[") + body.count(b"{")
    size = len(body)
    # Every node but the first costs two bytes at least ("1,1").
    deep, wide = opens > limits.depth, size > 2 * limits.nodes
    long = size > limits.digits and not python_bounds_integers(limits)
    if not (deep or wide or long):
        return None
    return _scan(body, limits)


def _scan(body: bytes, limits: Limits) -> str | None:
    """The careful half of `breach`: strings are cut out in windows, so that memory stays small."""
    # Without escaped backslashes and quotes, every quote that is left opens or closes a string.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets: list[bytes] = []
    nodes, inside, digits_left = 1, False, b""
    many_digits = b"0" * (limits.digits + 1)
    for start in range(0, len(body), _WINDOW):
        pieces = body[start : start + _WINDOW].split(b'"')
        outside = b'"'.join(pieces[1 if inside else 0 :: 2])
        nodes += outside.count(b",") + outside.count(b":") + outside.count(b"[") + outside.count(b"{")
        if nodes > limits.nodes:
            return f"more than {limits.nodes} values"
        # A substring search is linear; a counted regular expression is not.
        run = digits_left + outside
        if many_digits in run.translate(_DIGITS):
            return f"a number of more than {limits.digits} digits"
        if len(pieces) % 2 == 0:
            inside = not inside
        digits_left = b"" if inside else run[-limits.digits :]
        brackets.append(outside.translate(_SQUARE, _NOT_BRACKETS))
    return f"nested deeper than {limits.depth}" if _deeper(b"".join(brackets), limits.depth) else None


def _deeper(brackets: bytes, depth: int) -> bool:
    """Whether `brackets` nest deeper than `depth`; unbalanced ones count as deep only if too many stay open."""
    # Each pass takes away every innermost pair, so the number of passes is the depth.
    for _ in range(depth):
        left = brackets.replace(b"[]", b"")
        if len(left) == len(brackets):
            break
        brackets = left
    return brackets.count(b"[") > depth or b"[]" in brackets


PLAIN_DEPTH = 32


def is_plain(value: object, depth: int = PLAIN_DEPTH) -> bool:
    """Whether `value` is only exact str, int, bool, None, finite float, list, tuple and dict with str keys.

    Such a value is written alike by every encoder; everything else takes the road of the dialect.
    """
    kind = type(value)
    if kind in _SCALARS:
        return True
    # Plain loops: a generator in all() takes twice as long.
    if kind is list or kind is tuple:
        if depth <= 0:
            return False
        for item in value:  # type: ignore[attr-defined]  # noqa: SIM110
            if type(item) not in _SCALARS and not is_plain(item, depth - 1):
                return False
        return True
    if kind is dict:
        if depth <= 0 or not _TEXT.issuperset(map(type, value)):  # type: ignore[call-overload]
            return False
        for item in value.values():  # type: ignore[attr-defined]  # noqa: SIM110
            if type(item) not in _SCALARS and not is_plain(item, depth - 1):
                return False
        return True
    return kind is float and value - value == 0.0  # type: ignore[operator]


_SCALARS = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})
