"""Short text of any value, for logs and events: bounded in size, and a broken ``__repr__`` does not hurt."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 256
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = 64
_SHORT.maxlevel = 4


def saferepr(value: Any, maxlen: int = 1024) -> str:
    """Text of `value`, at most `maxlen` characters, ending in ``...`` where it was cut."""
    try:
        text = repr(value) if isinstance(value, (int, float, bool, type(None))) else _SHORT.repr(value)
    except Exception as exc:  # noqa: BLE001  a user's __repr__ may raise anything
        text = f"<unprintable {type(value).__name__}: {type(exc).__name__}>"
    return text if len(text) <= maxlen else text[: max(0, maxlen - 3)] + "..."


def argsrepr(args: Sequence[Any], maxlen: int = 1024) -> str:
    """Text of positional arguments, as Celery's ``argsrepr`` header shows them."""
    if len(args) <= _FEW and all(map(_is_brief, args)):
        return repr(tuple(args))
    return saferepr(tuple(args), maxlen)


def kwargsrepr(kwargs: Mapping[str, Any], maxlen: int = 1024) -> str:
    """Text of keyword arguments, as Celery's ``kwargsrepr`` header shows them."""
    if not kwargs:
        return "{}"
    return saferepr(dict(kwargs), maxlen)


_FEW = 8


def _is_brief(value: Any) -> bool:
    """Whether nothing needs to be cut of the plain ``repr``, which takes a fifth of the time (1 us)."""
    kind = type(value)
    if kind is str:
        return len(value) <= 64
    return value is None or kind is bool or kind is float or (kind is int and -(10**18) < value < 10**18)
