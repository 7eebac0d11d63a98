"""One worker incarnation's hold on queues of the embedded file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from skirret import clock, proof
from skirret.brokers.base import Consumer, Limits
from skirret.brokers.sqlite import messages, reaping, settling, taking
from skirret.errors import OperationalError
from skirret.message import Delivery
from skirret.outcome import Settlement
from skirret.stores.sqlite import results
from skirret.stores.sqlite.bells import CONSUMERS, RESULTS
from skirret.stores.sqlite.store import Store

LOOK_SECONDS = 0.2
"""A waiting take looks at the file this often, for bells may be lost."""

DEAF_LOOK_SECONDS = 0.02
"""The same where there are no bells."""

SWEEP_SECONDS = 10.0
"""A worker deletes what has expired this often, beside its beat."""

SWEPT_RESULTS = 2000
"""Expired results that one sweep deletes, so that it is short."""


class SqliteConsumer(Consumer):
    """See ``SqliteBroker.consumer``."""

    def __init__(self, store: Store, queues: Sequence[str], cid: str, limits: Limits) -> None:
        self.cid = cid
        self._store = store
        self._limits = limits
        self._turns = taking.Turns(queues)
        self._observer = reaping.Observer(limits)
        self._session = store.session()
        self._pid = os.getpid()
        self._tag = 1
        self._sweep_at = 0.0
        where = proof.home()
        born = proof.birth(self._pid) if where else 0
        with store.writing(self._session, durable=False) as connection:
            row = connection.execute(
                "INSERT INTO consumer (cid, home, pid, birth) VALUES (?, ?, ?, ?) RETURNING id",
                (cid, where, self._pid, born),
            ).fetchone()
        self._number: int = row[0]
        self._bell = store.bells.hang(CONSUMERS)
        self._closed = False

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Look, take what is there in one transaction, else wait for the bell, the next due time or the timeout."""
        self._check_process()
        deadline = clock.Deadline(timeout)
        while True:
            ready, due = self._look()
            wait = deadline.left() or 0.0
            if due is not None:
                wait = min(wait, max(0.0, due - clock.wall()))
            taken = self._take_now(limit) if limit > 0 and (ready or (due is not None and due <= clock.wall())) else []
            if self._bell.was_interrupted() or taken or self.fenced or deadline.passed():
                return taken
            self._sleep(min(wait, DEAF_LOOK_SECONDS if self._bell.is_deaf else LOOK_SECONDS))

    def _sleep(self, seconds: float) -> None:
        end = clock.Deadline(seconds)
        queues = set(self._turns.row)
        while True:
            words = self._bell.wait(end.left() or 0.0)
            # No words: time is over, or we were interrupted. Words of other queues only: sleep on.
            if not words or not queues.isdisjoint(words):
                return

    def _look(self) -> tuple[bool, float | None]:
        with self._store.reading(self._session) as connection:
            if not self._lives(connection):
                return False, None
            ready, dues = taking.due_queues(connection, self._turns.row)
            return ready, min(dues.values(), default=None)

    def _me(self) -> tuple[int, str]:
        # Both: in a file that was made anew, the number may be another consumer's.
        return self._number, self.cid

    def _lives(self, connection: sqlite3.Connection) -> bool:
        look = "SELECT 1 FROM consumer WHERE id = ? AND cid = ?"
        self.fenced = self.fenced or connection.execute(look, self._me()).fetchone() is None
        return not self.fenced

    def _take_now(self, limit: int) -> list[Delivery]:
        with self._store.writing(self._session, durable=False) as connection:
            # Not durable: a take that a power failure undoes is only a message that is ready again.
            if not self._lives(connection):
                return []
            now = clock.wall()
            for queue, due in taking.due_queues(connection, self._turns.row)[1].items():
                if due <= now:
                    messages.wake_due(connection, queue, now)
            chosen = taking.choose(connection, self._turns, limit)
            deliveries = taking.hold(connection, self._number, self._tag, chosen, now)
        self._tag += len(deliveries)
        return deliveries

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """One transaction for the whole batch, results and successors included; then ring who waits for them."""
        self._check_process()
        if not settlements:
            return []
        follow = settling.drafts(settlements)
        with self._store.writing(self._session) as connection:
            if not self._lives(connection):
                return [False] * len(settlements)
            made = settling.plan(connection, self._number, settlements, follow)
            queues = settling.carry_out(connection, self._number, made, clock.wall())
        done = results.finished(made.records)
        if done:
            self._store.bells.ring(RESULTS, done)
        if queues:
            self._store.bells.ring(CONSUMERS, queues)
        return made.flags

    def beat(self) -> bool:
        """Move my beat on."""
        self._check_process()
        with self._store.writing(self._session, durable=False) as connection:
            moved = connection.execute("UPDATE consumer SET beat = beat + 1 WHERE id = ? AND cid = ?", self._me())
            self.fenced = self.fenced or moved.rowcount == 0
            if clock.monotonic() >= self._sweep_at:
                self._sweep_at = clock.monotonic() + SWEEP_SECONDS
                messages.forget_nonces(connection, clock.wall())
                results.delete_expired(connection, clock.wall(), SWEPT_RESULTS)
        return not self.fenced

    def reap(self) -> int:
        """Look at the others' beats and processes; take over from those that stood still or are proven dead."""
        self._check_process()
        with self._store.reading(self._session) as connection:
            peers: list[reaping.Peer] = connection.execute(reaping.PEERS).fetchall()
        if self.fenced or all(number != self._number for number, *_ in peers):
            self.fenced = True
            return 0
        returned = 0
        for number, beat in self._observer.look(peers, self._number):
            with self._store.writing(self._session) as connection:
                taken = reaping.take_over(connection, number, beat, self._limits.deliveries, clock.wall())
            if taken is not None and taken[0]:
                returned += taken[0]
                self._store.bells.ring(CONSUMERS, taken[1])
        return returned

    def interrupt(self) -> None:
        """Make the take that waits, or else the next one, return at once."""
        self._bell.interrupt()

    def queues(self, names: Sequence[str]) -> None:
        """Consume these from now on; what is held stays held."""
        self._turns = taking.Turns(names)

    def close(self) -> None:
        """Put back what I hold and leave; another process's incarnation is left alone."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        try:
            with self._store.writing(self._session) as connection:
                if connection.execute("DELETE FROM consumer WHERE id = ? AND cid = ?", self._me()).rowcount:
                    _, queues = reaping.give_back(connection, self._number)
                else:
                    queues = set()
        finally:
            self._bell.close()
            self._session.close()
        if queues:
            self._store.bells.ring(CONSUMERS, queues)

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise OperationalError(
                f"this consumer belongs to process {self._pid}, from which this one was forked; make a new one here"
            )
