"""What a worker hands over to be carried out: results first, then the settlements of their messages, then what follows.

The loop hands over; the thread that owns the consumer carries out, in batches. What fails because a server is away
stays here and is tried again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from skirret import loggers
from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker, Consumer
from skirret.errors import BackendError, OperationalError
from skirret.message import Publication, Record
from skirret.outcome import Ack, DeadLetter, Retry, Settlement
from skirret.worker.outbox import empty
from skirret.worker.settle import without_result

logger = loggers.own("skirret.worker")

MAX_SETTLE = 1000


class Settling:
    """The way out of one worker.

    Args:
        broker, backend: the servers.
    """

    def __init__(self, broker: Broker, backend: ResultBackend) -> None:
        self._broker = broker
        self._backend = backend
        self._together = False
        self._settlements: deque[Settlement] = deque()
        self._stored: deque[Record] = deque()
        self._published: deque[Publication] = deque()

    # -- called by the supervisor's loop

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Carry out settlements."""
        self._settlements.extend(settlements)

    def store(self, records: Sequence[Record]) -> None:
        """Store results of tasks that run or are acknowledged already."""
        if self._backend.enabled:
            self._stored.extend(records)

    def publish(self, publications: Sequence[Publication]) -> None:
        """Publish what follows from tasks that are acknowledged already."""
        self._published.extend(publications)

    def forget(self) -> None:
        """Our lease ran out: no settlement of it counts any more."""
        self._settlements.clear()

    # -- called by the thread that owns the consumer

    def begin(self) -> None:
        """A new incarnation: see whether its settlements bring results to where they belong."""
        self._together = self._backend.enabled and self._broker.settles(self._backend)

    @property
    def outcomes(self) -> int:
        """How many settlements are not carried out yet."""
        return len(self._settlements)

    @property
    def others(self) -> int:
        """How many results and messages wait beside them, which do not need the lease that they were made under."""
        return len(self._stored) + len(self._published)

    def carry_out(
        self,
        consumer: Consumer,
        ending: Callable[[list[Settlement]], object],
        settled: Callable[[list[Settlement], list[bool]], object],
    ) -> None:
        """Do all that can be done now, until the consumer is fenced.

        Args:
            consumer: of the incarnation that the settlements are of.
            ending: called with each batch before.
            settled: called with each batch and whether each of it was carried out.
        """
        # States reported on the way come first: the outcomes that follow them are newer.
        empty(self._stored, self._backend.store, "A result could not be stored and is dropped")
        while self._settlements and not consumer.fenced:
            batch = [self._settlements[i] for i in range(min(MAX_SETTLE, len(self._settlements)))]
            ending(batch)
            flags = self._settle(consumer, batch)
            for _ in batch:
                self._settlements.popleft()
            settled(batch, flags)
        if not consumer.fenced:
            empty(self._published, self._broker.publish, "A message that follows from a task could not be published")

    # -- inside

    def _settle(self, consumer: Consumer, batch: list[Settlement]) -> list[bool]:
        try:
            return consumer.settle(batch if self._together else self.store_apart(consumer, batch))
        except (OperationalError, BackendError):
            raise
        except Exception as exc:
            if len(batch) > 1:
                return [self._settle(consumer, [settlement])[0] for settlement in batch]
            logger.exception("An outcome could not be settled; its message goes to the dead letters")
            reason = f"its outcome could not be settled: {type(exc).__name__}: {exc}"
            return consumer.settle([DeadLetter(tag=batch[0].tag, reason=reason)])

    def store_apart(self, consumer: Consumer, batch: list[Settlement]) -> list[Settlement]:
        """Two servers: confirm the hold, store the results, then let successors and acknowledgement follow."""
        records = [s.result for s in batch if isinstance(s, (Ack, Retry, DeadLetter)) and s.result is not None]
        if records and self._backend.enabled and consumer.beat():
            self._backend.store(records)
        return [without_result(settlement) for settlement in batch]
