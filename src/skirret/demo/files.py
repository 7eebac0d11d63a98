"""Which files the demo measures."""

from __future__ import annotations

import os
import stat
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOREIGN: Final = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})


@dataclass(frozen=True, slots=True)
class Selection:
    """The files to measure, sorted; `skipped` were unreadable, not regular, or have a name that is no text."""

    directory: Path
    paths: list[str]
    skipped: int


def standard_library() -> Path:
    """The directory of the running Python's own sources."""
    return Path(sysconfig.get_paths()["stdlib"])


def select(directory: Path | None = None, limit: int | None = None) -> Selection:
    """The files below a directory; hidden directories, byte code and installed packages are not entered.

    Args:
        directory: None is the standard library, of which only the ``.py`` files are taken.
        limit: at most so many, the first by name.
    """
    root = (directory or standard_library()).resolve()
    found: list[str] = []
    skipped = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _FOREIGN)
        for name in names:
            if directory is None and not name.endswith(".py"):
                continue
            path = f"{folder}{os.sep}{name}"
            if _usable(path):
                found.append(path)
            else:
                skipped += 1
    found.sort()
    return Selection(root, found[:limit] if limit is not None else found, skipped)


def _usable(path: str) -> bool:
    try:
        path.encode("utf-8")
        regular = stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, UnicodeEncodeError):
        return False
    return regular and os.access(path, os.R_OK)
