"""One event: a mapping with a type and a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from skirret import clock


def Event(  # noqa: N802  Celery's public name
    type: str, _fields: Mapping[str, Any] | None = None, __now__: Callable[[], float] | None = None, **fields: Any
) -> dict[str, Any]:
    """An event.

    Args:
        type: such as ``task-progress``; what stands before the hyphen is its group.
        _fields: fields as a mapping.
        __now__: tells the moment, in seconds since the epoch, where no ``timestamp`` is given.
        **fields: further fields.
    """
    event = {**(_fields or {}), **fields}
    event.setdefault("timestamp", (__now__ or clock.wall)())
    event["type"] = type
    return event


@lru_cache(1024)
def group_from(type: str) -> str:
    """The group of a type: ``task`` of ``task-sent``."""
    return type.split("-", 1)[0]


def utc_offset() -> float:
    """Hours that this process's local time is behind UTC, as Celery's events tell it."""
    local = time.localtime()
    seconds = time.altzone if time.daylight and local.tm_isdst else time.timezone
    return seconds / 3600.0
