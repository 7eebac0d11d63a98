"""Messages that a publisher sent twice because it heard no confirm: known by whoever gets both."""

from __future__ import annotations

from skirret import clock

REMEMBERED = 30.0
"""Seconds within which a publisher resends."""

MOST = 50_000


class Resends:
    """The nonces that came lately, from each queue. A message without one is never a resend."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], float] = {}

    def is_one(self, queue: str, nonce: str) -> bool:
        """Whether a message with this nonce came from that queue lately; from now on one did."""
        if not nonce:
            return False
        now = clock.monotonic()
        key = (queue, nonce)
        came = self._seen.pop(key, None)
        self._seen[key] = now
        return came is not None and now - came < REMEMBERED

    def knows(self, queue: str, nonce: str) -> bool:
        """Whether a message with this nonce came from that queue lately."""
        came = self._seen.get((queue, nonce)) if nonce else None
        return came is not None and clock.monotonic() - came < REMEMBERED

    def forget(self) -> None:
        """Drop what came too long ago, or is too much to remember; to be called now and then."""
        now = clock.monotonic()
        while self._seen:
            oldest = next(iter(self._seen))  # they are in the order of their coming
            if now - self._seen[oldest] < REMEMBERED and len(self._seen) <= MOST:
                return
            del self._seen[oldest]
