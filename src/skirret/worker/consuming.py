"""Which queues a worker consumes: those that it was told to, less those that are paused across the fleet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import inf

from skirret import clock
from skirret.brokers.base import Broker, Consumer, Queue
from skirret.coordination.base import Coordination
from skirret.coordination.keys import PAUSED

logger = logging.getLogger("skirret.worker")

LOOK = 1.0
"""Seconds between two looks at what is paused."""


class Consuming:
    """The queues of one worker, whatever incarnation serves them.

    `add` and `cancel` are the loop's; all else belongs to the fetcher's thread, which carries their changes out.

    Args:
        queues: what the worker was started with.
        shared: where pauses are kept; None knows none.
    """

    def __init__(self, queues: Sequence[Queue], shared: Coordination | None) -> None:
        self.paused: frozenset[str] = frozenset()
        """Names of queues that nobody takes from, as of the last look."""
        self.names: list[str] = []
        """The queues that are taken from now."""
        self.next_look = 0.0 if shared is not None else inf
        """When to look at the pauses again, by the monotonic clock."""
        self._queues = {queue.name: queue for queue in queues}
        self._shared = shared
        self._changed = False
        self._deaf = False

    # -- the loop's

    @property
    def queues(self) -> list[Queue]:
        """What the worker was told to consume, paused or not."""
        return list(self._queues.values())

    def add(self, queue: Queue) -> bool:
        """Consume this one too; False if it is consumed already."""
        if queue.name in self._queues:
            return False
        self._queues = {**self._queues, queue.name: queue}  # a new one: the fetcher may be reading the old one
        self._changed = True
        return True

    def cancel(self, name: str) -> bool:
        """Take nothing more from this one; False if it is not consumed."""
        if name not in self._queues:
            return False
        self._queues = {key: queue for key, queue in self._queues.items() if key != name}
        self._changed = True
        return True

    # -- the fetcher's

    def begin(self, broker: Broker) -> list[str]:
        """Declare the queues for a new incarnation; the names of those that it takes from."""
        self._changed = False
        broker.declare(self.queues)
        self._look()
        self.names = [name for name in self._queues if name not in self.paused]
        return self.names

    def follow(self, broker: Broker, consumer: Consumer) -> None:
        """Let the consumer follow what changed since the last call.

        Raises:
            OperationalError: the broker cannot be reached; calling again carries on.
        """
        if not self._changed and clock.monotonic() < self.next_look:
            return
        self._look()
        changed, self._changed = self._changed, False
        try:
            if changed:
                broker.declare(self.queues)
            names = [name for name in self._queues if name not in self.paused]
            if names != self.names:
                consumer.queues(names)
                self.names = names
        except BaseException:
            self._changed = True
            raise

    def _look(self) -> None:
        if self._shared is None or clock.monotonic() < self.next_look:
            return
        self.next_look = clock.monotonic() + LOOK
        try:
            paused = frozenset(self._shared.members(PAUSED))
        except Exception as exc:  # noqa: BLE001  what was known last stays true until somebody says otherwise
            if not self._deaf:
                logger.warning("Could not look up which queues are paused (%s); trying again.", exc)
            self._deaf = True
            return
        self._deaf = False
        for name in sorted((paused ^ self.paused) & self._queues.keys()):
            logger.warning("Queue %r is %s.", name, "paused: nothing is taken from it" if name in paused else "resumed")
        self.paused = paused
