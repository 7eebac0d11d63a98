"""Messages that a publisher sent twice because it heard no confirm: known by whoever gets both."""

from __future__ import annotations

from skirret import clock

REMEMBERED = 30.0
"""Seconds within which a publisher resends."""

MOST = 50_000
"""Nonces that are remembered at least, however fast they come."""


class Resends:
    """The nonces that came lately, from each queue. A message without one is never a resend.

    They are kept in two sets, the older of which is dropped as a whole: each is known for 30 to 60 s, unless more come
    than are to be remembered.
    """

    def __init__(self) -> None:
        self._new: set[tuple[str, str]] = set()
        self._old: set[tuple[str, str]] = set()
        self._began = clock.monotonic()

    def is_one(self, queue: str, nonce: str) -> bool:
        """Whether a message with this nonce came from that queue lately; from now on one did."""
        if not nonce:
            return False
        key = (queue, nonce)
        came = key in self._new or key in self._old
        self._new.add(key)
        return came

    def knows(self, queue: str, nonce: str) -> bool:
        """Whether a message with this nonce came from that queue lately."""
        return bool(nonce) and ((queue, nonce) in self._new or (queue, nonce) in self._old)

    def forget(self) -> None:
        """Drop what came too long ago, or is too much to remember; to be called now and then."""
        now = clock.monotonic()
        age = now - self._began
        if age >= REMEMBERED or len(self._new) >= MOST:
            self._old = self._new if age < 2 * REMEMBERED else set()
            self._new, self._began = set(), now
