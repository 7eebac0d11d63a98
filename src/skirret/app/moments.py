"""When a call is to run and when it is too late: every form that Celery allows, as one aware moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from skirret.clock import utc_now
from skirret.errors import ImproperlyConfigured


def aware(value: datetime) -> datetime:
    """`value` with a time zone; a naive one means this system's local time, as Python itself reads it."""
    return value if value.tzinfo is not None else value.astimezone()


def _after(seconds: Any, what: str) -> datetime:
    try:
        return utc_now() + (seconds if isinstance(seconds, timedelta) else timedelta(seconds=float(seconds)))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} must be a number of seconds that a date can hold, not {seconds!r}") from None


def _parse(text: str, what: str) -> datetime:
    try:
        return aware(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(f"{what} must be an ISO 8601 moment such as 2030-01-31T12:00:00+00:00, not {text!r}") from None


def eta_of(countdown: Any = None, eta: Any = None) -> datetime | None:
    """The moment before which a call must not run, or None for at once.

    Args:
        countdown: seconds from now (a number or timedelta); it wins over `eta`.
        eta: a datetime (naive is system local time) or ISO text.

    Raises:
        ValueError: it is neither.
    """
    if countdown is not None:
        return _after(countdown, "countdown")
    if eta is None or isinstance(eta, datetime):
        return None if eta is None else aware(eta)
    return _parse(str(eta), "eta")


def expires_of(expires: Any) -> datetime | None:
    """The moment after which a call need not run, or None for never.

    Args:
        expires: seconds from now (a number or timedelta), a datetime (naive is system local time) or ISO text.

    Raises:
        ValueError: it is none of these.
    """
    if expires is None:
        return None
    if isinstance(expires, datetime):
        return aware(expires)
    if isinstance(expires, str):
        return _parse(expires, "expires")
    return _after(expires, "expires")


def zone(setting: Any) -> tzinfo:
    """The time zone that the setting ``timezone`` means; UTC where there is none.

    Raises:
        ImproperlyConfigured: there is no such zone.
    """
    if setting is None:
        return UTC
    if isinstance(setting, tzinfo):
        return setting
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(str(setting))
    except (ZoneInfoNotFoundError, ValueError):
        raise ImproperlyConfigured(f"timezone = {setting!r} is not a zone such as 'Europe/Berlin'") from None
