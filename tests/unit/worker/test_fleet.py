"""Limits that hold across all workers: never exceeded, never leaked, and nobody starves."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from skirret import Skirret
from skirret.brokers.base import Limits
from skirret.coordination import keys
from skirret.coordination.memory import MemoryCoordination
from skirret.errors import ImproperlyConfigured, OperationalError
from skirret.outcome import Ack, Release
from skirret.testing.worker import worker
from skirret.worker.claim import Claim
from skirret.worker.fleet import Fleet
from skirret.worker.gates import Gates
from skirret.worker.manifest import TaskTraits
from skirret.worker.uniques import Uniques
from tests.unit.worker.crew import job
from tests.unit.worker.flaky import Faults, fails, flaky

_names = itertools.count()


class Node:
    """The fleet's limits as one worker has them, on a clock that the test moves."""

    def __init__(self, server: str, clock: list[float], cid: str = "one") -> None:
        self.shared = MemoryCoordination(server)
        self.faults = Faults()
        self.granted: list[int] = []
        self.refused: dict[int, float] = {}
        self.clock = clock
        shared = flaky(self.shared, self.faults)
        self.fleet = Fleet(shared, 30.0, self._answer, Uniques(shared))
        self.fleet.begin(cid)

    def _answer(self, granted: list[int], refused: list[tuple[int, float]]) -> None:
        self.granted += granted
        self.refused.update(refused)

    def ask(self, *tags: int, key: str = "k", most: int = 2, rate: float = 0.0, early: bool = False) -> None:
        self.fleet.ask([Claim(tag, early=early, task="t", rate=rate, slots=key, most=most) for tag in tags])
        self.fleet.serve()

    def end(self, *tags: int) -> None:
        self.fleet.settled([Ack(tag=tag) for tag in tags])
        self.fleet.serve()

    def later(self, seconds: float) -> None:
        self.clock[0] += seconds
        self.fleet.serve()

    def inside(self, key: str = "k") -> int:
        return len(self.shared.members(keys.slots(key)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("skirret.clock.monotonic", lambda: now[0])
    return now


@pytest.fixture
def one(clock: list[float]) -> Node:
    return Node(f"fleet-{next(_names)}", clock)


@pytest.fixture
def two(one: Node, clock: list[float]) -> Node:
    return Node(one.shared._server.name, clock, "two")


# -- slots ---------------------------------------------------------------------------------------------------------


def test_as_many_begin_as_there_are_slots_and_the_next_one_when_one_ends(one: Node) -> None:
    one.ask(1, 2, 3, 4)
    assert one.granted == [1, 2]
    one.end(1)
    assert one.granted == [1, 2, 3]
    assert one.inside() == 2
    one.end(2, 3)
    one.end(4)
    assert (one.granted, one.inside()) == ([1, 2, 3, 4], 0)


def test_a_slot_is_handed_on_without_asking_the_server(one: Node) -> None:
    one.ask(*range(50), most=1)
    calls = sum(one.faults.calls.values())
    for tag in range(49):
        one.end(tag)
    assert one.granted == list(range(50))
    assert sum(one.faults.calls.values()) == calls


def test_who_finds_no_slot_within_a_second_goes_back_to_the_broker(one: Node) -> None:
    one.ask(1, 2, 3)
    one.later(0.5)
    assert one.refused == {}
    one.later(0.6)
    assert list(one.refused) == [3]
    assert one.refused[3] >= one.clock[0] + 0.9
    one.end(1)
    assert one.granted == [1, 2], "who went back does not begin"
    assert one.inside() == 1


def test_a_long_backlog_does_not_wait_here_and_comes_back_spread(one: Node) -> None:
    one.ask(*range(1000), most=1)
    assert len(one.refused) == 1000 - 1 - 100
    moments = [one.refused[tag] - one.clock[0] for tag in range(101, 1000)]
    assert moments == sorted(moments)
    assert moments[0] >= 1.0
    assert 2.0 < moments[-1] < 10.0


def test_keys_do_not_disturb_each_other(one: Node) -> None:
    one.ask(1, 2, key="a", most=1)
    one.ask(3, 4, key="b", most=1)
    assert one.granted == [1, 3]
    one.end(3)
    assert one.granted == [1, 3, 4]


def test_two_workers_share_the_slots_and_none_keeps_them_for_ever(one: Node, two: Node) -> None:
    one.ask(*range(100), most=1)
    two.ask(7, most=1)
    assert (one.granted, two.granted) == ([0], [])
    for tag in range(12):  # each takes a tenth of a second
        one.later(0.1)
        one.end(tag)
        two.later(0.0)
        if two.granted:
            break
    assert two.granted == [7], "the slot was handed on within one worker for more than a second"
    assert one.inside() == 1


def test_the_acknowledgement_of_a_task_that_only_begins_keeps_its_slot(one: Node) -> None:
    one.ask(1, 2, most=1, early=True)
    one.fleet.settled([Ack(tag=1)])
    one.fleet.serve()
    assert one.granted == [1]
    one.fleet.leave([1])
    one.fleet.serve()
    assert one.granted == [1, 2]
    one.fleet.settled([Release(tag=2)])
    one.fleet.serve()
    assert one.inside() == 0


def test_slots_live_as_long_as_their_worker_beats_and_no_longer(clock: list[float], one: Node, two: Node) -> None:
    one.ask(1, 2)
    for _ in range(10):
        clock[0] += 5.0
        one.fleet.renew()
    two.ask(3)
    assert two.granted == []
    two.later(31.0)  # the other one was killed: it beats no more
    assert two.granted == [3]


def test_a_worker_that_ends_gives_its_slots_back(one: Node, two: Node) -> None:
    one.ask(1, 2)
    one.fleet.end()
    assert two.inside() == 0


def test_nothing_begins_while_the_shared_state_cannot_be_asked_and_nothing_is_lost(one: Node, caplog) -> None:
    one.faults.before["enter"] = fails(OperationalError("away"))
    one.ask(1)
    for _ in range(11):
        one.later(0.1)
    assert (one.granted, list(one.refused)) == ([], [1])
    assert one.faults.calls["enter"] <= 4, "it is not asked without a pause"
    assert caplog.text.count("limits cannot be asked") == 1
    one.faults.before.clear()
    one.ask(2)
    one.later(0.6)
    assert one.granted == [2]


def test_a_slot_that_could_not_be_given_back_is_given_back_with_the_next_beat(one: Node) -> None:
    one.ask(1)
    one.faults.before["discard"] = fails(OperationalError("away"))
    one.end(1)
    assert one.inside() == 1
    one.faults.before.clear()
    one.fleet.renew()
    assert one.inside() == 0


def test_what_nobody_uses_is_forgotten(one: Node) -> None:
    for number in range(100):
        one.ask(number, key=f"customer-{number}")
    one.end(*range(100))
    one.clock[0] += 61.0
    one.fleet.renew()
    assert one.fleet._slots == {}
    assert one.fleet._holds == {}


def test_with_many_keys_fewer_wait_for_each_and_the_server_is_asked_less_often(one: Node, two: Node) -> None:
    for number in range(500):
        two.ask(number, key=f"customer-{number}", most=1)
        one.fleet.ask(
            Claim(10 * number + n, early=False, task="t", slots=f"customer-{number}", most=1) for n in range(10)
        )
    one.fleet.serve()
    assert sum(len(door.waiting) for door in one.fleet._busy) <= 2000
    assert one.granted == []
    asked = one.faults.calls["enter"]
    for _ in range(90):
        one.later(0.01)
    assert one.faults.calls["enter"] - asked <= 500


def test_claims_that_were_looked_at_are_answered_at_once_also_if_none_may_begin(one: Node, two: Node) -> None:
    two.ask(1, most=1)
    answers: list[object] = []
    one.fleet._answer = lambda *told: answers.append(told)
    one.ask(1, most=1)
    assert answers == [([], [])]
    one.later(0.2)
    assert len(answers) == 1


# -- rates ---------------------------------------------------------------------------------------------------------


def test_tokens_are_shared_and_who_gets_none_soon_comes_back_in_his_turn(one: Node, two: Node) -> None:
    one.ask(*range(20), key="", most=0, rate=10.0)
    assert one.granted == [0, 1], "a fifth of a second's worth may begin at once"
    moments = [one.refused[tag] - one.clock[0] for tag in sorted(one.refused)]
    assert moments == pytest.approx([0.3 + 0.1 * n for n in range(len(moments))])
    two.ask(1, key="", most=0, rate=10.0)
    assert two.granted == []
    for _ in range(10):
        one.later(0.101)
        two.later(0.0)
    began = len(one.granted) + len(two.granted)
    assert began == 2 + 3, "those that stayed here begin without going back"


def test_who_has_a_slot_and_gets_no_token_leaves_the_slot_to_others(one: Node) -> None:
    one.ask(1, 2, most=1, rate=0.1)
    one.end(1)
    assert one.granted == [1]
    assert 2 in one.refused
    assert one.fleet.next_look() <= one.clock[0]
    one.later(0.0)
    assert one.inside() == 0


def test_a_rate_that_changes_is_asked_at_the_new_rate(one: Node) -> None:
    one.ask(1, 2, key="", most=0, rate=0.1)
    assert one.granted == [1]
    one.ask(3, key="", most=0, rate=1000.0)
    one.later(0.01)
    assert 3 in one.granted


# -- gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "traits, complaint",
    [
        (TaskTraits(rate_limit="1/s", rate_limit_scope="galaxy"), "must be worker or fleet"),
        (TaskTraits(max_concurrency=0), "at least 1 must be able to run"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(traits: TaskTraits, complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint):
        Gates({"t": traits})


@pytest.mark.parametrize("traits", [TaskTraits(max_concurrency=1), TaskTraits(rate_limit=1, rate_limit_scope="fleet")])
def test_limits_of_the_fleet_are_refused_where_nothing_is_shared(traits: TaskTraits) -> None:
    gates = Gates({"t": traits, "other": TaskTraits(rate_limit="1/s")})
    gates.check(shares=True)
    with pytest.raises(ImproperlyConfigured, match=r"set coordination_url. The tasks are t\."):
        gates.check(shares=False)


def test_an_answer_for_a_message_that_was_revoked_or_is_not_ours_any_more_starts_nothing() -> None:
    gates = Gates({"t": TaskTraits(max_concurrency=1)})

    class Server:
        def settle(self, settlements: object) -> None: ...

        def claim(self, claims: object) -> None: ...

        def leave(self, tags: list[int], *, again: bool) -> None:
            left.extend(tags)

    left: list[int] = []
    gates.server = Server()  # type: ignore[assignment]
    assert gates.through([job(1), job(2)]) == []
    assert [one.delivery.tag for one in gates.withdraw(lambda one: one.head.id == "id-1")] == [1]
    assert [one.delivery.tag for one in gates.answered([1, 2], [])] == [2]
    assert left == [1], "what it was given is for others"
    gates.through([job(3)])
    gates.forget()
    assert gates.answered([], [(3, 0.0)]) == []


def test_no_more_is_taken_until_it_is_known_how_many_of_the_last_may_begin() -> None:
    gates = Gates({"t": TaskTraits(max_concurrency=1)})

    class Server:
        def settle(self, settlements: object) -> None: ...

        def claim(self, claims: object) -> None: ...

    gates.server = Server()  # type: ignore[assignment]
    assert gates.through([job(1), job(2), job(3)]) == []
    assert (gates.asking, gates.turned_away) == (3, 0)
    (begins,) = gates.answered([1], [])
    assert begins.delivery.tag == 1
    assert (gates.asking, gates.turned_away) == (0, 2)
    gates.through([job(4)])
    gates.forget()
    assert gates.asking == 0


# -- workers -------------------------------------------------------------------------------------------------------


class Fleetful:
    """An app whose limited task notes how many of it run at a time, by key."""

    def __init__(self, **options: object) -> None:
        url = f"memory://fleet-{next(_names)}"
        self.app = Skirret("fleet", broker=url, result_backend=url, set_as_current=False)
        self.lock = threading.Lock()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.ran: Counter[str] = Counter()
        self.at: list[float] = []

        @self.app.task(name="limited", **options)
        def limited(key: str = "k", seconds: float = 0.02) -> None:
            with self.lock:
                self.at.append(time.monotonic())
                self.now[key] += 1
                self.most[key] = max(self.most[key], self.now[key])
            time.sleep(seconds)
            with self.lock:
                self.now[key] -= 1
                self.ran[key] += 1

        @self.app.task(name="free")
        def free() -> None: ...

        self.limited, self.free = limited, free

    def inside(self, key: str) -> list[str]:
        return self.app.coordination.members(keys.slots(key))


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[Fleetful]:
    shop = Fleetful(**request.param)
    yield shop
    shop.app.close()


@pytest.mark.parametrize(
    "shop", [{"max_concurrency": 3}, {"max_concurrency": 3, "acks_late": False}], indirect=True, ids=["late", "early"]
)
def test_two_workers_never_run_more_than_the_fleet_may_and_other_tasks_go_on(shop: Fleetful) -> None:
    with worker(shop.app, pool="threads", slots=6), worker(shop.app, pool="threads", slots=6):
        results = shop.app.send_many([shop.limited.s() for _ in range(90)])
        began = time.monotonic()
        for result in shop.app.send_many([shop.free.s() for _ in range(50)]):
            result.get(timeout=10)
        quick = time.monotonic() - began
        for result in results:
            result.get(timeout=30)
        took = time.monotonic() - began
    assert shop.most["k"] == 3
    assert shop.ran["k"] == 90
    assert quick < took
    assert took >= 90 * 0.02 / 3
    assert shop.inside("limited") == []


@pytest.mark.parametrize(
    "shop", [{"max_concurrency": 1, "concurrency_key": "customer-{key}"}], indirect=True, ids=["format"]
)
def test_each_key_has_slots_of_its_own(shop: Fleetful) -> None:
    with worker(shop.app, pool="threads", slots=8):
        results = shop.app.send_many([shop.limited.s(key, 0.05) for key in "abc" for _ in range(4)])
        began = time.monotonic()
        for result in results:
            result.get(timeout=20)
        assert time.monotonic() - began < 12 * 0.05, "the keys waited for each other"
    assert shop.most == {"a": 1, "b": 1, "c": 1}
    assert shop.inside("customer-a") == []


@pytest.mark.parametrize("shop", [{"max_concurrency": 1}], indirect=True)
def test_a_task_that_fails_or_retries_frees_its_slot(shop: Fleetful) -> None:
    @shop.app.task(name="failing", bind=True, max_concurrency=1, max_retries=2)
    def failing(self) -> None:
        raise self.retry(countdown=0.01, exc=ValueError("no"))

    with worker(shop.app, pool="threads", slots=4):
        for result in [failing.delay() for _ in range(3)]:
            with pytest.raises(ValueError, match="no"):
                result.get(timeout=20)
    assert shop.inside("failing") == []


@pytest.mark.parametrize("shop", [{"rate_limit": "20/s", "rate_limit_scope": "fleet"}], indirect=True)
def test_a_rate_of_the_fleet_is_shared_by_its_workers(shop: Fleetful) -> None:
    with worker(shop.app, pool="threads", slots=4), worker(shop.app, pool="threads", slots=4):
        results = shop.app.send_many([shop.limited.s("k", 0.0) for _ in range(44)])
        for result in results:
            result.get(timeout=30)
    took = max(shop.at) - min(shop.at)
    assert 40 / 20 - 0.1 <= took < 6.0


@pytest.mark.parametrize("shop", [{"max_concurrency": 2}], indirect=True)
def test_the_slots_of_a_fenced_worker_become_free(shop: Fleetful, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(lease=0.5, beat=0.1)
    with worker(shop.app, pool="threads", slots=2, limits=limits) as supervisor:
        results = [shop.limited.delay("k", 0.3) for _ in range(2)]
        end = time.monotonic() + 5
        while shop.now["k"] < 2:
            assert time.monotonic() < end
            time.sleep(0.005)
        server = shop.app.broker._server
        with server.reach():
            server.beats.pop(supervisor.fetcher.cid)
            for message in server.held.pop(supervisor.fetcher.cid).values():
                server.put_back(message)
        for result in results:
            result.get(timeout=20)
        shop.limited.delay("k", 0.0).get(timeout=10)
    assert shop.inside("limited") == []


@pytest.mark.parametrize("shop", [{"max_concurrency": 1}], indirect=True)
def test_a_task_that_is_revoked_while_it_waits_for_a_slot_never_starts_and_leaves_none_taken(shop: Fleetful) -> None:
    with worker(shop.app, pool="threads", slots=3) as supervisor:
        first = shop.limited.delay("first", 0.5)
        end = time.monotonic() + 5
        while not shop.now["first"]:
            assert time.monotonic() < end
            time.sleep(0.002)
        second = shop.limited.delay("second", 0.0)
        while not supervisor.gates._claiming:
            assert time.monotonic() < end
            time.sleep(0.002)

        def drop() -> None:
            for one in supervisor.gates.withdraw(lambda job: job.head.id == second.id):
                supervisor.fetcher.settle([Ack(tag=one.delivery.tag)])

        supervisor.loop.call_from_thread(drop)
        first.get(timeout=5)
        shop.limited.delay("third", 0.0).get(timeout=5)
    assert shop.ran == {"first": 1, "third": 1}
    assert shop.inside("limited") == []


def test_a_key_is_carried_by_the_message_and_by_its_retry() -> None:
    url = f"memory://fleet-{uuid.uuid4().hex}"
    app = Skirret("fleet", broker=url, result_backend=url, set_as_current=False)

    @app.task(name="by", concurrency_key=lambda order, customer=0: f"customer-{customer}")
    def by(order: int, customer: int = 0) -> None: ...

    publication = app.publisher.prepare("by", (1,), {"customer": 7}, task=by)
    assert publication.envelope.headers["skirret"] == {"slots": "customer-7"}
    plain = app.publisher.prepare("by", (1,), {}, task=by, concurrency_key="{order}-{customer}")
    assert plain.envelope.headers["skirret"] == {"slots": "1-0"}
    with pytest.raises(ValueError, match=r"concurrency_key='\{nobody\}' of task 'by'.*no argument 'nobody'"):
        app.publisher.prepare("by", (1,), {}, task=by, concurrency_key="{nobody}")
    app.close()
