"""Listening to broadcasts on channels of a Redis server."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Sequence

from skirret import clock
from skirret.brokers.subscription import Subscription
from skirret.errors import OperationalError
from skirret.stores.redis.faults import Broken, Refused, in_words
from skirret.stores.redis.session import Session, pack
from skirret.stores.redis.store import Store

_GLOB = str.maketrans({sign: f"\\{sign}" for sign in "*?[]^-\\"})


class RedisSubscription(Subscription):
    """Hears what is broadcast from now on; after the line broke, from the next `receive` on.

    Args:
        store: the server.
        topics: names, or prefixes that end in ``*``.
        base: what the channels of all topics begin with.
        note: a set of kombu's and the member by which this listener is known in it while it listens.
    """

    def __init__(self, store: Store, topics: Sequence[str], base: str, note: tuple[str, str] | None = None) -> None:
        self._store = store
        self._note_of_us = note
        self._prefix = base
        prefixes = {topic[:-1] for topic in topics if topic.endswith("*")}
        # One hint for each broadcast, so nothing is subscribed to that a shorter prefix covers.
        wide = [one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes)]
        exact = {topic for topic in topics if not topic.endswith("*") and not topic.startswith(tuple(wide))}
        self._words = [("SUBSCRIBE", self._prefix + topic) for topic in sorted(exact)]
        self._words += [("PSUBSCRIBE", self._prefix.translate(_GLOB) + one.translate(_GLOB) + "*") for one in wide]
        self._hints: deque[tuple[str, bytes]] = deque()
        self._line: Session | None = None
        self._is_closed = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._listeners = 0
        self._listen()
        self._read, self._write = os.pipe()

    def _listen(self) -> Session:
        line = self._store.open(self._prefix)
        try:
            told = line.exchange(b"".join(map(pack, self._words)), len(self._words), self._store.address.deadline)
        except Broken as exc:
            raise in_words(exc, self._store.address) from exc
        for one in told:
            if isinstance(one, Refused):
                line.close()
                raise in_words(one, self._store.address)
            self._note(one)
        if self._note_of_us is not None:
            self._store.call("SADD", *self._note_of_us)
        self._line = line
        return line

    def receive(self, timeout: float) -> list[tuple[str, bytes]]:
        """All broadcasts that came, waiting for the first."""
        with self._lock:
            if self._is_closed:
                return []
            self._listeners += 1
        try:
            return self._receive(clock.Deadline(timeout))
        finally:
            with self._lock:
                self._listeners -= 1
                self._let_go()

    def _receive(self, deadline: clock.Deadline) -> list[tuple[str, bytes]]:
        if self._pid != os.getpid():  # forked: a line belongs to one process
            self._line, self._pid = None, os.getpid()
        while not self._is_closed:
            line = self._line or self._listen()
            poller = select.poll()
            poller.register(self._read, select.POLLIN)
            try:
                poller.register(line.fileno(), select.POLLIN)
                poller.poll((deadline.left() or 0.0) * 1000.0)
                for one in line.pending():
                    self._note(one)
            except (Broken, OSError, ValueError) as exc:
                self._line = None
                if not self._hints:
                    raise OperationalError(
                        f"the {self._store.address} hung up on a listener: {exc}. Broadcasts meanwhile are missed; "
                        "listening goes on with the next call."
                    ) from exc
            if self._hints or deadline.passed():
                break
        hints = list(self._hints)
        self._hints.clear()
        return hints

    def _note(self, told: object) -> None:
        if isinstance(told, list) and told[0] in {b"message", b"pmessage"}:
            channel, payload = told[-2].decode("utf-8", "replace"), told[-1]
            self._hints.append((channel[len(self._prefix) :], payload))

    def close(self) -> None:
        """Stop listening; a `receive` that waits returns."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.write(self._write, b"!")
                self._let_go()
            else:
                return
        if self._note_of_us is not None:
            with contextlib.suppress(OperationalError):
                self._store.call("SREM", *self._note_of_us)

    def _let_go(self) -> None:
        # Not while somebody listens: what is closed may be another one's by the next moment.
        if self._is_closed and self._listeners == 0:
            line, self._line = self._line, None
            if line is not None:
                line.close()
            os.close(self._read)
            os.close(self._write)
