"""The supervisor's log for handlers that the app has set up: those live in its handler process, as the app does."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from typing import Any

from skirret import logs
from skirret.worker.handler_line import Carrier
from skirret.worker.loop import Loop
from skirret.worker.words import LOG, Word

MOST_WAITING = 1000
"""Records that wait for the loop; what comes then is in the supervisor's own log only."""


class LogForwarder(logging.Handler):
    """Hands records to a carrier. Any thread may log, and none of them waits.

    Args:
        loop: the supervisor's, on which the carrier is spoken to.
        target: the logger whose records are forwarded.
    """

    def __init__(self, loop: Loop, target: logging.Logger) -> None:
        super().__init__()
        self.carrier: Carrier | None = None
        """Set once there is one; what comes before waits."""
        self._loop = loop
        self._target = target
        self._waiting: deque[dict[str, Any]] = deque()
        self._dropped = 0
        self._asked = False
        target.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record forwarded soon; one that cannot be put into words is no concern of the code that logs."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        try:
            values = plain(record)
        except Exception:  # noqa: BLE001  what logging's own handlers do: arguments may be objects of any kind
            self.handleError(record)
            return
        self._waiting.append(values)
        if not self._asked:
            self._asked = True
            self._loop.call_from_thread(self.flush)

    def flush(self) -> None:
        """Hand over what waits; on the loop's thread."""
        if self.carrier is None:
            return
        self._asked = False
        while self._waiting:
            self.carrier.say(Word(LOG, values=self._waiting.popleft()))
        dropped, self._dropped = self._dropped, 0
        if dropped:
            text = f"{dropped} line(s) of the supervisor came too fast to be told here; its own log has them."
            self.carrier.say(Word(LOG, values=plain(logging.makeLogRecord(
                {"name": "skirret.worker", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
            ))))  # fmt: skip

    def end(self) -> None:
        """Hand over the rest, and forward nothing any more."""
        self._target.removeHandler(self)
        self.flush()
        self.close()


def plain(record: logging.LogRecord) -> dict[str, Any]:
    """A record in values that can be sent; its message without passwords, its exception as text."""
    trace = record.exc_text
    if record.exc_info and record.exc_info[0] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    return {
        "name": record.name,
        "levelno": record.levelno,
        "levelname": record.levelname,
        "msg": logs.mask(record.getMessage()),
        "created": record.created,
        "msecs": record.msecs,
        "process": record.process,
        "processName": record.processName,
        "thread": record.thread,
        "threadName": record.threadName,
        "pathname": record.pathname,
        "filename": record.filename,
        "module": record.module,
        "lineno": record.lineno,
        "funcName": record.funcName,
        "exc_text": None if trace is None else logs.mask(trace),
    }
