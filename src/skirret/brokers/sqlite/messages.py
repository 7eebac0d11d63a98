"""Messages in the embedded file: added, put back, woken by their time, buried. All run in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skirret.message import Publication
from skirret.stores.sqlite.text import storable
from skirret.wire import envelope as wire

NONCE_SECONDS = 30.0
"""How long a publish call is remembered."""

WAKE_LIMIT = 500
"""Messages whose time came that one transaction moves."""


@dataclass(slots=True, frozen=True)
class Draft:
    """A message that is not stored yet."""

    queue: str
    rank: int
    due: float | None
    task_id: str
    expires: float | None
    raw: bytes
    nonce: str


def draft(publication: Publication) -> Draft:
    """A publication, encoded."""
    return Draft(
        queue=storable(publication.route.queue),
        rank=rank(publication.envelope.priority),
        due=publication.due,
        task_id=storable(publication.task_id),
        expires=publication.expires,
        raw=wire.encode(publication),
        nonce=storable(publication.nonce),
    )


def rank(priority: int) -> int:
    """What sorts priority 9 first."""
    return 9 - max(0, min(9, priority))


def places(connection: sqlite3.Connection, count: int) -> int:
    """Reserve `count` places at the end; the first of them."""
    update = "UPDATE counter_of SET last = last + ? WHERE name = 'place' RETURNING last"
    last: int = connection.execute(update, (count,)).fetchone()[0]
    return last - count + 1


def publish(connection: sqlite3.Connection, calls: Sequence[Sequence[Draft]], now: float) -> set[str]:
    """Add the messages of publish calls, but those whose nonce an earlier call brought; the queues that got any.

    The messages of one call may share a nonce.
    """
    known = _known(connection, {one.nonce for call in calls for one in call if one.nonce}, now)
    fresh: set[str] = set()
    accepted: list[Draft] = []
    for call in calls:
        accepted += [one for one in call if one.nonce not in known]
        nonces = {one.nonce for one in call if one.nonce} - known
        fresh |= nonces
        known |= nonces
    if fresh:
        connection.executemany("INSERT OR REPLACE INTO nonce VALUES (?, ?)", [(nonce, now) for nonce in fresh])
    return add(connection, accepted, now)


def _known(connection: sqlite3.Connection, nonces: set[str], now: float) -> set[str]:
    # Both ways, for a wall clock that was set back.
    look = "SELECT nonce FROM nonce WHERE nonce = ? AND at BETWEEN ? AND ?"
    since, until = now - NONCE_SECONDS, now + NONCE_SECONDS
    return {nonce for nonce in nonces if connection.execute(look, (nonce, since, until)).fetchone()}


def forget_nonces(connection: sqlite3.Connection, now: float) -> None:
    """Delete the nonces that are too old to count."""
    connection.execute("DELETE FROM nonce WHERE at NOT BETWEEN ? AND ?", (now - NONCE_SECONDS, now + NONCE_SECONDS))


def add(connection: sqlite3.Connection, drafts: Sequence[Draft], now: float) -> set[str]:
    """Put messages at the ends of their queues, or to those that wait for their time; the queues that got any."""
    if not drafts:
        return set()
    first = places(connection, len(drafts))
    rows: list[tuple[int, str, int, str, float | None, bytes]] = []
    ready: list[tuple[str, int, int, int]] = []
    delayed: list[tuple[str, float, int, int]] = []
    for place, one in enumerate(drafts, first):
        rows.append((place, one.queue, one.rank, one.task_id, one.expires, one.raw))
        if one.due is not None and one.due > now:
            delayed.append((one.queue, one.due, place, place))
        else:
            ready.append((one.queue, one.rank, place, place))
    connection.executemany(
        "INSERT INTO message (id, queue, rank, task_id, expires, raw) VALUES (?, ?, ?, ?, ?, ?)", rows
    )
    connection.executemany("INSERT INTO ready VALUES (?, ?, ?, ?)", ready)
    connection.executemany("INSERT INTO delayed VALUES (?, ?, ?, ?)", delayed)
    queues = {one.queue for one in drafts}
    name(connection, queues)
    return queues


def name(connection: sqlite3.Connection, queues: Iterable[str]) -> None:
    """Remember that these queues exist."""
    connection.executemany("INSERT OR IGNORE INTO queue VALUES (?)", [(storable(queue),) for queue in queues])


def wake_due(connection: sqlite3.Connection, queue: str, now: float) -> None:
    """Move messages whose time has come to the end of their queue, the soonest first."""
    due = connection.execute(
        "SELECT due, place, id FROM delayed WHERE queue = ? AND due <= ? ORDER BY due, place LIMIT ?",
        (queue, now, WAKE_LIMIT),
    ).fetchall()
    if not due:
        return
    first = places(connection, len(due))
    connection.executemany(
        "INSERT INTO ready SELECT queue, rank, ?, id FROM message WHERE id = ?",
        [(place, row[2]) for place, row in enumerate(due, first)],
    )
    connection.execute("DELETE FROM delayed WHERE queue = ? AND (due, place) <= (?, ?)", (queue, *due[-1][:2]))


def put_back(connection: sqlite3.Connection, holds: Iterable[tuple[int, int]]) -> None:
    """Put messages, given as (place, id), where they were in their queues."""
    connection.executemany("INSERT INTO ready SELECT queue, rank, ?, id FROM message WHERE id = ?", holds)


def delay(connection: sqlite3.Connection, holds: Iterable[tuple[float, int, int]]) -> None:
    """Make messages, given as (due, place, id), wait for their time."""
    connection.executemany("INSERT INTO delayed SELECT queue, ?, ?, id FROM message WHERE id = ?", holds)


def bury(connection: sqlite3.Connection, letters: Iterable[tuple[str, float, int]]) -> None:
    """Copy messages, given as (reason, moment, id), to the dead letters."""
    connection.executemany(
        "INSERT INTO dead (queue, rank, task_id, expires, deliveries, crashes, raw, reason, died) "
        "SELECT queue, rank, task_id, expires, deliveries, crashes, raw, ?, ? FROM message WHERE id = ?",
        letters,
    )


def remove(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete messages."""
    connection.executemany("DELETE FROM message WHERE id = ?", [(one,) for one in ids])
