"""A machine that tells random histories of a queue and checks the broker against a model of what it promises."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from skirret import states
from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker
from skirret.message import Delivery, Publication, Record
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.testing.conformance.broker_fixtures import BrokerFixtures
from skirret.testing.conformance.broker_model import Known, Worker
from skirret.testing.conformance.material import HandClock, body_of, id_of, message, record

HOUR = 3600.0
SOON = 0.004
LIMIT = 2
_names = itertools.count(1)

DELAYS = st.sampled_from(["none", "none", "past", "soon", "far"])
KINDS = st.sampled_from(
    ["ack", "ack", "ack+next", "release", "retry", "defer", "defer counted", "defer crash", "dead", "dead+next"]
)
PICK = st.integers(0, 7)


def _let_rest(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.consumer.rest()


class History(RuleBasedStateMachine):
    """One history on two fresh queues.

    Args:
        exam: for `vanish` and `outwait`.
        brokers: two clients of one server.
        backend: the result store on the same server, or None.
        clock: the clock of all leases.
    """

    def __init__(
        self, exam: BrokerFixtures, brokers: tuple[Broker, Broker], backend: ResultBackend | None, clock: HandClock
    ) -> None:
        super().__init__()
        self.exam = exam
        self.brokers = brokers
        self.broker = brokers[0]
        self.can = self.broker.capabilities
        # Where a release counts like a loss, nobody can say how often a message came back for which of the two.
        self.counts = self.can.counts_losses and self.can.releases_uncounted
        self.limit = LIMIT if self.counts else 1000
        self.backend = backend
        self.clock = clock
        number = next(_names)
        self.queues = [f"history-{number}-a", f"history-{number}-b"]
        self.known: dict[str, Known] = {}
        self.published: list[Publication] = []
        self.results: dict[str, Record] = {}
        self.living: list[Worker] = []
        self.vanished: list[Worker] = []
        self.zombies: list[Worker] = []

    # -- telling -----------------------------------------------------------------------------------------------

    @initialize()
    def two_workers_start(self) -> None:
        for _ in range(2):
            self.a_worker_starts()

    @precondition(lambda self: len(self.living) < 3)
    @rule()
    def a_worker_starts(self) -> None:
        broker = self.brokers[len(self.living) % 2]
        consumer = self.exam.consume(broker, self.queues, self.clock, deliveries=self.limit)
        assert consumer.beat()
        self.living.append(Worker(consumer))

    @rule(count=st.integers(1, 4), where=PICK, priority=st.sampled_from([0, 4, 9]), delay=DELAYS)
    def somebody_publishes(self, count: int, where: int, priority: int, delay: str) -> None:
        new = [self.new_message(where, priority, delay) for _ in range(count)]
        self.broker.publish([known.publication for known in new])
        self.add(new)

    @precondition(lambda self: self.known and self.can.knows_nonces)
    @rule(which=PICK)
    def a_publisher_repeats_itself(self, which: int) -> None:
        self.brokers[1].publish([self.published[-1 - which % len(self.published)]])

    @precondition(lambda self: self.ready(time.time()))
    @rule(who=PICK, limit=st.integers(1, 5))
    def a_worker_takes(self, who: int, limit: int) -> None:
        worker = self.pick(who)
        _let_rest(other for other in self.living if other is not worker)  # or it would be sent ahead to them
        before = time.time()
        certain = {known.name for known in self.ready(before)}
        batch = worker.consumer.take(limit, self.exam.patience if certain else 0.0)
        after = time.time()
        assert len(batch) <= limit
        assert batch or not certain, f"nothing was delivered, but {certain} are ready"
        for delivery in batch:
            self.check_delivery(delivery, after)
            assert delivery.tag not in worker.held
            known = self.known[id_of(delivery.raw)]
            known.place = "held"
            worker.held[delivery.tag] = known
            certain.discard(known.name)
        if self.can.priorities and batch:
            order = [self.known[id_of(delivery.raw)].priority for delivery in batch]
            assert order == sorted(order, reverse=True)
            assert order[-1] >= max((self.known[name].priority for name in certain), default=0)

    @precondition(lambda self: self.busy())
    @rule(who=PICK, kinds=st.lists(st.tuples(KINDS, DELAYS), min_size=1, max_size=4))
    def a_worker_settles(self, who: int, kinds: list[tuple[str, str]]) -> None:
        worker = self.pick_busy(who)
        tags = list(worker.held)[: len(kinds)]
        told = [self.settlement(tag, worker.held[tag], *kind) for tag, kind in zip(tags, kinds, strict=False)]
        assert worker.consumer.settle([settlement for settlement, _ in told]) == [True] * len(told)
        for settlement, follow in told:
            self.settled(worker.held.pop(settlement.tag), settlement)
            self.add(follow)

    @precondition(lambda self: self.busy())
    @rule(who=PICK, kind=KINDS)
    def a_worker_settles_twice(self, who: int, kind: str) -> None:
        worker = self.pick_busy(who)
        tag, known = worker.held.popitem()
        assert worker.consumer.settle([Ack(tag=tag)]) == [True]
        self.settled(known, Ack(tag=tag))
        settlement, _ = self.settlement(tag, known, kind, "none")
        assert worker.consumer.settle([settlement]) == [False]

    @precondition(lambda self: len(self.living) > 1 and self.busy())
    @rule(who=PICK)
    def a_worker_vanishes(self, who: int) -> None:
        worker = self.pick_busy(who)
        self.living.remove(worker)
        self.vanished.append(worker)
        self.exam.vanish(worker.consumer)

    @precondition(lambda self: len(self.living) > 1)
    @rule(who=PICK)
    def a_worker_leaves(self, who: int) -> None:
        worker = self.pick(who)
        self.living.remove(worker)
        worker.consumer.close()
        for known in worker.held.values():
            known.place = "waiting"

    @precondition(lambda self: self.vanished)
    @rule(who=PICK)
    def a_lease_passes(self, who: int) -> None:
        reaper = self.pick(who)
        others = [worker.consumer for worker in self.living if worker is not reaper]
        returned = self.exam.outwait(self.clock, reaper.consumer, *others)
        expected = 0
        for worker in self.vanished:
            for known in worker.held.values():
                known.deliveries += 1
                known.place = "dead" if known.deliveries >= self.limit else "waiting"
                expected += known.place == "waiting"
        self.zombies += self.vanished
        self.vanished = []
        assert returned == expected

    @precondition(lambda self: self.zombies and self.can.fences)
    @rule(which=PICK, kind=KINDS, first=st.sampled_from(["settle", "take", "beat", "reap", "close"]))
    def a_zombie_comes_back(self, which: int, kind: str, first: str) -> None:
        zombie = self.zombies[which % len(self.zombies)]
        if first == "take":
            assert zombie.consumer.take(5, 0.0) == []
        elif first == "beat":
            assert zombie.consumer.beat() is False
        elif first == "reap":
            assert zombie.consumer.reap() == 0
        elif first == "close":
            zombie.consumer.close()
            self.zombies.remove(zombie)
            return
        told = [self.settlement(tag, known, kind, "none")[0] for tag, known in zombie.held.items()]
        assert zombie.consumer.settle(told) == [False] * len(told)
        assert zombie.consumer.fenced or not told

    @precondition(lambda self: self.names("dead"))
    @rule(replay=st.booleans(), count=st.integers(0, 3))
    def somebody_looks_after_the_dead(self, replay: bool, count: int) -> None:
        letters = [letter for queue in self.queues for letter in self.broker.dead(queue, 1000)]
        assert sorted(letter.task_id for letter in letters) == self.names("dead")
        chosen = letters[:count]
        act = self.broker.replay if replay else self.broker.drop_dead
        assert act([letter.key for letter in chosen]) == len(chosen)
        for letter in chosen:
            known = self.known[letter.task_id]
            assert letter.crashes == known.crashes
            assert letter.deliveries == known.deliveries or not self.counts
            known.deliveries = known.crashes = 0
            known.place, known.due = ("waiting" if replay else "gone"), None

    @precondition(lambda self: self.can.purge and len(self.names("waiting")) > 6)
    @rule(where=PICK)
    def somebody_purges(self, where: int) -> None:
        queue = self.queues[where % 2]
        waiting = [known for known in self.known.values() if known.place == "waiting" and known.queue == queue]
        assert self.broker.purge(queue) == len(waiting)
        for known in waiting:
            known.place = "gone"

    # -- checking ----------------------------------------------------------------------------------------------

    @invariant()
    def every_message_is_counted_where_it_is(self) -> None:
        self.check_sizes()
        soon = max((due for due in self.waiting_dues() if due < time.time() + HOUR / 2), default=0.0)
        # A history must not depend on how fast the machine is: what is due soon is due before the next step.
        if soon > time.time():
            time.sleep(soon - time.time() + 0.001)
            self.check_sizes()

    def check_sizes(self) -> None:
        for queue in self.queues:
            self.check_size(queue, time.monotonic() + self.exam.patience)

    def check_size(self, queue: str, deadline: float) -> None:
        while True:
            _let_rest(self.living)  # what is sent ahead is neither ready nor held
            certain = len(self.ready(time.time(), queue))
            size = self.brokers[1].size(queue)
            possible = len(self.ready(time.time(), queue))
            here = [known.place for known in self.known.values() if known.queue == queue]
            told = (size.ready + size.delayed, size.held, size.dead)
            is_right = told == tuple(map(here.count, ("waiting", "held", "dead"))) and certain <= size.ready <= possible
            # A server with replicas may need a moment until it counts what it was told.
            if is_right or time.monotonic() > deadline:
                assert is_right, f"{queue}: {size}; {certain} to {possible} are ready, these are known: {here}"
                return
            time.sleep(0.002)

    def check_delivery(self, delivery: Delivery, after: float) -> None:
        known = self.known[id_of(delivery.raw)]
        assert known.place == "waiting", f"{known.name} was delivered although it is {known.place}"
        assert known.due is None or known.due <= after, f"{known.name} was delivered before its time"
        assert body_of(delivery.raw) == known.body
        assert delivery.queue == known.queue
        assert delivery.crashes == known.crashes
        assert delivery.deliveries == known.deliveries or not self.counts

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.tell_the_end()
        finally:
            for worker in (*self.living, *self.vanished, *self.zombies):
                with contextlib.suppress(Exception):
                    worker.consumer.close()

    def tell_the_end(self) -> None:
        """Everything that was published is done, dead, far in the future, or comes now; results are as told."""
        self.a_lease_passes(0)
        while len(self.living) > 1:
            self.a_worker_leaves(0)
        worker = self.living[0]
        worker.consumer.settle([Release(tag=tag) for tag in worker.held])
        for known in worker.held.values():
            known.place = "waiting"
        worker.held.clear()
        while self.ready(time.time()):
            self.a_worker_takes(0, 5)
        if self.can.lists_delayed:
            far = [one.task_id for queue in self.queues for one in self.broker.delayed(queue, 1000)]
            assert sorted(far) == self.names("waiting")
        assert sorted(one.task_id for queue in self.queues for one in self.broker.dead(queue, 1000)) == self.names(
            "dead"
        )
        assert worker.consumer.settle([Ack(tag=tag) for tag in worker.held]) == [True] * len(worker.held)
        if self.backend is not None:
            told = {name: kept.payload for name, kept in self.results.items()}
            assert self.backend.fetch(list(self.known)) == told

    # -- the model ---------------------------------------------------------------------------------------------

    def pick(self, who: int) -> Worker:
        return self.living[who % len(self.living)]

    def busy(self) -> list[Worker]:
        return [worker for worker in self.living if worker.held]

    def pick_busy(self, who: int) -> Worker:
        return self.busy()[who % len(self.busy())]

    def names(self, place: str) -> list[str]:
        return sorted(known.name for known in self.known.values() if known.place == place)

    def waiting_dues(self) -> list[float]:
        return [known.due for known in self.known.values() if known.place == "waiting" and known.due is not None]

    def ready(self, moment: float, queue: str | None = None) -> list[Known]:
        here = [known for known in self.known.values() if known.place == "waiting" and queue in (None, known.queue)]
        return [known for known in here if known.due is None or known.due <= moment]

    def due(self, delay: str) -> float | None:
        if delay == "none" or not self.can.lists_delayed:
            return None
        return time.time() + {"past": -HOUR, "soon": SOON, "far": HOUR}[delay]

    def new_message(self, where: int, priority: int, delay: str) -> Known:
        name = f"told-{next(_names)}"
        due = self.due(delay)
        publication = message(name, self.queues[where % 2], priority=priority, due=due, body=name.encode())
        return Known(publication, name.encode(), due=due)

    def add(self, new: list[Known]) -> None:
        self.known.update((known.name, known) for known in new)
        self.published += [known.publication for known in new]

    def settlement(self, tag: int, known: Known, kind: str, delay: str) -> tuple[Settlement, list[Known]]:
        """A settlement of that kind and the messages that it brings."""
        kept = self.backend is not None
        follow = [self.new_message(tag, tag % 10, delay)] if kind.endswith("+next") else []
        successors = [one.publication for one in follow]
        if kind.startswith("ack"):
            result = record(known.name, "SUCCESS", f"acked {tag}".encode()) if kept else None
            return Ack(tag=tag, result=result, successors=successors), follow
        if kind.startswith("dead"):
            result = record(known.name, "FAILURE", f"dead {tag}".encode()) if kept else None
            return DeadLetter(tag=tag, reason="told so", result=result, successors=successors), follow
        if kind == "retry":
            body = known.body + b"+"
            again = message(known.name, known.queue, priority=known.priority, due=self.due(delay), body=body)
            return Retry(tag=tag, publication=again, result=record(known.name, "RETRY") if kept else None), []
        if kind == "release":
            return Release(tag=tag), []
        due = self.due(delay) or 0.0
        if kind == "defer":
            return Defer(tag=tag, due=due), []
        return Defer(tag=tag, due=due, counted="crash" if kind == "defer crash" else "delivery"), []

    def settled(self, known: Known, settlement: Settlement) -> None:
        """Note what a settlement did to the message."""
        result: Record | None = getattr(settlement, "result", None)
        if result is not None:
            old = self.results.get(known.name)
            if states.supersedes(result.state, None if old is None else old.state):
                self.results[known.name] = result
        match settlement:
            case Ack():
                known.place = "gone"
            case DeadLetter():
                known.place = "dead"
            case Release():
                known.place, known.due = "waiting", None
            case Retry(publication=again):
                known.place, known.due = "waiting", again.due
                known.publication, known.body = again, known.body + b"+"
                known.deliveries = known.crashes = 0
            case Defer(due=due, counted=counted):
                known.place, known.due = "waiting", due
                known.deliveries += counted == "delivery"
                known.crashes += counted == "crash"
