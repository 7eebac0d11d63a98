"""Puts what SQLite or the operating system reports into words that say what to do: the one border for their errors."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from skirret.errors import ImproperlyConfigured, OperationalError, SkirretError

BROKEN_CONNECTION = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}
)
"""Errors after which a connection is not used again."""


def code_of(exc: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if the driver itself raised."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def in_words(exc: sqlite3.Error, path: Path) -> SkirretError | sqlite3.Error:
    """Our error for one of SQLite's; a misuse of the driver is a bug and stays as it is."""
    name = getattr(exc, "sqlite_errorname", "")
    match code_of(exc):
        case sqlite3.SQLITE_FULL:
            return disk_full(path)
        case sqlite3.SQLITE_IOERR if is_full(path):
            return disk_full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return read_only(path)
        case sqlite3.SQLITE_CANTOPEN:
            return cannot_open(path, exc)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return OperationalError(
                f"{path} is locked by another program, perhaps an open transaction in a sqlite3 shell or a backup. "
                "Nothing was stored; end that program or try again."
            )
        case sqlite3.SQLITE_NOTADB:
            return ImproperlyConfigured(
                f"{path} is not a SQLite database, so Skirret leaves it alone. Name another file, such as "
                "sqlite:///queue.sqlite3"
            )
        case sqlite3.SQLITE_CORRUPT:
            return OperationalError(
                f"{path} is damaged ({exc}). Stop all workers, then save what can be read with "
                f"`sqlite3 {path} .recover`, or move the file away to start with an empty one."
            )
        case sqlite3.SQLITE_IOERR:
            return OperationalError(
                f"reading or writing {path} failed ({exc}, {name}). Nothing was stored; check the disk."
            )
        case sqlite3.SQLITE_TOOBIG:
            return OperationalError(f"{path} cannot hold a value of this size ({exc}). Nothing was stored.")
        case sqlite3.SQLITE_NOMEM:
            return OperationalError(f"no memory left to work on {path}. Nothing was stored.")
        case 0 | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_MISUSE | sqlite3.SQLITE_RANGE | sqlite3.SQLITE_MISMATCH:
            return exc
    return OperationalError(f"SQLite refused work on {path}: {exc} ({name})")


def disk_full(path: Path) -> OperationalError:
    """No space."""
    return OperationalError(
        f"the disk of {path} is full. Nothing was stored and nothing is lost; free some space and try again."
    )


def read_only(path: Path) -> OperationalError:
    """No permission to write."""
    return OperationalError(
        f"{path} cannot be written: the file, its directory or its disk is read-only for this user. Make them "
        "writable (SQLite also writes beside its file), or set SKIRRET_HOME to a directory that is."
    )


def cannot_open(path: Path, exc: Exception) -> OperationalError:
    """The file cannot be opened or made."""
    parent = path.parent
    if path.is_dir():
        why = "it is a directory"
    elif not parent.is_dir():
        why = f"its directory {parent} does not exist and cannot be made"
    elif not os.access(path if path.exists() else parent, os.R_OK | os.W_OK):
        return read_only(path)
    else:
        why = str(exc)
    return OperationalError(f"cannot open {path}: {why}. Name another file, or set SKIRRET_HOME to another directory.")


def is_full(path: Path) -> bool:
    """Whether the disk has no room for a page; SQLite reports a full disk as I/O error in some places."""
    try:
        stat = os.statvfs(path.parent)
    except OSError:
        return False
    return stat.f_bavail * stat.f_frsize < 65536
