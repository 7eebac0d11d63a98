"""Receiving what is sent to one caller: the list that kombu's nodes push their replies to."""

from __future__ import annotations

import contextlib

from skirret import clock
from skirret.brokers.subscription import Subscription
from skirret.errors import OperationalError
from skirret.stores.redis.faults import Broken, Refused, in_words
from skirret.stores.redis.session import Session, pack
from skirret.stores.redis.store import Store

KEPT_SECONDS = 60
"""How long a reply lies in its list, if nobody fetches it."""

NOTE_SECONDS = 3600
"""How long kombu's table of callers is kept after the last one of ours; kombu's nodes renew their own entries."""

LONGEST_WAIT = 2.0
"""Seconds of one wait at the server."""


class RedisMailbox(Subscription):
    """The replies to one caller. Used by one thread.

    Args:
        store: the server.
        name: of the list, with its prefix.
        note: kombu's table of callers and the member that leads to this list; without it kombu's nodes drop replies.
    """

    def __init__(self, store: Store, name: str, note: tuple[str, str] | None) -> None:
        self._store = store
        self._name = name
        self._note = note
        self._line: Session | None = None
        if note is not None:
            store.pipeline([("SADD", *note), ("EXPIRE", note[0], NOTE_SECONDS)])

    def receive(self, timeout: float) -> list[tuple[str, bytes]]:
        """The next reply, waiting for it."""
        deadline = clock.Deadline(timeout)
        line = self._line = self._line or self._store.open(self._name)
        while True:
            # The server takes 0 for "without end".
            wait = max(0.01, min(LONGEST_WAIT, deadline.left() or 0.0))
            command = pack(("BRPOP", self._name, f"{wait:.3f}"))
            try:
                answer = line.exchange(command, 1, wait + self._store.address.deadline)[0]
            except Broken as exc:
                self._line = None
                raise in_words(exc, self._store.address) from exc
            if isinstance(answer, Refused):
                raise in_words(answer, self._store.address)
            if answer is not None:
                return [("", bytes(answer[1]))]
            if deadline.passed():
                return []

    def close(self) -> None:
        """Let go of the list."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
        with contextlib.suppress(OperationalError):  # it expires
            self._store.call("DEL", self._name, key=self._name)
            if self._note is not None:
                self._store.call("SREM", *self._note)
