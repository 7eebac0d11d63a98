"""Log records of the supervisor, given to handlers of the app: its own log has them already."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from skirret.logs import LogStream


def emit(values: Mapping[str, Any]) -> None:
    """Give a record to the app's handlers, as its logger would if it had been made here."""
    record = logging.makeLogRecord(dict(values))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno) and logger.filter(record):
        for handler in _handlers(logger):
            if record.levelno >= handler.level and not _would_double(handler):
                handler.handle(record)


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    at: logging.Logger | None = logger
    while at is not None:
        yield from at.handlers
        at = at.parent if at.propagate else None


def _would_double(handler: logging.Handler) -> bool:
    """Whether a handler is Skirret's own, or writes where the supervisor has written the record already."""
    if handler.get_name() == "skirret":
        return True
    stream = getattr(handler, "stream", None)
    return isinstance(stream, LogStream) or (stream is not None and stream in (sys.__stderr__, sys.__stdout__))
