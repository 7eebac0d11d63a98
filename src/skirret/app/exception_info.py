"""What went wrong in a task, as hooks and signals are told it (Celery's ``einfo``)."""

from __future__ import annotations

import traceback as tracebacks
from types import TracebackType


class ExceptionInfo:
    """An exception with its traceback as text.

    Args:
        exception: what was raised.
        internal: whether Skirret itself, not the task, raised it.
    """

    def __init__(self, exception: BaseException, internal: bool = False) -> None:
        self.exception = exception
        self.internal = internal
        self.type = type(exception)
        self.tb: TracebackType | None = exception.__traceback__
        self._text: str | None = None

    @property
    def traceback(self) -> str:
        """The traceback as Python prints it."""
        if self._text is None:
            self._text = "".join(tracebacks.format_exception(self.exception))
        return self._text

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"
