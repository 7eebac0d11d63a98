"""Skirret's own loggers: a log handler or filter that raises harms neither the code that logs nor other handlers.

Handlers belong to the app, and worker and client log in its processes: a log server that is away must not fail the task
whose end is logged, nor end the process. Python's own loggers let through what a handler raises.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from skirret import clock
from skirret.errors import SoftTimeLimitExceeded

SILENCE: Final = 600.0
"""Seconds for which nothing more is told of a handler or filter whose fault was told: each line would repeat it."""

OURS: Final = "skirret"
"""Name of the handler that `skirret.logs` sets up."""

Skip = Callable[[logging.Handler], bool]

_told: weakref.WeakKeyDictionary[logging.Handler | logging.Logger, float] = weakref.WeakKeyDictionary()


def own(name: str) -> logging.Logger:
    """The logger `name`, which from now on raises nothing that its filters or any handler raise.

    It is the one that `logging.getLogger` gives, of whichever class; its level, handlers and parents count as ever.
    """
    found = logging.getLogger(name)
    found.handle = partial(deliver, found)  # type: ignore[method-assign]
    return found


def deliver(logger: logging.Logger, record: logging.LogRecord, skip: Skip | None = None) -> None:
    """Give a record to the handlers of `logger` and its parents, as `logging.Logger.handle` does.

    A handler that raises is told of once in `SILENCE` seconds, and the others get the record all the same. If a filter
    of the logger raises, nobody gets it: it may be the filter that keeps secrets out.

    Args:
        logger: where the record was made.
        record: what was logged.
        skip: says which handlers do not get it; None is none of them.

    Raises:
        SoftTimeLimitExceeded: the task that logs ran too long; that is not the handler's fault.
    """
    if logger.disabled:
        return
    try:
        passed: Any = logger.filter(record)  # from Python 3.12 on it may be another record
        if passed:
            # Through the class, and whatever replaced its method: error trackers listen there.
            seen: Any = _Seen(logger, skip)
            type(logger).callHandlers(seen, passed if isinstance(passed, logging.LogRecord) else record)
    except SoftTimeLimitExceeded:
        raise
    except Exception as exc:  # noqa: BLE001  whatever the app's code raises
        tell(logger, exc, logger)


class _Seen:
    """A logger as `logging.Logger.callHandlers` sees one: all handlers up to the root, each of them harmless."""

    propagate = False
    parent = None

    def __init__(self, logger: logging.Logger, skip: Skip | None) -> None:
        self.name = logger.name
        self.manager = logger.manager
        self.handlers = [_Harmless(handler, logger, skip) for handler in _handlers(logger)]


class _Harmless:
    """A handler as `logging.Logger.callHandlers` sees one; it raises nothing."""

    __slots__ = ("_handler", "_logger", "level")

    def __init__(self, handler: logging.Handler, logger: logging.Logger, skip: Skip | None) -> None:
        self._handler = handler
        self._logger = logger
        self.level = handler.level if skip is None or not skip(handler) else sys.maxsize

    def handle(self, record: logging.LogRecord) -> None:
        try:
            self._handler.handle(record)
        except SoftTimeLimitExceeded:
            raise
        except Exception as exc:  # noqa: BLE001  whatever the app's code raises
            tell(self._handler, exc, self._logger)


def _handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    at: logging.Logger | None = logger
    while at is not None:
        yield from at.handlers
        at = at.parent if at.propagate else None


def tell(culprit: logging.Handler | logging.Logger, exc: Exception, logger: logging.Logger) -> None:
    """Tell what a handler, or a filter of a logger, raised: in Skirret's own log where there is one, else on stderr.

    Not through the logger itself: the line would meet the same handler. What fails here is not told to anybody.
    """
    now = clock.monotonic()
    if now < _told.get(culprit, 0.0):
        return
    _told[culprit] = now + SILENCE
    who = f"log handler {type(culprit).__name__}"
    if isinstance(culprit, logging.Logger):
        who = f"logger {culprit.name!r}, or a filter of it,"
    text = f"The {who} raised {type(exc).__name__}: the line is lost there. It is not told again for {SILENCE:.0f} s."
    record = logging.makeLogRecord({"name": logger.name, "levelno": logging.ERROR, "levelname": "ERROR", "msg": text})
    record.exc_info = (type(exc), exc, exc.__traceback__)
    ours = [handler for handler in _handlers(logger) if handler.get_name() == OURS]
    # The stderr of the program itself: what is written to the one in use may go to the log.
    for handler in ours or [logging.StreamHandler(sys.__stderr__)]:
        with contextlib.suppress(Exception):
            handler.handle(record)
