"""Which messages a take gets, and how they become held. All run in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

from skirret.message import Delivery
from skirret.stores.sqlite.text import storable

MAX_BYTES = 8 * 1024 * 1024
"""A take ends with the message that reaches this, so that what one call brings has a bound beside its number."""

_NEXT = """
SELECT r.rank, r.place, r.id, m.raw, m.deliveries, m.crashes, m.first_delivered
FROM ready r CROSS JOIN message m ON m.id = r.id
WHERE r.queue = ? ORDER BY r.rank, r.place LIMIT ?"""

Row = tuple[int, int, int, bytes, int, int, float]


class Turns:
    """Whose turn it is: the queues of a consumer, who was served last at the end of the row."""

    __slots__ = ("row",)

    def __init__(self, queues: Iterable[str]) -> None:
        self.row = list(dict.fromkeys(storable(queue) for queue in queues))

    def served(self, queue: str) -> None:
        """Put a queue at the end."""
        self.row.remove(queue)
        self.row.append(queue)


def due_queues(connection: sqlite3.Connection, queues: Iterable[str]) -> tuple[bool, dict[str, float]]:
    """Whether any of the queues has a ready message, and when the next delayed one of each is due."""
    look = (
        "SELECT EXISTS (SELECT 1 FROM ready WHERE queue = ?), "
        "(SELECT due FROM delayed WHERE queue = ? ORDER BY due LIMIT 1)"
    )
    ready = False
    dues: dict[str, float] = {}
    for queue in queues:
        has_ready, due = connection.execute(look, (queue, queue)).fetchone()
        ready = ready or bool(has_ready)
        if due is not None:
            dues[queue] = due
    return ready, dues


def choose(connection: sqlite3.Connection, turns: Turns, limit: int) -> list[tuple[str, Row]]:
    """The next messages, with their queues: priority 9 first, queues by turns, within a queue the oldest first."""
    chosen: list[tuple[str, Row]] = []
    size = 0
    for queue, row in islice(_in_turn(connection, turns, limit), limit):
        chosen.append((queue, row))
        size += len(row[3])
        if size >= MAX_BYTES:
            break
    return chosen


def _in_turn(connection: sqlite3.Connection, turns: Turns, limit: int) -> Iterator[tuple[str, Row]]:
    with closing(_Cursors(connection, turns.row, limit)) as cursors:
        if len(turns.row) == 1:
            queue = turns.row[0]
            while (row := cursors.pop(queue)) is not None:
                yield queue, row
            return
        while cursors.heads:
            best = min(row[0] for row in cursors.heads.values())
            queue = next(queue for queue in turns.row if queue in cursors.heads and cursors.heads[queue][0] == best)
            row = cursors.pop(queue)
            assert row is not None  # noqa: S101  it was among the heads
            turns.served(queue)
            yield queue, row


class _Cursors:
    """The ready messages of each queue in the order of their run, read one by one."""

    def __init__(self, connection: sqlite3.Connection, queues: Sequence[str], limit: int) -> None:
        self._cursors = {queue: connection.execute(_NEXT, (queue, limit)) for queue in queues}
        self.heads: dict[str, Row] = {}
        for queue in queues:
            self._advance(queue)

    def pop(self, queue: str) -> Row | None:
        """The next message of a queue."""
        row = self.heads.pop(queue, None)
        if row is not None:
            self._advance(queue)
        return row

    def _advance(self, queue: str) -> None:
        row = self._cursors[queue].fetchone()
        if row is not None:
            self.heads[queue] = row

    def close(self) -> None:
        """End the queries: an open one would keep the transaction's snapshot."""
        for cursor in self._cursors.values():
            cursor.close()


def hold(
    connection: sqlite3.Connection, owner: int, first_tag: int, chosen: Sequence[tuple[str, Row]], now: float
) -> list[Delivery]:
    """Move chosen messages from ready to held, with tags from `first_tag` on."""
    held: list[tuple[int, int, int, int, float]] = []
    deliveries: list[Delivery] = []
    last: dict[str, tuple[int, int]] = {}
    for tag, (queue, (rank, place, number, raw, delivered, crashes, first)) in enumerate(chosen, first_tag):
        held.append((owner, tag, number, place, now))
        deliveries.append(Delivery(tag, queue, raw, delivered, crashes, first or now))
        last[queue] = (rank, place)
    connection.executemany("INSERT INTO held VALUES (?, ?, ?, ?, ?)", held)
    for queue, (rank, place) in last.items():  # what was chosen of a queue is a prefix of it
        connection.execute("DELETE FROM ready WHERE queue = ? AND (rank, place) <= (?, ?)", (queue, rank, place))
    return deliveries
