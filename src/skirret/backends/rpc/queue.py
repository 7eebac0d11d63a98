"""The queue of one process: how it is made, and one line that brings what came to it."""

from __future__ import annotations

import uuid
from typing import Any

from pamqp import commands

from skirret import clock
from skirret.backends.rpc import letter
from skirret.errors import OperationalError
from skirret.stores.amqp import frames
from skirret.stores.amqp.faults import Broken, Refused, in_words
from skirret.stores.amqp.publishing import CHANNEL
from skirret.stores.amqp.session import Arrived, Session
from skirret.stores.amqp.store import Store

PREFETCH = 1000
"""Results that the server sends ahead of their acknowledgement."""

FRESH = 10.0
"""Seconds for which a queue that was just declared is trusted to be there."""

PARTING = 1.0
"""Seconds for the server to delete the queue at the end of the process."""


class ReplyQueue:
    """The queue at which the results of one process arrive. One thread at a time, except for `declare`.

    It is made as Celery makes it, durable, classic and with ``x-expires``, but outlives its listeners: with
    ``auto_delete`` each break of the line would take the results along that came meanwhile. What nobody fetches has an
    end of its own (``x-message-ttl``), and the process takes its queue along where it ends as it should.

    Args:
        store: the server.
        life: seconds for which it lives unused, and a result in it; None is without end.
    """

    def __init__(self, store: Store, life: float | None) -> None:
        self.name = str(uuid.uuid4())
        self._store = store
        self._session: Session | None = None
        self._trusted_until = 0.0
        self.is_made = False
        """Whether it was ever declared."""
        self._declaration: dict[str, Any] = {"x-queue-type": "classic"}
        if life is not None:
            wanted = letter.milliseconds(life)
            self._declaration |= {"x-expires": wanted, "x-message-ttl": wanted}
            self._fresh = min(FRESH, life / 2)
        else:
            self._fresh = FRESH

    def declare(self) -> None:
        """See to it that it is there, asking the server at most every `FRESH` seconds.

        Raises:
            OperationalError: the server cannot be reached, or does not let us.
        """
        if clock.monotonic() < self._trusted_until:
            return
        self._store.ask((self._declare(), commands.Queue.DeclareOk))
        self._is_there()

    def _declare(self) -> Any:
        return commands.Queue.Declare(queue=self.name, durable=True, arguments=self._declaration)

    def _is_there(self) -> None:
        self.is_made = True
        self._trusted_until = clock.monotonic() + self._fresh

    # -- listening -------------------------------------------------------------------------------------------------

    def _listen(self) -> Session:
        if self._session is not None:
            return self._session
        seconds = self._store.address.deadline
        session = self._store.open(listens=True)
        try:
            session.call(CHANNEL, self._declare(), commands.Queue.DeclareOk, seconds=seconds)
            consume = commands.Basic.Consume(queue=self.name, consumer_tag="results", arguments={})
            session.consume(CHANNEL, consume, PREFETCH, seconds)
        except (Broken, Refused) as exc:
            session.close(kindly=False)
            raise in_words(exc, self._store.address) from exc
        self._session = session
        self._is_there()
        return session

    def hear(self, seconds: float, wake: int = -1) -> list[Arrived]:
        """What came, waiting for the first; acknowledged, so whoever gets it keeps it.

        Args:
            seconds: how long to wait; 0 looks only.
            wake: a file descriptor that ends the wait.

        Raises:
            OperationalError: the line broke; the next call makes another, and what was not acknowledged comes again.
        """
        session = self._listen()
        try:
            session.pump(seconds, wake)
            return self._take(session)
        except (Broken, Refused) as exc:
            self.drop()
            raise in_words(exc, self._store.address) from exc

    def sweep(self) -> list[Arrived]:
        """All that is in the queue now, acknowledged. A line that turns out to be dead is replaced once.

        Raises:
            OperationalError: the server cannot be reached.
        """
        found: list[Arrived] = []
        while True:
            is_new = self._session is None
            session = self._listen()
            try:
                self._sweep(session, found)
            except (Broken, Refused) as exc:
                self.drop()
                if not is_new and not (isinstance(exc, Broken) and exc.timed_out):
                    continue
                if not found:  # what is found is acknowledged, and must be kept
                    raise in_words(exc, self._store.address) from exc
            return found

    def _sweep(self, session: Session, found: list[Arrived]) -> None:
        seconds = self._store.address.deadline
        deadline = clock.Deadline(seconds)
        while True:
            # The queue answers after it has sent what it has; the channel answers after it has passed that on.
            told = session.call(CHANNEL, self._declare(), commands.Queue.DeclareOk, seconds=seconds)
            session.settle(CHANNEL, b"", seconds)
            found += self._take(session)
            if not told.message_count or deadline.passed():
                return

    def _take(self, session: Session) -> list[Arrived]:
        arrived = list(session.arrived)
        session.arrived.clear()
        if arrived:
            session.line.send(frames.ack(CHANNEL, arrived[-1].tag, multiple=True), self._store.address.deadline)
        elif session.cancelled:
            self._trusted_until = 0.0
            raise Broken("somebody deleted the queue of this process's results")
        elif (closed := session.refusal(CHANNEL)) is not None:
            raise closed
        return arrived

    def drop(self) -> None:
        """Let go of the line, whatever its state."""
        session, self._session = self._session, None
        if session is not None:
            session.close(kindly=False)

    def delete(self) -> None:
        """Take the queue away, with what is in it, if the server is there; for the end of the process."""
        self.drop()
        try:
            self._store.ask((commands.Queue.Delete(queue=self.name), commands.Queue.DeleteOk), seconds=PARTING)
        except OperationalError:
            pass  # it goes when it was unused for long enough
