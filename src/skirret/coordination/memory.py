"""The coordination inside one process: the reference that says what every other one must do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from skirret import clock
from skirret.coordination.base import Coordination
from skirret.stores.memory import Bucket, server
from skirret.url import Url


class MemoryCoordination(Coordination):
    """Small shared state on the server that ``MemoryBroker`` of the same name uses.

    Args:
        name: ``memory://name``.
    """

    def __init__(self, name: str = "") -> None:
        self._server = server(name)

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> MemoryCoordination:
        """The coordination at ``memory://name``; `options` holds none that it knows."""
        return cls(url.host or "")

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        with self._server.reach():
            return self._server.values.get(key)

    def compare_and_set(self, key: str, expected: bytes | None, new: bytes | None, ttl: float | None = None) -> bool:
        """Look and write under one lock."""
        with self._server.reach():
            if self._server.values.get(key) != expected:
                return False
            if new is None:
                self._server.values.remove(key)
            else:
                self._server.values.put(key, new, ttl)
            return True

    def increment(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Add; a counter that exists keeps its end."""
        counters = self._server.counters
        with self._server.reach():
            old = counters.get(key)
            if old is None:
                counters.put(key, by, ttl)
                return by
            counters.replace(key, old + by)
            return old + by

    def take_tokens(self, key: str, rate: float, capacity: float, count: float = 1.0) -> float:
        """Fill the bucket for the time that passed, then take, or say how long it will be; never is infinity."""
        buckets = self._server.buckets
        with self._server.reach():
            now = clock.monotonic()
            bucket = buckets.setdefault(key, Bucket(capacity, now))
            bucket.tokens = min(capacity, bucket.tokens + rate * (now - bucket.at))
            bucket.at = now
            if bucket.tokens >= count:
                bucket.tokens -= count
                return 0.0
            return math.inf if count > capacity or rate <= 0 else (count - bucket.tokens) / rate

    def add(self, key: str, members: Sequence[str], ttl: float | None = None) -> int:
        """Add or renew."""
        with self._server.reach():
            here = self._server.sets[key]
            new = sum(here.get(member) is None for member in set(members))
            for member in members:
                here.put(member, True, ttl)
            return new

    def enter(self, key: str, members: Sequence[str], limit: int, ttl: float) -> set[str]:
        """Renew who is in, let others in while there is room."""
        with self._server.reach():
            here = self._server.sets[key]
            room = limit - sum(1 for _ in here)
            inside: set[str] = set()
            for member in members:
                if here.get(member) is None:
                    if room <= 0:
                        continue
                    room -= 1
                here.put(member, True, ttl)
                inside.add(member)
            return inside

    def discard(self, key: str, members: Sequence[str]) -> int:
        """Remove."""
        with self._server.reach():
            here = self._server.sets.get(key)
            if here is None:
                return 0
            gone = sum(here.remove(member) for member in members)
            if next(iter(here), None) is None:
                del self._server.sets[key]
            return gone

    def contains(self, key: str, members: Sequence[str]) -> set[str]:
        """Look each of them up."""
        with self._server.reach():
            here = self._server.sets.get(key)
            return set() if here is None else {member for member in members if here.get(member)}

    def members(self, key: str) -> list[str]:
        """All, sorted."""
        with self._server.reach():
            return sorted(self._server.sets.get(key, ()))

    def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take it if it is free or mine already, for `ttl` seconds from now."""
        with self._server.reach():
            if self._server.leases.get(key) not in (None, owner):
                return False
            self._server.leases.put(key, owner, ttl)
            return True

    def release(self, key: str, owner: str) -> bool:
        """Give it up if it is mine."""
        with self._server.reach():
            return self._server.leases.get(key) == owner and self._server.leases.remove(key)

    def close(self) -> None:
        """Nothing to let go of."""
