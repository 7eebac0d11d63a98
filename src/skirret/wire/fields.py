"""Checks of single header fields, shared by every reader of messages and by the writer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from skirret.errors import DecodeError
from skirret.message import Malformed
from skirret.saferepr import saferepr
from skirret.serializers.limits import Limits

MAX_RETRIES = 1_000_000
_EXCERPT = 512
_STRICT_NAME = re.compile(r"[A-Za-z0-9_.:\-]+")


class Refused(Exception):
    """Why bytes are not a message; turned into ``Malformed`` at the border of this package."""


def malformed(reason: str, raw: bytes) -> Malformed:
    """The verdict on `raw`, with its first 512 bytes escaped."""
    return Malformed(reason=reason, excerpt=repr(bytes(raw[:_EXCERPT]))[2:-1])


def moment(text: str, zone: tzinfo = UTC) -> datetime:
    """The aware moment that ``eta`` or ``expires`` tells.

    Args:
        text: ISO 8601.
        zone: of a text without offset; Celery writes such ones in the app's timezone, by default UTC.

    Raises:
        DecodeError: it is no moment, or one at the edge of the calendar that cannot be told in UTC.
    """
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone)
        if not 1 < found.year < 9999:
            found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, AttributeError) as exc:
        raise DecodeError(f"not a moment in ISO 8601: {saferepr(text, 64)}") from exc
    return found


def name(value: Any, what: str, limits: Limits) -> str:
    """A task name or an id: free text without NUL, or the strict alphabet."""
    if not isinstance(value, str) or not value:
        raise Refused(f"{what} is {'empty' if value == '' else 'missing' if value is None else 'not text'}")
    if len(value) > limits.text:
        raise Refused(f"{what} has more than {limits.text} characters")
    if "\0" in value or (limits.exact and _STRICT_NAME.fullmatch(value) is None):
        raise Refused(f"{what} has characters that are not allowed")
    _storable(value, what)
    return value


def optional_name(value: Any, what: str, limits: Limits) -> str | None:
    """Like `name`, or None for nothing."""
    return None if value is None or value == "" else name(value, what, limits)


def note(value: Any, what: str) -> str | None:
    """Text that is only shown; other types are shown by their repr."""
    if value is None:
        return None
    if isinstance(value, str):
        _storable(value, what)
        return value
    return saferepr(value)


def _storable(value: str, what: str) -> None:
    # A lone surrogate cannot be written to any store or log.
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused(f"{what} has a lone surrogate") from None


def instant(value: Any, what: str) -> datetime | None:
    """The moment of a header field, or None."""
    if value is None or value == "":
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return moment(value)
    except DecodeError as exc:
        raise Refused(f"{what}: {exc}") from None


def count(value: Any, what: str, most: int = MAX_RETRIES) -> int:
    """A whole number from 0 to `most`; None is 0."""
    if value is None:
        return 0
    if not isinstance(value, int) or not 0 <= value <= most:
        raise Refused(f"{what} is not a whole number from 0 to {most}")
    return int(value)


def timelimit(value: Any) -> tuple[float | None, float | None]:
    """(hard, soft) seconds, finite and not negative; None is no limit."""
    if value is None:
        return (None, None)
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Refused("timelimit is not a pair")
    for limit in value:
        if limit is not None and (not isinstance(limit, (int, float)) or not 0 <= limit < 1e12):
            raise Refused("timelimit has a part that is not a number of seconds")
    return (value[0], value[1])


def names(value: Any, what: str) -> list[str] | None:
    """A list of texts, or None."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise Refused(f"{what} is not a list of names")
    return list(value)


def priority(value: Any) -> int:
    """0 to 9, out-of-range numbers brought to the nearest, anything else 0: as kombu's virtual transports take it."""
    try:
        return max(0, min(9, int(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def signatures(value: Any, what: str) -> list[Any] | None:
    """A list of signatures (mappings), one signature, or None."""
    if value is None:
        return None
    found = [value] if isinstance(value, Mapping) else value
    if not isinstance(found, (list, tuple)) or not all(isinstance(item, Mapping) for item in found):
        raise Refused(f"{what} is not a list of signatures")
    return list(found)
