"""One worker incarnation's hold on queues of a Redis server."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Sequence
from typing import Any

from skirret import clock
from skirret.brokers.base import Consumer, Limits
from skirret.brokers.redis import listing, plan
from skirret.brokers.redis.options import Options
from skirret.brokers.redis.reaping import Reaper
from skirret.brokers.redis.seat import Fenced, Held, Seat
from skirret.brokers.redis.slot import Slot
from skirret.brokers.redis.waiting import Bell
from skirret.errors import OperationalError
from skirret.message import Delivery
from skirret.outcome import Settlement
from skirret.stores.redis.keys import Keys
from skirret.stores.redis.session import Command
from skirret.stores.redis.store import Store

LOOK_SECONDS = 0.23
"""A waiting take looks for messages of foreign producers this often; ours ring its bell."""

TAKE_SECONDS = 10.0
"""A waiting take tries in earnest this often, whatever bells say: they may be lost."""

CLUSTER_TAKE_SECONDS = 1.0
"""The same in a cluster, whose nodes cannot tell whether anybody heard a bell."""

MAX_TAKE = 1000
"""Messages of one take, because a script can hand over no more at once."""


class RedisConsumer(Consumer):
    """See ``RedisBroker.consumer``.

    Args:
        store: the server.
        options: the broker's.
        queues: what to consume.
        cid: the incarnation.
        limits: lease, beat, deliveries.
        results: this database, that of results, and what their keys begin with.
        publish: hands drafts to the server; for successors of other slots.
        confirm: sent behind each settlement (see ``durability``).
    """

    def __init__(
        self,
        store: Store,
        options: Options,
        queues: Sequence[str],
        cid: str,
        limits: Limits,
        results: tuple[Any, ...],
        publish: plan.Publish,
        confirm: Sequence[Command] = (),
    ) -> None:
        self.cid = cid
        self._store = store
        self._options = options
        self._limits = limits
        self._results = results
        self._publish = publish
        self._confirm = confirm
        self._pid = os.getpid()
        self._row: list[str] = []
        self._seats: dict[str, Seat] = {}
        self._held: dict[int, tuple[Seat, str]] = {}
        self._foreign: dict[str, Reaper] = {}
        self._told: dict[int, bool] = {}
        self._tag = 0
        self._is_closed = False
        self._bell = Bell(store, Keys(store.prefix).wake(cid))
        try:
            self.queues(queues)
        except BaseException:
            self._bell.close()
            raise

    def _seat_of(self, queue: str) -> Seat:
        name = queue if self._store.is_cluster else ""
        seat = self._seats.get(name)
        if seat is None:
            if name:  # so that others, who may not consume it, watch it
                key = Keys(self._store.prefix).queues
                self._store.call("SADD", key, name, key=key)
            seat = self._seats[name] = Seat(Slot(self._store, self._options, name), self.cid, self._limits)
        return seat

    # -- taking ----------------------------------------------------------------------------------------------------

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Take what is there in one script, else wait for the bell, the next due time or the timeout."""
        self._check_process()
        deadline = clock.Deadline(timeout)
        may_wait = timeout > 0
        while True:
            waits = may_wait and self._bell.listens
            taken = self._take_now(min(limit, MAX_TAKE), waits=waits)
            if self._bell.was_interrupted() or taken or self.fenced or deadline.passed():
                return taken
            if not self._bell.listens:
                self._bell.listen()  # and look again, for what came meanwhile rang no bell
            elif not self._wait(deadline):
                self._bell.was_interrupted()
                return []

    def _take_now(self, limit: int, *, waits: bool) -> list[Delivery]:
        if self.fenced or limit <= 0 or not self._row:
            return []
        try:
            if self._store.is_cluster:
                held = plan.take_of_slots(self._seats_in_turn(), limit, waits=waits)
            else:
                seat = self._seat_of("")
                held = [(seat, one) for one in seat.take(self._row, limit, waits=waits)]
        except Fenced:
            self._fence()
            return []
        return [self._deliver(seat, one) for seat, one in held]

    def _seats_in_turn(self) -> list[tuple[str, Seat]]:
        return [(queue, self._seat_of(queue)) for queue in self._row]

    def _deliver(self, seat: Seat, held: Held) -> Delivery:
        self._tag += 1
        self._held[self._tag] = (seat, held.field)
        if len(self._row) > 1 and held.queue in self._row and self._row[-1] != held.queue:
            self._row.remove(held.queue)  # who was served goes to the end of the row
            self._row.append(held.queue)
        return Delivery(
            tag=self._tag,
            queue=held.queue,
            raw=held.raw,
            deliveries=held.deliveries,
            crashes=held.crashes,
            first_delivered=held.first,
        )

    def _wait(self, deadline: clock.Deadline) -> bool:
        """Wait; False if the deadline passed and there is no reason to look again."""
        dues = [seat.next_due for seat in self._seats.values() if seat.next_due is not None]
        end = clock.Deadline(min([CLUSTER_TAKE_SECONDS if self._store.is_cluster else TAKE_SECONDS, *dues]))
        if self._bell.check():
            return True
        while True:
            left = min(end.left() or 0.0, deadline.left() or 0.0)
            # Drawn at random, so that many idle workers do not ask all at once.
            rang = self._bell.wait(min(left, LOOK_SECONDS * random.uniform(0.9, 1.0)))  # noqa: S311
            if rang or end.passed() or not self._bell.listens or self._is_there_work():
                return True
            if deadline.passed():
                return False

    def _is_there_work(self) -> bool:
        if self._store.is_cluster or not self._row:  # kombu has no transport for clusters, so all producers ring
            return False
        slot = self._seat_of("").slot
        lists = [key for queue in self._row for key in slot.lists(queue)]
        return bool(self._store.call("EXISTS", *lists))

    # -- settling --------------------------------------------------------------------------------------------------

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out all settlements in one script; in a cluster in one for each slot, after what goes elsewhere."""
        self._check_process()
        # Encoded before anything is touched: a publication that cannot be encoded must not leave half a batch.
        steps = plan.steps_of(settlements, self._held, self._options)
        flags = [False] * len(settlements)
        if self.fenced:
            return flags
        try:
            for seat, batch in plan.batches_of(steps):
                if self._store.is_cluster:
                    plan.send_elsewhere(batch, seat, self._publish)
                told = seat.settle([step.order for step in batch], self._results, self._confirm)
                for step, flag in zip(batch, told, strict=True):
                    self._told[step.tag] = flag
                    self._held.pop(step.tag, None)
        except Fenced:
            self._fence()
            return [False] * len(settlements)
        if not steps and settlements:
            self._notice_the_fence()
        # Kept until all is told, because a call that failed half way is repeated with what was done already.
        for number, settlement in enumerate(settlements):
            flags[number] = self._told.pop(settlement.tag, False)
        self._told.clear()
        return flags

    def _notice_the_fence(self) -> None:
        # Nothing of it was ours, so nothing was sent; whether we were reaped is still worth to know.
        with contextlib.suppress(Fenced):
            for seat in self._seats.values():
                seat.settle([], self._results)
            return
        self._fence()

    def _fence(self) -> None:
        self.fenced = True
        self._held.clear()
        self._told.clear()

    # -- leases ----------------------------------------------------------------------------------------------------

    def beat(self) -> bool:
        """Move my beat on."""
        self._check_process()
        if not self.fenced:
            for name, seat in self._seats.items():
                if not seat.beat([name] if name else self._row):
                    self._fence()
                    break
        return not self.fenced

    def reap(self) -> int:
        """Look at the others' beats and processes; take over from those that stood still or are proven dead."""
        self._check_process()
        if self.fenced:
            return 0
        try:
            returned = sum(seat.reap(self._limits.deliveries) for seat in self._seats.values())
            return returned + sum(watcher.reap(self._limits.deliveries) for watcher in self._watchers())
        except Fenced:
            self._fence()
            return 0

    def _watchers(self) -> list[Reaper]:
        # In a cluster each queue has incarnations of its own: those of queues that are not mine may be left alone.
        if self._store.is_cluster:
            for queue in listing.names(self._store):
                if queue not in self._seats and queue not in self._foreign:
                    self._foreign[queue] = Reaper(Slot(self._store, self._options, queue), self.cid, self._limits)
        return [watcher for queue, watcher in self._foreign.items() if queue not in self._seats]

    # -- the rest --------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Make the take that waits, or else the next one, return at once."""
        self._bell.interrupt()

    def queues(self, names: Sequence[str]) -> None:
        """Consume these from now on; what is held stays held."""
        self._row = list(dict.fromkeys(names))
        for queue in self._row or ([] if self._store.is_cluster else [""]):
            self._seat_of(queue)

    def close(self) -> None:
        """Put back what I hold and leave; another process's incarnation is left alone."""
        if self._is_closed or self._pid != os.getpid():
            return
        self._bell.close()
        for name, seat in self._seats.items():
            seat.close([name] if name else self._row)
        self._is_closed = True  # not before: a call that failed may be repeated

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise OperationalError(
                f"this consumer belongs to process {self._pid}, from which this one was forked; make a new one here"
            )
