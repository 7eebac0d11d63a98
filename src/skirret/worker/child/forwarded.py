"""Log records of the supervisor, given to handlers of the app: its own log has them already."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from skirret import loggers
from skirret.logs import LogStream


def emit(values: Mapping[str, Any]) -> None:
    """Give a record to the app's handlers, as its logger would if it had been made here; nothing is raised."""
    record = logging.makeLogRecord(dict(values))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        loggers.deliver(logger, record, _would_double)


def _would_double(handler: logging.Handler) -> bool:
    """Whether a handler is Skirret's own, or writes where the supervisor has written the record already."""
    if handler.get_name() == loggers.OURS:
        return True
    stream = getattr(handler, "stream", None)
    return isinstance(stream, LogStream) or (stream is not None and stream in (sys.__stderr__, sys.__stdout__))
