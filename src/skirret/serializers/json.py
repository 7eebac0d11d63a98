"""JSON exactly as kombu 5.7 writes and reads it: tagged uuid, datetime, date, time, decimal and bytes; NaN kept.

The dialect: ``{"__type__": "uuid", "__value__": {"hex": ...}}`` and likewise ``datetime``, ``date``, ``time``
(ISO 8601), ``decimal`` (text), ``bytes`` (UTF-8 text) and ``base64`` (other bytes). An object with ``__json__`` is
written as what that returns. Sets and other unknown types are refused. Source of the format: kombu/utils/json.py.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from skirret.errors import DecodeError, EncodeError
from skirret.serializers.limits import DEFAULT, Limits, breach, fits_plain, is_plain
from skirret.serializers.serializer import Serializer

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"


def register_type(
    kind: type[Any],
    marker: str | None,
    encoder: Callable[[Any], Any],
    decoder: Callable[[Any], Any] = lambda value: value,
) -> None:
    """Teach the dialect a type of the user's, as ``kombu.utils.json.register_type`` does.

    Args:
        kind: instances of it (and of its subclasses) are written through `encoder`.
        marker: the tag ``__type__``; None writes what `encoder` returns untagged, so that it is not restored.
        encoder: value -> something that JSON can hold.
        decoder: the way back.
    """
    _ENCODERS[kind] = (marker, encoder)
    if marker is not None:
        _DECODERS[marker] = decoder


def dumps(value: Any, limits: Limits = DEFAULT) -> bytes:
    """`value` as UTF-8 JSON.

    Raises:
        EncodeError: a type that JSON cannot hold, or a value beyond `limits`.
    """
    if is_plain(value):
        try:
            body = _PLAIN(value)
        except (UnicodeEncodeError, msgspec.MsgspecError, ValueError):
            pass  # lone surrogates: the dialect escapes them
        else:
            return body if fits_plain(len(body), limits) else _within(body, limits)
    try:
        body = _DIALECT(value).encode()
    except EncodeError:
        raise
    except Exception as exc:
        raise EncodeError(f"cannot write this value as JSON: {exc}") from exc
    return _within(body, limits)


def loads(body: bytes, limits: Limits = DEFAULT) -> Any:
    """The value that `body` tells.

    Raises:
        DecodeError: it is not JSON of this dialect, or is beyond `limits`.
    """
    reason = breach(body, limits)
    if reason is not None:
        raise DecodeError(f"refused: {reason}")
    try:
        if limits.exact:
            return _exact(body)
        if b"__type__" not in body and b"\\u005" not in body:
            try:
                return _READ(body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                pass  # NaN, lone surrogates, floats beyond a double: the standard library reads them as kombu does
        return json.loads(body.decode("utf-8"), object_hook=_untag)
    except DecodeError:
        raise
    except (Exception, RecursionError) as exc:
        raise DecodeError(f"not JSON: {_brief(exc)}") from exc


def _exact(body: bytes) -> Any:
    """Read under the strict profile: msgspec refuses NaN and lone surrogates, the hook refuses repeated keys."""
    _READ(body)
    return json.loads(body.decode("utf-8"), object_pairs_hook=_unique)


def _within(body: bytes, limits: Limits) -> bytes:
    reason = breach(body, limits)
    if reason is not None:
        raise EncodeError(f"this value is too large to be read again: {reason}; store it elsewhere and send its name")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DecodeError("a key is repeated")
    return _untag(found)


def _untag(found: dict[str, Any]) -> Any:
    if found.keys() != _TAGGED:
        return found
    marker = found["__type__"]
    decoder = _DECODERS.get(marker) if isinstance(marker, str) else None
    if decoder is None:
        raise DecodeError(f"unknown __type__ {str(marker)[:64]!r}")
    try:
        return decoder(found["__value__"])
    except DecodeError:
        raise
    except Exception as exc:
        raise DecodeError(f"bad value of __type__ {marker!r}: {_brief(exc)}") from exc


def _brief(exc: BaseException) -> str:
    text = f"{type(exc).__name__}: {exc}"
    return text if len(text) <= 200 else text[:197] + "..."


def _default(value: Any) -> Any:
    reducer = getattr(value, "__json__", None)
    if reducer is not None:
        return reducer()
    # Django's lazy texts count as text, if Django is there at all; nothing is imported to find out.
    lazy = sys.modules.get("django.utils.functional")
    if lazy is not None and isinstance(value, lazy.Promise):
        return str(value)
    for kind, (marker, encoder) in _ENCODERS.items():
        if isinstance(value, kind):
            told = encoder(value)
            return told if marker is None else {"__type__": marker, "__value__": told}
    if isinstance(value, bytes):
        try:
            return {"__type__": "bytes", "__value__": value.decode("utf-8")}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": base64.b64encode(value).decode("ascii")}
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise EncodeError(
        f"cannot write an object of type {name} as JSON; pass plain values, or give the class a __json__ method"
    )


def _decimal_out(value: Decimal) -> str:
    _bounded(value, EncodeError)
    return str(value)


def _decimal_in(told: object) -> Decimal:
    if not isinstance(told, str) or len(told) > 2 * DEFAULT.digits:
        raise DecodeError("a tagged decimal that is no text or too long")
    return _bounded(Decimal(told), DecodeError)


def _bounded(value: Decimal, error: type[Exception]) -> Decimal:
    # A huge exponent costs nothing here and gigabytes at the first int() of it.
    if value.is_finite() and abs(value.adjusted()) > DEFAULT.exponent:
        raise error(f"a decimal whose exponent is beyond {DEFAULT.exponent}")
    return value


def _uuid_in(told: dict[str, Any]) -> UUID:
    # Old kombu adds is_safe, which does not take part in equality.
    if not told.keys() <= {"hex", "is_safe"}:
        raise DecodeError("a tagged uuid with unknown fields")
    return UUID(hex=told["hex"])


_TAGGED = {"__type__", "__value__"}
_ENCODERS: dict[type[Any], tuple[str | None, Callable[[Any], Any]]] = {}
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda told: told.encode("utf-8"),
    "base64": lambda told: base64.b64decode(told.encode("utf-8"), validate=True),
}
# Order counts: a datetime is also a date.
register_type(datetime, "datetime", datetime.isoformat, datetime.fromisoformat)
register_type(date, "date", date.isoformat, lambda told: datetime.fromisoformat(told).date())
register_type(time, "time", time.isoformat, time.fromisoformat)
register_type(Decimal, "decimal", _decimal_out, _decimal_in)
register_type(UUID, "uuid", lambda value: {"hex": value.hex}, _uuid_in)

_DIALECT = json.JSONEncoder(default=_default).encode
_PLAIN = msgspec.json.Encoder().encode
_READ = msgspec.json.Decoder().decode

SERIALIZER = Serializer("json", dumps, loads, CONTENT_TYPE, CONTENT_ENCODING)
