"""The embedded broker as a client of one process sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skirret import clock
from skirret.brokers import fanout
from skirret.brokers.base import Broker, Capabilities, Dead, Limits, Queue, QueueSize, Waiting
from skirret.brokers.sqlite import messages
from skirret.brokers.sqlite.consumer import SqliteConsumer
from skirret.brokers.sqlite.messages import Draft
from skirret.brokers.sqlite.subscription import SqliteSubscription, anybody, send
from skirret.brokers.subscription import Subscription
from skirret.message import Publication
from skirret.stores.sqlite.bells import CONSUMERS
from skirret.stores.sqlite.location import path_of
from skirret.stores.sqlite.options import timeout_of
from skirret.stores.sqlite.store import TIMEOUT, store_at
from skirret.stores.sqlite.text import storable
from skirret.url import Url
from skirret.wire import envelope as wire

MAX_FOREIGN_BYTES = 16 * 1024 * 1024

PURGE_BATCH = 5000
"""Messages that one transaction of a purge deletes, so that others get their turn."""

SWEEP_SECONDS = 10.0
"""A publisher deletes old nonces this often."""

_SIZE = """
SELECT (SELECT count(*) FROM ready WHERE queue = :queue)
       + (SELECT count(*) FROM delayed WHERE queue = :queue AND due <= :now),
       (SELECT count(*) FROM held JOIN message USING (id) WHERE queue = :queue),
       (SELECT count(*) FROM delayed WHERE queue = :queue AND due > :now),
       (SELECT count(*) FROM dead WHERE queue = :queue)"""

# Messages whose time came are behind those that were ready, the soonest first: where `wake_due` will put them.
_PEEK = """
SELECT task_id, raw, next.rank, deliveries FROM (
  SELECT * FROM (
    SELECT id, rank, 0 AS woken, 0.0 AS due, place FROM ready WHERE queue = :queue ORDER BY rank, place LIMIT :limit)
  UNION ALL
  SELECT * FROM (
    SELECT d.id, m.rank, 1, d.due, d.place FROM delayed d JOIN message m ON m.id = d.id
    WHERE d.queue = :queue AND due <= :now ORDER BY m.rank, due, place LIMIT :limit)
) AS next JOIN message USING (id) ORDER BY next.rank, woken, due, place LIMIT :limit"""

_DELAYED = """
SELECT d.queue, task_id, raw, rank, due, deliveries FROM delayed d JOIN message USING (id)
WHERE d.queue = ? AND due > ? ORDER BY due, place LIMIT ?"""

_DEAD = "SELECT id, queue, task_id, raw, reason, died, deliveries, crashes FROM dead {} ORDER BY id DESC LIMIT ?"

_REPLAY = """
DELETE FROM dead WHERE id = ? RETURNING queue, rank, task_id, expires, raw"""


class SqliteBroker(Broker):
    """Messages in one file, for all processes of this machine.

    A publish is on the disk when it returns; so is a settlement. The result store and the coordination of the same
    file are the same server.

    Args:
        path: the file; made with its directory when it is needed.
        timeout: seconds that a call waits for others who write.
    """

    capabilities = Capabilities()

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self._store = store_at(path, timeout)
        self._sweep_at = 0.0

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> SqliteBroker:
        """The broker at ``sqlite:///path``.

        Args:
            url: three slashes for a relative path, four for an absolute one.
            options: ``timeout`` in seconds; may stand in the query string as well.
        """
        return cls(path_of(url), timeout_of(url, options))

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.path

    @property
    def identity(self) -> str:
        """Device and inode of the file."""
        return self._store.identity

    def publish(self, publications: Sequence[Publication]) -> None:
        """Add all messages in one transaction that is on the disk when this returns."""
        drafts = [messages.draft(publication) for publication in publications]
        if not drafts:
            return
        with self._store.writing() as connection:
            queues = messages.publish(connection, [drafts], clock.wall())
            if clock.monotonic() >= self._sweep_at:
                self._sweep_at = clock.monotonic() + SWEEP_SECONDS
                messages.forget_nonces(connection, clock.wall())
        self._store.bells.ring(CONSUMERS, queues)

    def inject(self, queue: str, *raws: bytes, priority: int = 0) -> None:
        """Add messages of raw bytes as if a foreign producer had written them; for tests."""
        ids = [storable(getattr(wire.head(raw, max_bytes=MAX_FOREIGN_BYTES), "id", "")) for raw in raws]
        rank = messages.rank(priority)
        drafts = [
            Draft(storable(queue), rank, None, task_id, None, raw, "") for task_id, raw in zip(ids, raws, strict=True)
        ]
        with self._store.writing() as connection:
            messages.add(connection, drafts, clock.wall())
        self._store.bells.ring(CONSUMERS, [queue])

    def declare(self, queues: Sequence[Queue]) -> None:
        """Remember the names."""
        with self._store.writing() as connection:
            messages.name(connection, [queue.name for queue in queues])

    def purge(self, queue: str) -> int:
        """Drop what is ready and what waits for its time, some thousands a transaction."""
        queue = storable(queue)
        with self._store.reading() as connection:
            end = connection.execute("SELECT last FROM counter_of WHERE name = 'place'").fetchone()[0]
        dropped = 0
        while True:
            with self._store.writing() as connection:
                batch = _purge(connection, queue, end)
            dropped += batch
            if batch < PURGE_BATCH:
                return dropped

    def size(self, queue: str) -> QueueSize:
        """Count by kind."""
        with self._store.reading() as connection:
            row = connection.execute(_SIZE, {"queue": storable(queue), "now": clock.wall()}).fetchone()
        ready, held, delayed, dead = row
        return QueueSize(ready=ready, held=held, delayed=delayed, dead=dead)

    def names(self) -> list[str]:
        """Queues that were declared or ever held a message."""
        with self._store.reading() as connection:
            return sorted(row[0] for row in connection.execute("SELECT name FROM queue"))

    def peek(self, queue: str, limit: int = 10) -> list[Waiting]:
        """The next ready messages, by priority and place."""
        queue = storable(queue)
        with self._store.reading() as connection:
            rows = connection.execute(_PEEK, {"queue": queue, "limit": limit, "now": clock.wall()}).fetchall()
        return [
            Waiting(queue=queue, task_id=task_id, raw=raw, priority=9 - rank, deliveries=deliveries)
            for task_id, raw, rank, deliveries in rows
        ]

    def delayed(self, queue: str | None = None, limit: int = 100) -> list[Waiting]:
        """Messages that wait for their time, by due time."""
        queues = self.names() if queue is None else [storable(queue)]
        now = clock.wall()
        with self._store.reading() as connection:
            found = [
                Waiting(queue=name, task_id=task_id, raw=raw, priority=9 - rank, due=due, deliveries=deliveries)
                for one in queues
                for name, task_id, raw, rank, due, deliveries in connection.execute(_DELAYED, (one, now, limit))
            ]
        return sorted(found, key=lambda one: one.due or 0.0)[:limit]

    def dead(self, queue: str | None = None, limit: int = 100) -> list[Dead]:
        """Dead letters, the last buried first."""
        where, arguments = ("", (limit,)) if queue is None else ("WHERE queue = ?", (storable(queue), limit))
        with self._store.reading() as connection:
            rows = connection.execute(_DEAD.format(where), arguments).fetchall()
        return [
            Dead(
                key=str(number),
                queue=name,
                task_id=task_id,
                raw=raw,
                reason=reason,
                died=died,
                deliveries=deliveries,
                crashes=crashes,
            )
            for number, name, task_id, raw, reason, died, deliveries, crashes in rows
        ]

    def replay(self, keys: Sequence[str]) -> int:
        """Put dead letters at the ends of their queues, with fresh counters."""
        with self._store.writing() as connection:
            drafts = [
                Draft(name, rank, None, task_id, expires, raw, "")
                for number in _numbers(keys)
                for name, rank, task_id, expires, raw in connection.execute(_REPLAY, (number,)).fetchall()
            ]
            queues = messages.add(connection, drafts, clock.wall())
        self._store.bells.ring(CONSUMERS, queues)
        return len(drafts)

    def drop_dead(self, keys: Sequence[str]) -> int:
        """Forget dead letters."""
        with self._store.writing() as connection:
            return sum(
                connection.execute("DELETE FROM dead WHERE id = ?", (number,)).rowcount for number in _numbers(keys)
            )

    def consumer(self, queues: Sequence[str], cid: str, *, limits: Limits | None = None) -> SqliteConsumer:
        """A new incarnation; it lives from now on."""
        return SqliteConsumer(self._store, queues, cid, limits or Limits())

    def broadcast(self, topic: str, payload: bytes) -> None:
        """Keep the hint for those who listen now, for a minute at most."""
        send(self._store, [(topic, payload)])

    def fan_out(self, exchange: str, messages: Sequence[tuple[str, bytes]]) -> int | None:
        """Keep all of them for those who listen, in one transaction; where nobody does, nothing is written."""
        if not messages or not anybody(self._store):
            return 0
        send(self._store, [(fanout.topic(exchange, key), payload) for key, payload in messages])
        return None

    def subscribe(self, topics: Sequence[str]) -> Subscription:
        """Listen from now on."""
        return SqliteSubscription(self._store, topics)

    def close(self) -> None:
        """Close idle connections."""
        self._store.close()


def _purge(connection: sqlite3.Connection, queue: str, end: int) -> int:
    ready = connection.execute(
        "DELETE FROM ready WHERE queue = ? AND (rank, place) IN "
        "(SELECT rank, place FROM ready WHERE queue = ? AND place <= ? LIMIT ?) RETURNING id",
        (queue, queue, end, PURGE_BATCH),
    ).fetchall()
    delayed = connection.execute(
        "DELETE FROM delayed WHERE queue = ? AND (due, place) IN "
        "(SELECT due, place FROM delayed WHERE queue = ? AND place <= ? LIMIT ?) RETURNING id",
        (queue, queue, end, PURGE_BATCH - len(ready)),
    ).fetchall()
    messages.remove(connection, [row[0] for row in (*ready, *delayed)])
    return len(ready) + len(delayed)


def _numbers(keys: Sequence[str]) -> list[int]:
    return [int(key) for key in dict.fromkeys(keys) if key.isascii() and key.isdigit() and len(key) < 19]
