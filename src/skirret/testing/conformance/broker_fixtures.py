"""The fixtures of the broker exam: what a sitter overrides, and what its tests are handed."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

import pytest

from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker, Consumer, Limits
from skirret.testing.conformance import material
from skirret.testing.conformance.material import HandClock

Outage = Callable[[], AbstractContextManager[object]]
_queues = itertools.count(1)


def needs(broker: Broker, capability: str) -> None:
    """Skip where the broker declares that it lacks a capability."""
    if not getattr(broker.capabilities, capability):
        pytest.skip(f"the broker declares that it lacks: {capability}")


class MakeConsumer(Protocol):
    """Makes consumers that are closed when the test ends; the queue is the test's, the lease 30 s of `clock`."""

    def __call__(
        self, *queues: str, broker: Broker | None = None, deliveries: int = 10, cid: str | None = None
    ) -> Consumer:
        """A new incarnation on these queues (none given: the test's own), of `broker` (the first by default)."""
        ...


class BrokerFixtures:
    """Override `broker`, `second_broker`, and `backend` and `outage` where they apply; the rest as need be."""

    quiet: ClassVar[float] = 0.03
    """Seconds of waiting in vain after which the exam believes that there is nothing to take."""

    patience: ClassVar[float] = 5.0
    """Seconds within which what must come, comes."""

    examples: ClassVar[int] = 100
    """How many histories the state machine tells."""

    steps: ClassVar[int] = 50
    """How long each of them is at most."""

    LEASE: ClassVar[float] = 30.0
    BEAT: ClassVar[float] = 5.0

    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(material, "patience", self.patience)

    @pytest.fixture
    def broker(self) -> Broker:
        """The broker under exam, on a fresh and empty server. Must be overridden."""
        raise NotImplementedError("override the fixture `broker`: see skirret.testing.conformance")

    @pytest.fixture
    def second_broker(self, broker: Broker) -> Broker:
        """Another client of the same server, as another process would have. Must be overridden."""
        raise NotImplementedError("override the fixture `second_broker`: see skirret.testing.conformance")

    @pytest.fixture
    def backend(self, broker: Broker) -> ResultBackend:
        """The result store on the same server. Must be overridden where the broker declares `settles_results`."""
        if broker.capabilities.settles_results:
            raise NotImplementedError("override the fixture `backend`: the broker declares that it settles results")
        pytest.skip("the broker declares that it does not settle results")

    @pytest.fixture
    def outage(self, broker: Broker) -> Outage:
        """A function that gives a context manager: while entered, no client of this test reaches the server."""
        pytest.skip("the fixture `outage` was not overridden, so the server cannot be cut off")

    @pytest.fixture
    def clock(self) -> HandClock:
        """The monotonic clock by which leases are observed."""
        return HandClock()

    def vanish(self, consumer: Consumer) -> None:
        """Let a consumer's process die without a word. Here: nobody calls it again.

        A server that sees connections rather than beats needs more, such as cutting the connection.
        """

    def outwait(self, clock: HandClock, reaper: Consumer, *alive: Consumer) -> int:
        """Let a whole lease pass for the `reaper` while only it and `alive` beat; how many messages went back.

        A server whose leases do not run on ``Limits.clock`` overrides this with whatever lets them pass.
        """
        returned = reaper.reap()
        for _ in range(int(self.LEASE / self.BEAT) + 1):
            clock.advance(self.BEAT)
            for consumer in (reaper, *alive):
                assert consumer.beat()
            returned += reaper.reap()
        return returned

    @pytest.fixture
    def queue(self) -> str:
        """A queue of this test's own."""
        return f"exam-{next(_queues)}"

    @pytest.fixture
    def other_queue(self, queue: str) -> str:
        """Another one."""
        return f"{queue}-other"

    @pytest.fixture
    def make_consumer(self, broker: Broker, queue: str, clock: HandClock) -> Iterator[MakeConsumer]:
        """Makes consumers; closes them in the end."""
        made: list[Consumer] = []

        def make(
            *queues: str, broker: Broker | None = broker, deliveries: int = 10, cid: str | None = None
        ) -> Consumer:
            assert broker is not None
            for other in made:
                with contextlib.suppress(Exception):  # as above
                    other.rest()  # so that nothing is sent ahead to who does not take it
            made.append(self.consume(broker, queues or (queue,), clock, deliveries=deliveries, cid=cid))
            return made[-1]

        yield make
        for consumer in made:
            with contextlib.suppress(Exception):  # many of them are fenced by now, some closed
                consumer.close()

    def consume(
        self, broker: Broker, queues: Sequence[str], clock: HandClock, *, deliveries: int = 10, cid: str | None = None
    ) -> Consumer:
        """A consumer that the caller closes; for threads, which must make their own."""
        limits = Limits(lease=self.LEASE, beat=self.BEAT, deliveries=deliveries, clock=clock)
        return broker.consumer(queues, cid or uuid.uuid4().hex, limits=limits)

    @pytest.fixture
    def consumer(self, make_consumer: MakeConsumer) -> Consumer:
        """One consumer of the test's queue."""
        return make_consumer()

    def nothing_comes(self, consumer: Consumer) -> None:
        """Assert that there is nothing to take."""
        assert consumer.take(100, self.quiet) == []
