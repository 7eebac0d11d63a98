"""Small shared state in the embedded file: revokes, limits, unique keys, pauses, leases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skirret import clock
from skirret.coordination.base import Coordination
from skirret.stores.sqlite.location import path_of
from skirret.stores.sqlite.options import timeout_of
from skirret.stores.sqlite.store import TIMEOUT, store_at
from skirret.stores.sqlite.text import storable
from skirret.url import Url


class SqliteCoordination(Coordination):
    """Small shared state in one file. What must outlive a power failure does: values and sets, such as revokes.

    Args:
        path: the file; made with its directory when it is needed.
        timeout: seconds that a call waits for others who write.
    """

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self._store = store_at(path, timeout)

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> SqliteCoordination:
        """The coordination at ``sqlite:///path``; see ``SqliteBroker.from_url``."""
        return cls(path_of(url), timeout_of(url, options))

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        look = "SELECT value FROM value WHERE key = ? AND (expires IS NULL OR expires > ?)"
        with self._store.reading() as connection:
            row = connection.execute(look, (storable(key), clock.wall())).fetchone()
        return None if row is None else row[0]

    def compare_and_set(self, key: str, expected: bytes | None, new: bytes | None, ttl: float | None = None) -> bool:
        """Look and write in one transaction."""
        now, key = clock.wall(), storable(key)
        with self._store.writing() as connection:
            connection.execute("DELETE FROM value WHERE key = ? AND expires <= ?", (key, now))
            row = connection.execute("SELECT value FROM value WHERE key = ?", (key,)).fetchone()
            if (None if row is None else row[0]) != expected:
                return False
            if new is None:
                connection.execute("DELETE FROM value WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO value VALUES (?, ?, ?)", (key, new, _end(now, ttl)))
            return True

    def increment(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Add; a counter that exists keeps its end."""
        now, key = clock.wall(), storable(key)
        with self._store.writing(durable=False) as connection:
            connection.execute("DELETE FROM count WHERE key = ? AND expires <= ?", (key, now))
            value: int = connection.execute(
                "INSERT INTO count VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = value + excluded.value RETURNING value",
                (key, by, _end(now, ttl)),
            ).fetchone()[0]
            return value

    def take_tokens(self, key: str, rate: float, capacity: float, count: float = 1.0) -> float:
        """Fill the bucket for the time that passed, then take, or say how long it will be; never is infinity."""
        now, key = clock.wall(), storable(key)
        with self._store.writing(durable=False) as connection:
            row = connection.execute("SELECT tokens, at FROM bucket WHERE key = ?", (key,)).fetchone()
            tokens, at = row or (capacity, now)
            tokens = min(capacity, tokens + rate * max(0.0, now - at))  # a clock that was set back fills nothing
            taken = tokens >= count
            tokens -= count if taken else 0.0
            connection.execute("INSERT OR REPLACE INTO bucket VALUES (?, ?, ?)", (key, tokens, now))
        if taken:
            return 0.0
        return math.inf if count > capacity or rate <= 0 else (count - tokens) / rate

    def add(self, key: str, members: Sequence[str], ttl: float | None = None) -> int:
        """Add or renew."""
        now, key = clock.wall(), storable(key)
        names = {storable(member) for member in members}
        with self._store.writing() as connection:
            connection.execute("DELETE FROM member WHERE key = ? AND expires <= ?", (key, now))
            look = "SELECT 1 FROM member WHERE key = ? AND member = ?"
            new = sum(connection.execute(look, (key, name)).fetchone() is None for name in names)
            end = _end(now, ttl)
            connection.executemany(
                "INSERT OR REPLACE INTO member VALUES (?, ?, ?)", [(key, name, end) for name in names]
            )
        return new

    def enter(self, key: str, members: Sequence[str], limit: int, ttl: float) -> set[str]:
        """Renew who is in, let others in while there is room, in one transaction."""
        now, key = clock.wall(), storable(key)
        inside: set[str] = set()
        with self._store.writing(durable=False) as connection:
            connection.execute("DELETE FROM member WHERE key = ? AND expires <= ?", (key, now))
            room = limit - connection.execute("SELECT COUNT(*) FROM member WHERE key = ?", (key,)).fetchone()[0]
            look = "SELECT 1 FROM member WHERE key = ? AND member = ?"
            for member in members:
                name = storable(member)
                if connection.execute(look, (key, name)).fetchone() is None:
                    if room <= 0:
                        continue
                    room -= 1
                connection.execute("INSERT OR REPLACE INTO member VALUES (?, ?, ?)", (key, name, now + ttl))
                inside.add(member)
        return inside

    def discard(self, key: str, members: Sequence[str]) -> int:
        """Remove."""
        now, key = clock.wall(), storable(key)
        with self._store.writing() as connection:
            connection.execute("DELETE FROM member WHERE key = ? AND expires <= ?", (key, now))
            remove = "DELETE FROM member WHERE key = ? AND member = ?"
            return sum(connection.execute(remove, (key, storable(name))).rowcount for name in set(members))

    def contains(self, key: str, members: Sequence[str]) -> set[str]:
        """Look each of them up."""
        now, key = clock.wall(), storable(key)
        with self._store.reading() as connection:
            if connection.execute("SELECT 1 FROM member WHERE key = ? LIMIT 1", (key,)).fetchone() is None:
                return set()  # a worker asks for every message it takes, and mostly nothing is revoked
            look = "SELECT 1 FROM member WHERE key = ? AND member = ? AND (expires IS NULL OR expires > ?)"
            return {name for name in members if connection.execute(look, (key, storable(name), now)).fetchone()}

    def members(self, key: str) -> list[str]:
        """All, sorted."""
        look = "SELECT member FROM member WHERE key = ? AND (expires IS NULL OR expires > ?)"
        with self._store.reading() as connection:
            return sorted(row[0] for row in connection.execute(look, (storable(key), clock.wall())))

    def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take it if it is free or mine already, for `ttl` seconds from now."""
        now = clock.wall()
        with self._store.writing(durable=False) as connection:
            done = connection.execute(
                "INSERT INTO lease VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires "
                "WHERE owner = excluded.owner OR expires <= ?",
                (storable(key), storable(owner), now + ttl, now),
            )
            return done.rowcount == 1

    def release(self, key: str, owner: str) -> bool:
        """Give it up if it is mine."""
        mine = (storable(key), storable(owner), clock.wall())
        with self._store.writing(durable=False) as connection:
            return (
                connection.execute("DELETE FROM lease WHERE key = ? AND owner = ? AND expires > ?", mine).rowcount == 1
            )

    def close(self) -> None:
        """Close idle connections."""
        self._store.close()


def _end(now: float, ttl: float | None) -> float | None:
    return None if ttl is None else now + ttl
