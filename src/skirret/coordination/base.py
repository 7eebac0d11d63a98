"""The seam for what workers share beside messages: revokes, limits, unique keys, pauses, leases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Coordination(ABC):
    """Small shared state with expiry. Every operation is atomic. Methods are safe to call from several threads.

    Keys are free text. `ttl` is seconds; None is for ever. Raises OperationalError when the server cannot be reached.
    """

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """The value, or None."""

    @abstractmethod
    def compare_and_set(self, key: str, expected: bytes | None, new: bytes | None, ttl: float | None = None) -> bool:
        """Replace `expected` by `new` (None stands for no value) if that is what is there; `ttl` is that of `new`."""

    @abstractmethod
    def increment(self, key: str, by: int = 1, ttl: float | None = None) -> int:
        """Add to a counter (0 first) and return its new value; `ttl` starts when the counter is made, not later."""

    @abstractmethod
    def take_tokens(self, key: str, rate: float, capacity: float, count: float = 1.0) -> float:
        """Take from a bucket that fills by `rate` a second up to `capacity`; 0.0 if taken, else seconds to wait.

        A new bucket is full. What cannot ever be taken (`count` over `capacity`) is infinitely far. A refused call
        takes nothing.
        """

    @abstractmethod
    def add(self, key: str, members: Sequence[str], ttl: float | None = None) -> int:
        """Add members to a set, each with its own expiry, which adding again renews; how many were new."""

    @abstractmethod
    def enter(self, key: str, members: Sequence[str], limit: int, ttl: float) -> set[str]:
        """Let members into a set while it holds less than `limit`, in order; those of them that are in now.

        Who was in stays in, be it over the limit; for all that are in, `ttl` begins anew.
        """

    @abstractmethod
    def discard(self, key: str, members: Sequence[str]) -> int:
        """Remove members from a set; how many were there."""

    @abstractmethod
    def contains(self, key: str, members: Sequence[str]) -> set[str]:
        """Those of `members` that are in the set."""

    @abstractmethod
    def members(self, key: str) -> list[str]:
        """All members of a set, sorted."""

    @abstractmethod
    def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take or renew a lease; True if `owner` now holds it."""

    @abstractmethod
    def release(self, key: str, owner: str) -> bool:
        """Give a lease up; False if `owner` did not hold it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the object may be used again."""
