"""What the embedded file contains, which version of it this is, and how an older one becomes the present one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from skirret.errors import ImproperlyConfigured

VERSION = 1
"""Kept in SQLite's ``user_version``."""

APPLICATION = 0x534B5254
"""``SKRT``, kept in SQLite's ``application_id``: how we know that a file is ours."""

SCHEMA = Path(__file__).with_name("schema.sql")

MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], object]] = {}
"""What turns layout N into N + 1, by N; each runs in the transaction that records the new version."""


def is_current(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file has the present layout. False for an empty file and for an older layout of ours.

    Raises:
        ImproperlyConfigured: another program's file, or a newer layout.
    """
    connection.execute("BEGIN")  # one snapshot: another process may be making the file
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        is_used = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    finally:
        connection.execute("ROLLBACK")
    if application == APPLICATION and version == VERSION:
        return True
    if application == APPLICATION:
        if version > VERSION:
            raise ImproperlyConfigured(
                f"{path} has layout {version}, and this Skirret knows layouts up to {VERSION}: a newer Skirret wrote "
                "it. Upgrade this installation, or name another file."
            )
        return False
    if application or version or is_used:
        raise ImproperlyConfigured(
            f"{path} is a SQLite database of another program, so Skirret leaves it alone. Name a file of its own, "
            "such as sqlite:///queue.sqlite3"
        )
    return False


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Create the layout in an empty file, or migrate an older one; under the write lock, outside a transaction.

    Raises:
        ImproperlyConfigured: as `is_current`.
    """
    if is_current(connection, path):  # another process was faster
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            _create(connection)
        else:
            for version in range(connection.execute("PRAGMA user_version").fetchone()[0], VERSION):
                MIGRATIONS[version](connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    # Not executescript(), which would commit the transaction that it finds.
    statement = ""
    for line in SCHEMA.read_text(encoding="utf-8").splitlines():
        statement += line.split("--")[0] + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
