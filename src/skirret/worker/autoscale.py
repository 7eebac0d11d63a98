"""Lets a pool grow with its load at once, and shrink when it has been larger than its load for a while."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from skirret import clock, loggers
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import Dispatcher
from skirret.worker.loop import Loop, Timer

logger = loggers.own("skirret.worker")

LOOK = 0.5
"""Seconds between looks at the load."""

KEEPALIVE = 30.0
"""Seconds for which slots may be idle before the pool shrinks, unless ``AUTOSCALE_KEEPALIVE`` says otherwise."""


class Sized(Protocol):
    """What is needed of a pool."""

    children: list[ChildLine]

    @property
    def size(self) -> int:
        """Slots in all."""
        ...

    def resize(self, size: int) -> None:
        """Have so many slots in all from now on."""


def keepalive() -> float:
    """``AUTOSCALE_KEEPALIVE`` in seconds, or the default."""
    try:
        return max(0.0, float(os.environ.get("AUTOSCALE_KEEPALIVE") or KEEPALIVE))
    except ValueError:
        return KEEPALIVE


def load_of(children: Sequence[ChildLine], dispatcher: Dispatcher) -> int:
    """How many slots would be busy now if there were enough of them, as far as this worker knows."""
    busy = sum(min(child.slots, child.held()) for child in children)
    return busy + len(dispatcher.pending)


def wanted(size: int, load: int, fewest: int, most: int, *, idle: bool) -> int:
    """How many slots a pool is to have.

    A full pool doubles, since nobody knows how much waits behind what it took. A pool that was larger than its load for
    long shrinks to its load and one more.

    Args:
        size: how many it has.
        load: how many are, or would be, busy.
        fewest, most: its bounds.
        idle: whether it was larger than its load for the whole of the keepalive.
    """
    if load >= size:
        size = max(load, 2 * size)
    elif idle:
        size = min(size, load + 1)
    return max(fewest, min(most, size))


class Autoscaler:
    """Scales one pool. Belongs to the loop.

    Args:
        loop: the supervisor's.
        dispatcher: what waits for a slot.
    """

    def __init__(self, loop: Loop, dispatcher: Dispatcher) -> None:
        self.pool: Sized
        self.fewest = self.most = 0
        self._loop = loop
        self._dispatcher = dispatcher
        self._keepalive = keepalive()
        self._full_at = clock.monotonic()
        self._timer: Timer | None = None

    def between(self, fewest: int, most: int) -> None:
        """Scale between these numbers of slots from now on.

        Raises:
            ValueError: they are no bounds, or the pool cannot be scaled.
        """
        if not 0 < fewest <= most:
            raise ValueError(f"cannot scale between {fewest} and {most} slots; give the most first, then the fewest")
        self.pool.resize(max(fewest, min(most, self.pool.size)))
        self.fewest, self.most = fewest, most
        if self._timer is None:
            self._timer = self._loop.call_later(0.0, self._look)

    @property
    def load(self) -> int:
        """How many slots would be busy now if there were enough of them."""
        return load_of([child for child in self.pool.children if not child.condemned], self._dispatcher)

    def by_hand(self, change: int) -> int:
        """Change the size of the pool, and the bounds with it where it would leave them; the new size.

        Raises:
            ValueError: nothing would be left, or the pool cannot be scaled.
        """
        size = self.pool.size + change
        if size < 1:
            raise ValueError(f"a pool of {self.pool.size} cannot shrink by {-change}")
        self.pool.resize(size)
        if self._timer is not None:
            self.fewest, self.most = min(self.fewest, size), max(self.most, size)
        return size

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK, self._look)
        size, now = self.pool.size, clock.monotonic()
        load = self.load
        if load >= size:
            self._full_at = now
        new = wanted(size, load, self.fewest, self.most, idle=now - self._full_at >= self._keepalive)
        if new != size:
            logger.info("The pool %s from %d to %d.", "grows" if new > size else "shrinks", size, new)
            self.pool.resize(new)
            self._full_at = now
