"""Publishes for coroutines: one bounded daemon thread a process sends what several of them hand over in one batch."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from skirret import clock
from skirret.errors import OperationalError
from skirret.message import Publication

WAITING_LIMIT = 10_000
"""Messages that may wait; a coroutine that brings more waits for room."""

BATCH_LIMIT = 500
BATCH_BYTES = 8 * 1024 * 1024


class Deliverer(Protocol):
    """Who sends what was handed over."""

    def deliver(
        self, publications: Sequence[Publication], *, retry: bool | None, retry_policy: Mapping[str, Any] | None
    ) -> None:
        """Hand messages to the broker or raise."""


@dataclass(slots=True, eq=False)
class _Order:
    publisher: Deliverer
    publications: Sequence[Publication]
    options: Mapping[str, Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    until: float
    """When it must have an end."""

    def belongs_with(self, other: _Order) -> bool:
        return self.publisher is other.publisher and self.options == other.options

    @property
    def size(self) -> int:
        return sum(len(publication.envelope.body) for publication in self.publications)


class GroupCommitter:
    """The publisher thread and its queue; ends after some idle seconds, starts again when needed."""

    def __init__(self, idle_seconds: float = 10.0) -> None:
        self._idle = idle_seconds
        self._changed = threading.Condition()
        self._orders: deque[_Order] = deque()
        self._waiting = 0
        self._room: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._running = False

    async def submit(
        self,
        publisher: Deliverer,
        publications: Sequence[Publication],
        options: Mapping[str, Any],
        patience: float | None = None,
    ) -> None:
        """Send `publications`; returns when the broker has them.

        Args:
            publisher: who sends them.
            publications: what is sent.
            options: of ``Publisher.deliver``.
            patience: seconds after which it must have an end; None is for ever.

        Raises:
            OperationalError: as of ``Publisher.deliver``; or the broker was silent before it was this one's turn.
        """
        if not publications:
            return
        loop = asyncio.get_running_loop()
        until = inf if patience is None else clock.monotonic() + patience
        order = _Order(publisher, publications, options, loop, loop.create_future(), until)
        while (turn := self._offer(order)) is not None:
            await turn
        await order.done

    def _offer(self, order: _Order) -> asyncio.Future[None] | None:
        # None if the order was accepted, else what to await before offering it again.
        with self._changed:
            if self._waiting and self._waiting + len(order.publications) > WAITING_LIMIT:
                turn: asyncio.Future[None] = order.loop.create_future()
                self._room.append((order.loop, turn))
                return turn
            self._orders.append(order)
            self._waiting += len(order.publications)
            if self._running:
                if len(self._orders) == 1:
                    self._changed.notify()
                return None
            self._running = self._start()
            if self._running:
                return None
            batch = self._take()
        # Where the system gives no more threads, or the interpreter ends, it blocks the event loop rather than fail.
        self._commit(batch)
        self._make_room()
        return None

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._run, name="skirret-publisher", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._orders and not self._changed.wait_for(lambda: self._orders, timeout=self._idle):
                    self._running = False
                    return
                batch = self._take()
            began = clock.monotonic()
            failure = self._commit(batch)
            if failure is not None:
                self._refuse_impatient(failure, clock.monotonic() - began)
            self._make_room()

    def _refuse_impatient(self, failure: OperationalError, took: float) -> None:
        """Refuse those who waited meanwhile so long that another such failure would come too late for them."""
        end = clock.monotonic() + took
        with self._changed:
            late = [order for order in self._orders if order.until < end]
            self._orders = deque(order for order in self._orders if order.until >= end)
            self._waiting -= sum(len(order.publications) for order in late)
        if late:
            text = f"not sent, because the broker did not accept for {took:.1f} s what came before: {failure}"
            _resolve(late, OperationalError(text))

    def _take(self) -> list[_Order]:
        batch = [self._orders.popleft()]
        count, size = len(batch[0].publications), batch[0].size
        while self._orders and batch[0].belongs_with(self._orders[0]):
            count += len(self._orders[0].publications)
            size += self._orders[0].size
            if count > BATCH_LIMIT or size > BATCH_BYTES:
                break
            batch.append(self._orders.popleft())
        self._waiting -= sum(len(order.publications) for order in batch)
        return batch

    def _commit(self, batch: list[_Order]) -> OperationalError | None:
        publications = [publication for order in batch for publication in order.publications]
        try:
            batch[0].publisher.deliver(publications, **batch[0].options)
        except OperationalError as exc:
            _resolve(batch, exc)
            return exc
        except BaseException as exc:  # noqa: BLE001  one order's fault is not its neighbours'
            if len(batch) == 1:
                _resolve(batch, exc)
            else:
                for order in batch:
                    self._commit([order])
        else:
            _resolve(batch, None)
        return None

    def _make_room(self) -> None:
        while self._room:
            loop, turn = self._room.popleft()
            _call(loop, _finish, [turn], None)


def _resolve(batch: list[_Order], error: BaseException | None) -> None:
    # One wake-up an event loop, however many coroutines wait on it.
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for order in batch:
        by_loop.setdefault(order.loop, []).append(order.done)
    for loop, futures in by_loop.items():
        _call(loop, _finish, futures, error)


def _call(loop: asyncio.AbstractEventLoop, *what: Any) -> None:
    try:
        loop.call_soon_threadsafe(*what)
    except RuntimeError:  # the loop was closed; nobody waits there any more
        pass


def _finish(futures: list[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


_committers: dict[int, GroupCommitter] = {}


def committer() -> GroupCommitter:
    """The committer of this process; a forked child has its own."""
    process = os.getpid()
    found = _committers.get(process)
    if found is None:
        found = _committers.setdefault(process, GroupCommitter())
    return found
