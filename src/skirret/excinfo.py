"""An exception beside its traceback's text: what task hooks and signals are told of a failure (Celery's ``einfo``)."""

from __future__ import annotations

import os
import traceback as traceback_module
from dataclasses import dataclass

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
        frames = exc.__traceback__
        while frames is not None and frames.tb_next is not None and _OURS in frames.tb_frame.f_code.co_filename:
            frames = frames.tb_next
        return cls(exc, "".join(traceback_module.format_exception(type(exc), exc, frames)))

    @property
    def type(self) -> type[BaseException]:
        """The exception's class."""
        return type(self.exception)

    def __str__(self) -> str:
        return self.traceback
