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

Announce = Callable[[list[Settlement]], object]
Settled = Callable[[list[Settlement], list[bool]], object]


class Settling:
    """The way out of one worker.

    Args:
        broker, backend: the servers.
    """

    def __init__(self, broker: Broker, backend: ResultBackend) -> None:
        self._broker = broker
        self._backend = backend
        self._together = False
        self._storing: tuple[list[Settlement], Callable[[], object]] | None = None
        self._begun: list[Settlement] | None = None
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
        self._storing = self._begun = None
        self._together = self._backend.enabled and self._broker.settles(self._backend)

    @property
    def outcomes(self) -> int:
        """How many settlements are not carried out yet."""
        return len(self._settlements)

    @property
    def others(self) -> int:
        """How many results and messages wait beside them, which do not need the lease that they were made under."""
        return len(self._stored) + len(self._published)

    @property
    def is_under_way(self) -> bool:
        """Whether a server works on a batch and has still to say that it is done; no time for long waits."""
        return self._storing is not None or self._begun is not None

    def carry_out(self, consumer: Consumer, ending: Announce, settled: Settled) -> None:
        """Do what can be done now, until the consumer is fenced: all of it, or the next batch.

        Servers that can be told now and heard later work on a batch while messages are taken: on its results until
        `go_on`, on its settlements until this is called again.

        Args:
            consumer: of the incarnation that the settlements are of.
            ending: called with each batch before.
            settled: called with each batch and whether each of it was carried out.
        """
        try:
            # States reported on the way come first: the outcomes that follow them are newer.
            empty(self._stored, self._backend.store, "A result could not be stored and is dropped")
            self.go_on(consumer, settled)
            self._store_ahead(consumer, 0 if self._begun is None else len(self._begun), ending)
        finally:  # what the broker has done is told, whatever became of the result store
            self._hear(consumer, settled)
        while self._settlements and not (consumer.fenced or self.is_under_way):
            batch = self._batch(0)
            ending(batch)
            self._settle(consumer, batch, settled)
        if not consumer.fenced:
            empty(self._published, self._broker.publish, "A message that follows from a task could not be published")

    def go_on(self, consumer: Consumer, settled: Settled) -> None:
        """Where results are being stored: once they are, begin to settle what they are of."""
        storing, self._storing = self._storing, None
        if storing is None:
            return
        batch, finish = storing
        try:
            finish()
        except (OperationalError, BackendError):
            raise
        except Exception:  # noqa: BLE001  one of them cannot be stored: found out and told when they are settled
            self._settle(consumer, batch, settled)
        else:
            self._settle(consumer, batch, settled, is_stored=True)

    # -- inside

    def _batch(self, start: int) -> list[Settlement]:
        return [self._settlements[i] for i in range(start, min(start + MAX_SETTLE, len(self._settlements)))]

    def _store_ahead(self, consumer: Consumer, start: int, ending: Announce) -> None:
        """Begin to store the results of the batch that is next, where they are stored apart."""
        if self._together or not self._backend.enabled or consumer.fenced:
            return
        batch = self._batch(start)
        records = _records(batch)
        if records:
            ending(batch)
            try:
                if consumer.beat():
                    self._storing = batch, self._backend.begin_store(records)
            except (OperationalError, BackendError):
                raise
            except Exception:  # noqa: BLE001  one of them cannot be stored: found out and told when they are settled
                return

    def _hear(self, consumer: Consumer, settled: Settled) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            return
        storing, self._storing = self._storing, None  # it is behind the one that may have to be settled again
        try:
            flags = consumer.end_settle()
        except (OperationalError, BackendError):
            raise
        except Exception:  # noqa: BLE001  one of them cannot be settled: which one is found out, and told
            self._one_by_one(consumer, begun, settled)
        else:
            self._over(begun, flags, settled)
        self._storing = storing

    def _settle(
        self, consumer: Consumer, batch: list[Settlement], settled: Settled, *, is_stored: bool = False
    ) -> None:
        try:
            if self._together:
                flags = consumer.begin_settle(batch)
            else:
                flags = consumer.begin_settle(_bare(batch) if is_stored else self.store_apart(consumer, batch))
        except (OperationalError, BackendError):
            raise
        except Exception:  # noqa: BLE001  one of them cannot be settled: which one is found out, and told
            self._one_by_one(consumer, batch, settled)
            return
        if flags is None:
            self._begun = batch
        else:
            self._over(batch, flags, settled)

    def _one_by_one(self, consumer: Consumer, batch: list[Settlement], settled: Settled) -> None:
        for settlement in batch:
            self._over([settlement], self._alone(consumer, settlement), settled)

    def _alone(self, consumer: Consumer, settlement: Settlement) -> list[bool]:
        try:
            return consumer.settle([settlement] if self._together else self.store_apart(consumer, [settlement]))
        except (OperationalError, BackendError):
            raise
        except Exception as exc:
            logger.exception("An outcome could not be settled; its message goes to the dead letters")
            reason = f"its outcome could not be settled: {type(exc).__name__}: {exc}"
            return consumer.settle([DeadLetter(tag=settlement.tag, reason=reason)])

    def _over(self, batch: list[Settlement], flags: list[bool], settled: Settled) -> None:
        for _ in batch:
            self._settlements.popleft()
        settled(batch, flags)

    def store_apart(self, consumer: Consumer, batch: list[Settlement]) -> list[Settlement]:
        """Two servers: confirm the hold, store the results, then let successors and acknowledgement follow."""
        records = _records(batch)
        if records and self._backend.enabled and consumer.beat():
            self._backend.store(records)
        return _bare(batch)


def _records(batch: list[Settlement]) -> list[Record]:
    return [s.result for s in batch if isinstance(s, (Ack, Retry, DeadLetter)) and s.result is not None]


def _bare(batch: list[Settlement]) -> list[Settlement]:
    return [without_result(settlement) for settlement in batch]
