"""Results in the embedded file: written by compare-and-set, read back while they last."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from skirret import states
from skirret.message import Record
from skirret.stores.sqlite.text import storable

# `states.supersedes` in SQL: a heavier state replaces a lighter one, anything replaces what is unfinished or expired.
_WRITE = """
INSERT INTO result (task_id, weight, expires, payload) VALUES (?, ?, ?, ?)
ON CONFLICT (task_id) DO UPDATE SET weight = excluded.weight, expires = excluded.expires, payload = excluded.payload
WHERE weight = 0 OR excluded.weight > weight OR expires <= ?"""

_READ = "SELECT task_id, payload FROM result WHERE task_id IN ({}) AND weight >= ? AND (expires IS NULL OR expires > ?)"

_BATCHES = (1, 16, 256)
"""How many ids one query asks for; few different queries, so that they stay compiled."""


def weight(state: str) -> int:
    """0 unfinished, 1 finished, 2 SUCCESS."""
    return 2 if state == states.SUCCESS else int(state in states.READY_STATES)


def _row(record: Record, now: float) -> tuple[str, int, float | None, bytes, float]:
    expires = None if record.ttl is None else now + record.ttl
    return storable(record.task_id), weight(record.state), expires, record.payload, now


def write(connection: sqlite3.Connection, records: Iterable[Record], now: float) -> None:
    """Write results where `states.supersedes` allows it; in the caller's transaction."""
    connection.executemany(_WRITE, [_row(record, now) for record in records])


def write_and_tell(connection: sqlite3.Connection, records: Iterable[Record], now: float) -> list[bool]:
    """As `write`; one flag each, False where the old one stays."""
    return [connection.execute(_WRITE, _row(record, now)).rowcount == 1 for record in records]


def finished(records: Iterable[Record]) -> list[str]:
    """The ids of those tasks that somebody may wait for."""
    return [record.task_id for record in records if record.state in states.READY_STATES]


def read(
    connection: sqlite3.Connection, task_ids: Sequence[str], now: float, *, only_finished: bool = False
) -> dict[str, bytes]:
    """The payloads of results that exist and have not expired."""
    asked = {storable(task_id): task_id for task_id in task_ids}
    found: dict[str, bytes] = {}
    for chunk in _chunks(list(asked)):
        query = _READ.format(",".join("?" * len(chunk)))
        for task_id, payload in connection.execute(query, (*chunk, int(only_finished), now)):
            found[asked[task_id]] = payload
    return found


def delete(connection: sqlite3.Connection, task_ids: Sequence[str], now: float) -> int:
    """Delete results; how many existed and had not expired."""
    gone = 0
    for task_id in set(task_ids):
        row = connection.execute(
            "DELETE FROM result WHERE task_id = ? RETURNING expires", (storable(task_id),)
        ).fetchone()
        gone += row is not None and (row[0] is None or row[0] > now)
    return gone


def delete_expired(connection: sqlite3.Connection, now: float, limit: int) -> int:
    """Delete up to `limit` expired results; how many."""
    return connection.execute(
        "DELETE FROM result WHERE rowid IN (SELECT rowid FROM result WHERE expires <= ? LIMIT ?)", (now, limit)
    ).rowcount


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    start = 0
    while start < len(ids):
        left = len(ids) - start
        size = next((size for size in _BATCHES if size >= left), _BATCHES[-1])
        chunk = ids[start : start + size]
        yield chunk + chunk[-1:] * (size - len(chunk))
        start += size
