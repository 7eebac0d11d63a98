"""A dict whose entries end by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from skirret import clock

V = TypeVar("V")

SWEEP_AT = 1000
"""Entries from which ended ones are swept out; each sweep sets the next at twice of what it left."""


class Expiring(Generic[V]):
    """Values by key, each with its own end on the monotonic clock. Not locked: the owner is."""

    __slots__ = ("_entries", "_sweep_at")

    def __init__(self) -> None:
        self._entries: dict[str, tuple[V, float | None]] = {}
        self._sweep_at = SWEEP_AT

    def get(self, key: str) -> V | None:
        """The value, or None if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, end = entry
        if end is not None and clock.monotonic() >= end:
            del self._entries[key]
            return None
        return value

    def put(self, key: str, value: V, ttl: float | None) -> None:
        """Set the value, to end in `ttl` seconds; None is never."""
        self._entries[key] = (value, None if ttl is None else clock.monotonic() + ttl)
        if len(self._entries) > self._sweep_at:
            self.drop_ended()
            self._sweep_at = max(SWEEP_AT, 2 * len(self._entries))

    def replace(self, key: str, value: V) -> None:
        """Set the value of an entry that exists, and leave its end as it is."""
        self._entries[key] = (value, self._entries[key][1])

    def remove(self, key: str) -> bool:
        """Delete the entry; whether it was there and had not ended."""
        alive = self.get(key) is not None
        self._entries.pop(key, None)
        return alive

    def __iter__(self) -> Iterator[str]:
        """The keys of entries that have not ended."""
        return iter([key for key in list(self._entries) if self.get(key) is not None])

    def drop_ended(self) -> int:
        """Delete the entries whose time is over; how many."""
        before = len(self._entries)
        list(self)
        return before - len(self._entries)
