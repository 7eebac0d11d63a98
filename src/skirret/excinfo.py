"""An exception beside its traceback's text: what task hooks and signals are told of a failure (Celery's ``einfo``)."""

from __future__ import annotations

import os
import traceback as traceback_module
from dataclasses import dataclass
from types import TracebackType

_CALLERS = f"{os.sep}skirret{os.sep}worker{os.sep}child{os.sep}"
_OURS = f"{os.sep}skirret{os.sep}"


@dataclass(slots=True)
class ExceptionInfo:
    """One failure. ``str()`` is the traceback's text.

    Args:
        exception: what was raised.
        traceback: its text, from the user's first frame on.
    """

    exception: BaseException
    traceback: str

    @classmethod
    def of(cls, exc: BaseException) -> ExceptionInfo:
        """The info of a raised exception; Skirret's own outer frames are left out of the text."""
        return cls(exc, "".join(traceback_module.format_exception(type(exc), exc, frames_of(exc))))

    @property
    def type(self) -> type[BaseException]:
        """The exception's class."""
        return type(self.exception)

    def __str__(self) -> str:
        return self.traceback


def frames_of(exc: BaseException) -> TracebackType | None:
    """The traceback of a raised exception from the user's first frame on."""
    frame = start = exc.__traceback__
    while frame is not None:  # whatever led to the child's call of the task, executors and loops included
        if _CALLERS in frame.tb_frame.f_code.co_filename and frame.tb_next is not None:
            start = frame.tb_next
        frame = frame.tb_next
    while start is not None and start.tb_next is not None and _OURS in start.tb_frame.f_code.co_filename:
        start = start.tb_next
    return start
