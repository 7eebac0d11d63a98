"""Which line of the user's code called: for warnings, and for knowing where an app was made."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def user_frame() -> tuple[FrameType, int]:
    """The nearest frame that is not Skirret's, and its ``stacklevel`` for a warning that our caller gives."""
    frame, level = sys._getframe(1), 1  # noqa: SLF001  the documented way to ask who calls
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return frame, level


def user_file() -> Path:
    """The file of that frame; in an interactive session, a name in the current directory."""
    name = user_frame()[0].f_code.co_filename
    return Path.cwd() / "__interactive__" if name.startswith("<") else Path(name).absolute()
