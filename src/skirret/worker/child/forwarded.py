"""Log records of the supervisor, given to handlers of the app: its own log has them already."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from skirret.logs import LogStream

_PLAIN = logging.NullHandler()
"""Tells of what no handler raised."""


def emit(values: Mapping[str, Any]) -> None:
    """Give a record to the app's handlers, as its logger would if it had been made here.

    What one of them or a filter raises is told on stderr, as logging tells it; the others get the record all the same.
    """
    record = logging.makeLogRecord(dict(values))
    logger = logging.getLogger(record.name)
    with _faults_told_by(_PLAIN, record):
        if logger.isEnabledFor(record.levelno) and logger.filter(record):
            for handler in _handlers(logger):
                if record.levelno >= handler.level and not _would_double(handler):
                    with _faults_told_by(handler, record):
                        handler.handle(record)


@contextlib.contextmanager
def _faults_told_by(handler: logging.Handler, record: logging.LogRecord) -> Iterator[None]:
    """Nothing that is raised inside may be logged: the record would meet the same handler, and never come to an end.

    Nor may it end this process: the supervisor's line about that would be the next record to do so.
    """
    try:
        yield
    except Exception:  # noqa: BLE001  whatever the app's code raises
        # The stderr of the program itself: what is written to the one in use here goes to the log.
        with contextlib.suppress(Exception), contextlib.redirect_stderr(sys.__stderr__):
            handler.handleError(record)


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
