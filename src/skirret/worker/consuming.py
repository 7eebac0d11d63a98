"""Which queues a worker consumes: those that it was told to, less those that are paused across the fleet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from skirret import loggers
from skirret.brokers.base import Broker, Consumer, Queue
from skirret.coordination import pauses
from skirret.coordination.base import Coordination
from skirret.errors import ImproperlyConfigured
from skirret.settings import Conf
from skirret.worker.options import WorkerOptions

logger = loggers.own("skirret.worker")

LOOK = 1.0
"""Seconds between two looks at what is paused."""


class Consuming:
    """The queues of one worker, whatever incarnation serves them.

    `add` and `cancel` are the loop's; `begin`, `follow` and `end` belong to the fetcher's thread, which carries changes
    out. Pauses are looked up by a thread of their own: a consumer that waits for messages should not be disturbed.

    Args:
        queues: what the worker was started with.
        shared: where pauses are kept; None knows none.
        wake: called when there is something to follow.
    """

    def __init__(self, queues: Sequence[Queue], shared: Coordination | None, wake: Callable[[], object]) -> None:
        self.paused: frozenset[str] = frozenset()
        """Names of queues that nobody takes from, as of the last look."""
        self.names: list[str] = []
        """The queues that are taken from now."""
        self._queues = {queue.name: queue for queue in queues}
        self._shared = shared
        self._wake = wake
        self._changed = False
        self._deaf = False
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None

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
        self._change()
        return True

    def cancel(self, name: str) -> bool:
        """Take nothing more from this one; False if it is not consumed."""
        if name not in self._queues:
            return False
        self._queues = {key: queue for key, queue in self._queues.items() if key != name}
        self._change()
        return True

    # -- the fetcher's

    def begin(self, broker: Broker) -> list[str]:
        """Declare the queues for a new incarnation; the names of those that it takes from."""
        self._changed = False
        broker.declare(self.queues)
        if self._shared is not None and self._watch is None:
            self._look()
            self._watch = threading.Thread(target=self._watch_pauses, name="skirret-pauses", daemon=True)
            self._watch.start()
        self.names = self._active()
        return self.names

    def follow(self, broker: Broker, consumer: Consumer) -> None:
        """Let the consumer follow what changed since the last call.

        Raises:
            OperationalError: the broker cannot be reached; calling again carries on.
        """
        if not self._changed:
            return
        self._changed = False
        try:
            broker.declare(self.queues)
            names = self._active()
            if names != self.names:
                consumer.queues(names)
                self.names = names
        except BaseException:
            self._changed = True
            raise

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    # -- inside

    def _active(self) -> list[str]:
        return [name for name in self._queues if name not in self.paused]

    def _change(self) -> None:
        self._changed = True
        self._wake()

    def _watch_pauses(self) -> None:
        while not self._ended.wait(LOOK):
            if self._look():
                self._change()

    def _look(self) -> bool:
        assert self._shared is not None  # noqa: S101  for the type checker
        try:
            paused = pauses.paused(self._shared)
        except Exception as exc:  # noqa: BLE001  what was known last stays true until somebody says otherwise
            if not self._deaf:
                logger.warning("Could not look up which queues are paused (%s); trying again.", exc)
            self._deaf = True
            return False
        self._deaf = False
        ours = (paused ^ self.paused) & self._queues.keys()
        for name in sorted(ours):
            logger.warning("Queue %r is %s.", name, "paused: nothing is taken from it" if name in paused else "resumed")
        self.paused = paused
        return bool(ours)


def chosen_queues(options: WorkerOptions, declared: Sequence[Queue], conf: Conf, hostname: str) -> list[Queue]:
    """The queues that a worker is to consume at first.

    Args:
        options: what the command line asks (``-Q``, ``-X``).
        declared: the app's queues.
        conf: its settings.
        hostname: the node's name, after which its own queue is called (``worker_direct``).

    Raises:
        ImproperlyConfigured: a queue is not declared and must be, or none is left.
    """
    queues = {queue.name: queue for queue in declared}
    queues.update({queue.alias: queue for queue in declared if queue.alias})
    names = options.queues or [queue.name for queue in declared]
    unknown = [name for name in names if name not in queues]
    if unknown and not conf.task_create_missing_queues:
        raise ImproperlyConfigured(
            f"-Q names {', '.join(unknown)}, which task_queues does not declare, and task_create_missing_queues "
            "is off. Declare them, or turn it on."
        )
    excluded = set(options.exclude or ())
    chosen = [queues.get(name) or missing_queue(name, conf) for name in names if name not in excluded]
    if conf.worker_direct:  # by Celery's names
        chosen.append(Queue(name=f"{hostname}.dq2", exchange="C.dq2", routing_key=hostname))
    if not chosen:
        raise ImproperlyConfigured("no queue is left to consume: -X excludes all of them")
    return chosen


def missing_queue(name: str, conf: Conf) -> Queue:
    """A queue that the app does not declare, as its settings say that it is made."""
    return Queue.missing(name, conf.task_create_missing_queue_exchange_type, conf.task_queue_max_priority)
