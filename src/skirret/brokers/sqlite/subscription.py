"""Listening to the broadcasts that pass through the embedded file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from skirret import clock
from skirret.brokers.subscription import Subscription
from skirret.stores.sqlite.bells import HINTS
from skirret.stores.sqlite.store import Store
from skirret.stores.sqlite.text import storable

KEPT = 10_000
"""Broadcasts that the file keeps for listeners who are behind."""

KEPT_SECONDS = 60.0

LOOK_SECONDS = 0.25

SWEEP_EVERY = 64
"""Broadcasts from one deletion of old ones to the next."""


def send(store: Store, hints: Sequence[tuple[str, bytes]]) -> None:
    """Keep broadcasts (topic, payload) for those who listen, and ring them."""
    now = clock.wall()
    with store.writing(durable=False) as connection:
        update = "UPDATE counter_of SET last = last + ? WHERE name = 'hint' RETURNING last"
        number: int = connection.execute(update, (len(hints),)).fetchone()[0]
        first = number - len(hints) + 1
        rows = [(first + n, storable(topic), payload, now) for n, (topic, payload) in enumerate(hints)]
        connection.executemany("INSERT INTO hint VALUES (?, ?, ?, ?)", rows)
        if number // SWEEP_EVERY != (first - 1) // SWEEP_EVERY:
            old = (number - KEPT, now - KEPT_SECONDS, now + KEPT_SECONDS)
            connection.execute("DELETE FROM hint WHERE id <= ? OR at NOT BETWEEN ? AND ?", old)
    store.bells.ring(HINTS, [topic for topic, _ in hints])


def anybody(store: Store) -> bool:
    """Whether somebody may listen."""
    return store.bells.anybody(HINTS)


class SqliteSubscription(Subscription):
    """Hears what is broadcast from now on.

    Args:
        store: the file.
        topics: names, or prefixes that end in ``*``.
    """

    def __init__(self, store: Store, topics: Sequence[str]) -> None:
        self._store = store
        self._exact = {storable(topic) for topic in topics if not topic.endswith("*")}
        self._prefixes = tuple(storable(topic[:-1]) for topic in topics if topic.endswith("*"))
        self._closed = False
        with store.reading() as connection:
            self._last = _last(connection)
        self._hang()

    def _hang(self) -> None:
        self._pid = os.getpid()
        self._bell = self._store.bells.hang(HINTS)

    def receive(self, timeout: float) -> list[tuple[str, bytes]]:
        """All broadcasts that came, waiting for the first."""
        deadline = clock.Deadline(timeout)
        if self._pid != os.getpid():  # forked: a bell belongs to one process
            self._hang()
        while not self._closed:
            hints = self._read()
            if hints or deadline.passed() or self._bell.was_interrupted():
                return hints
            self._bell.wait(min(LOOK_SECONDS, deadline.left() or 0.0))
        return []

    def _read(self) -> list[tuple[str, bytes]]:
        with self._store.reading() as connection:
            look = "SELECT id, topic, payload FROM hint WHERE id > ? ORDER BY id LIMIT 1000"
            rows = connection.execute(look, (self._last,)).fetchall()
            if not rows and _last(connection) < self._last:  # the file was made anew
                self._last = 0
        if rows:
            self._last = rows[-1][0]
        return [(topic, payload) for _, topic, payload in rows if self._hears(topic)]

    def _hears(self, topic: str) -> bool:
        return topic in self._exact or topic.startswith(self._prefixes)

    def close(self) -> None:
        """Stop listening; a `receive` that waits returns."""
        self._closed = True
        self._bell.interrupt()
        self._bell.close()


def _last(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT last FROM counter_of WHERE name = 'hint'").fetchone()[0]
    return number
