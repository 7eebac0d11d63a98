"""Which child gets which job, how many are taken, and what a stuck child must give back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skirret import clock
from skirret.settings import Conf
from skirret.worker import dispatch
from skirret.worker.dispatch import Dispatcher
from skirret.worker.durations import Durations
from skirret.worker.rules import Rules
from tests.unit.worker.crew import Pair, job


class Time:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "monotonic", time)
    return time


@pytest.fixture
def pairs(time: Time) -> Iterator[list[Pair]]:
    pairs = [Pair(), Pair()]
    for number, pair in enumerate(pairs):
        pair.line.number = number
    yield pairs
    for pair in pairs:
        pair.close()


@pytest.fixture
def dispatcher(time: Time) -> Dispatcher:
    return Dispatcher(Durations())


def lines(pairs: list[Pair]) -> list:
    return [pair.line for pair in pairs]


def test_a_task_never_seen_is_given_to_a_free_slot_alone(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.add([job(n) for n in range(5)])
    dispatcher.assign(lines(pairs))
    assert [len(pair.line.outstanding) for pair in pairs] == [1, 1]
    assert len(dispatcher.pending) == 3


def test_small_tasks_travel_together_up_to_ten_milliseconds_of_work(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.learn("t", 0.001)
    dispatcher.add([job(n) for n in range(100)])
    dispatcher.assign(lines(pairs))
    for pair in pairs:
        assert 8 <= len(pair.line.outstanding) <= 10
    assert len(dispatcher.pending) >= 80


@pytest.mark.parametrize(
    "seconds, count, given",
    [(0.000003, 60, [60, 0]), (0.000003, 130, [66, 64]), (0.00025, 4, [2, 2]), (0.00025, 20, [10, 10])],
)
def test_who_is_emptiest_is_looked_for_after_half_a_millisecond_of_run_time_or_64_jobs(
    dispatcher: Dispatcher, pairs: list[Pair], seconds: float, count: int, given: list[int]
) -> None:
    dispatcher.learn("t", seconds)
    dispatcher.add([job(n) for n in range(count)])
    dispatcher.assign(lines(pairs))
    assert sorted((len(pair.line.outstanding) for pair in pairs), reverse=True) == given


def test_a_slow_task_waits_for_a_free_slot_and_gets_the_next_one(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.learn("quick", 0.0001)
    dispatcher.learn("slow", 3.0)
    dispatcher.add([*(job(n, "quick") for n in range(10)), job(10, "slow"), job(11, "quick")])
    dispatcher.assign(lines(pairs))
    assert [waiting.head.task for waiting in dispatcher.pending] == ["slow", "quick"]
    pairs[0].settle_all()
    dispatcher.assign(lines(pairs))
    assert [held.head.task for held in pairs[0].line.outstanding.values()] == ["slow"]
    assert "quick" in {held.head.task for held in pairs[1].line.outstanding.values()}


def test_nothing_is_sent_behind_a_slow_task(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.learn("slow", 3.0)
    dispatcher.learn("quick", 0.00001)
    dispatcher.add([job(1, "slow"), job(2, "slow")])
    dispatcher.assign(lines(pairs))
    dispatcher.add([job(3, "quick")])
    dispatcher.assign(lines(pairs))
    assert len(dispatcher.pending) == 1


def test_what_a_stuck_child_did_not_start_is_given_to_another(
    dispatcher: Dispatcher, pairs: list[Pair], time: Time
) -> None:
    dispatcher.learn("t", 0.0001)
    dispatcher.add([job(n) for n in range(40)])
    dispatcher.assign(lines(pairs))
    stuck, healthy = pairs
    stuck.link.next()
    held = len(healthy.line.outstanding)
    healthy.settle_all()
    time.now += dispatch.STALL + 0.001
    healthy.line.progress = time.now
    dispatcher.take_back(lines(pairs))
    assert len(stuck.line.outstanding) == 1
    dispatcher.assign(lines(pairs))
    assert len(healthy.line.outstanding) == 40 - 1 - held
    assert not dispatcher.pending


def test_a_stuck_child_gets_nothing_until_it_reports(dispatcher: Dispatcher, pairs: list[Pair], time: Time) -> None:
    dispatcher.learn("t", 0.0001)
    stuck = pairs[0]
    dispatcher.add([job(1)])
    dispatcher.assign([stuck.line])
    run = stuck.link.next()
    time.now += 1.0
    dispatcher.take_back([stuck.line])
    assert dispatcher.want([stuck.line]) == 0
    dispatcher.add([job(2)])
    dispatcher.assign([stuck.line])
    assert len(dispatcher.pending) == 1
    stuck.finish(run.seq)
    stuck.link.flush()
    stuck.line._read()
    dispatcher.assign([stuck.line])
    assert not dispatcher.pending


def test_a_child_that_had_started_nothing_may_be_given_work_again(
    dispatcher: Dispatcher, pairs: list[Pair], time: Time
) -> None:
    slow_to_wake = pairs[0].line
    dispatcher.learn("t", 0.0001)
    dispatcher.add([job(1), job(2)])
    dispatcher.assign([slow_to_wake])
    time.now += 1.0
    dispatcher.take_back([slow_to_wake])
    assert not slow_to_wake.outstanding
    assert dispatcher.want([slow_to_wake]) > 0
    dispatcher.assign([slow_to_wake])
    assert len(slow_to_wake.outstanding) == 2


def test_jobs_that_no_slot_takes_go_back_to_the_broker(dispatcher: Dispatcher, pairs: list[Pair], time: Time) -> None:
    for pair in pairs:
        pair.line.stalled = True
    dispatcher.add([job(1), job(2)])
    dispatcher.assign(lines(pairs))
    assert dispatcher.hopeless() == []
    time.now += dispatch.HOPELESS + 0.001
    assert [each.delivery.tag for each in dispatcher.hopeless()] == [1, 2]
    assert not dispatcher.pending


def test_taken_back_jobs_keep_their_order_and_go_first(dispatcher: Dispatcher) -> None:
    dispatcher.add([job(3), job(4)])
    dispatcher.put_back([job(1), job(2)])
    assert [each.delivery.tag for each in dispatcher.pending] == [1, 2, 3, 4]


def test_before_anything_is_known_only_free_slots_are_filled(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    assert dispatcher.want(lines(pairs)) == 2


def test_slow_tasks_are_never_taken_ahead(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.learn("t", 2.0)
    assert dispatcher.want(lines(pairs)) == 2
    dispatcher.add([job(1), job(2)])
    dispatcher.assign(lines(pairs))
    assert dispatcher.want(lines(pairs)) == 0


def test_small_tasks_are_taken_by_the_hundred(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.learn("t", 0.00001)
    assert dispatcher.want(lines(pairs)) >= 500


def test_one_slow_task_among_fast_ones_makes_takes_careful_at_once(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    dispatcher.learn("t", 0.00001)
    dispatcher.learn("slow", 5.0)
    assert dispatcher.want(lines(pairs)) == 2
    for _ in range(100):
        dispatcher.learn("t", 0.00001)
    assert dispatcher.want(lines(pairs)) >= 500


def test_a_suspect_runs_with_no_neighbour_in_its_child(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    pair = Pair(slots=4)
    dispatcher.learn("t", 0.0001)
    dispatcher.add([job(1), job(2, alone=True), job(3)])
    dispatcher.assign([pair.line])
    assert [held.delivery.tag for held in pair.line.outstanding.values()] == [2]
    assert not pair.line.accepts()
    dispatcher.assign([pair.line])
    assert len(pair.line.outstanding) == 1
    pair.settle_all()
    dispatcher.assign([pair.line])
    assert [held.delivery.tag for held in pair.line.outstanding.values()] == [1, 3]
    dispatcher.add([job(4, alone=True)])
    dispatcher.assign([pair.line])
    assert len(pair.line.outstanding) == 2
    assert dispatcher.suspects
    pair.close()


def test_of_those_that_may_end_the_whole_worker_one_runs_at_a_time(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    doubted = [job(n, alone=True, deliveries=3) for n in (1, 2)]
    dispatcher.add([*doubted, job(3, alone=True)])
    dispatcher.assign(lines(pairs))
    assert [len(pair.line.outstanding) for pair in pairs] == [1, 0]
    assert dispatcher.suspects[0] is doubted[1]
    dispatcher.add([job(4)])
    dispatcher.assign(lines(pairs))
    assert [len(pair.line.outstanding) for pair in pairs] == [1, 1], "others go on beside it"
    for pair in pairs:
        pair.settle_all()
    dispatcher.assign(lines(pairs))
    assert [each.delivery.tag for pair in pairs for each in pair.line.outstanding.values()] == [2, 3]


def test_an_early_acked_task_is_named_for_acknowledgement_and_not_sent(
    dispatcher: Dispatcher, pairs: list[Pair]
) -> None:
    dispatcher.learn("t", 0.0001)
    dispatcher.add([job(1, early=True), job(2, early=True), job(3, early=True)])
    named = dispatcher.assign(lines(pairs))
    assert [(line.number, each.delivery.tag) for line, each in named] == [(0, 1), (1, 2)]
    assert not any(pair.line.outstanding for pair in pairs)
    assert [each.delivery.tag for each in dispatcher.pending] == [3]


def test_a_nudge_asks_a_slow_child_for_what_it_has_finished(
    dispatcher: Dispatcher, pairs: list[Pair], time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    nudged: list[int] = []
    stuck = pairs[0].line
    monkeypatch.setattr(stuck, "nudge", lambda: nudged.append(1))
    dispatcher.learn("t", 0.0001)
    dispatcher.add([job(n) for n in range(5)])
    dispatcher.assign([stuck])
    pairs[0].link.next()
    pairs[0].link.next()  # the first is finished and unreported, the second runs
    time.now += 1
    dispatcher.take_back([stuck])
    assert nudged == [1]


def test_finished_work_counts_until_it_is_settled(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    line = pairs[0].line
    dispatcher.learn("t", 0.001)
    dispatcher.add([job(n) for n in range(100)])
    dispatcher.assign([line])
    held = list(line.outstanding)
    finished = [line.done(seq) for seq in held]
    dispatcher.assign([line])
    assert len(line.outstanding) <= 1, "ten milliseconds of work are finished and could still be lost"
    for each in finished[:5]:
        line.settled(each)
    dispatcher.assign([line])
    assert 4 <= len(line.outstanding) <= 6


def test_a_slow_task_begins_only_when_the_one_before_it_is_settled(dispatcher: Dispatcher, pairs: list[Pair]) -> None:
    line = pairs[0].line
    dispatcher.learn("slow", 2.0)
    dispatcher.add([job(1, "slow"), job(2, "slow")])
    dispatcher.assign([line])
    finished = line.done(next(iter(line.outstanding)))
    dispatcher.assign([line])
    assert not line.outstanding
    line.settled(finished)
    dispatcher.assign([line])
    assert len(line.outstanding) == 1


# -- what the settings say of prefetching --------------------------------------------------------------------------


@pytest.fixture
def wide(time: Time) -> Iterator[Pair]:
    pair = Pair(slots=10)
    yield pair
    pair.close()


@pytest.mark.parametrize("prefetch, idle, busy", [(None, 28, 18), (1, 10, 0), (2, 20, 10), (4, 28, 18)])
def test_a_multiplier_bounds_how_many_slow_tasks_are_taken(
    time: Time, wide: Pair, prefetch: int | None, idle: int, busy: int
) -> None:
    dispatcher = Dispatcher(Durations(), prefetch=prefetch)
    for _ in range(50):
        dispatcher.learn("t", 0.011)
    assert dispatcher.want([wide.line]) == idle
    dispatcher.add([job(n) for n in range(12)])
    dispatcher.assign([wide.line])
    assert len(wide.line.outstanding) == 10
    dispatcher.clear()
    assert dispatcher.want([wide.line]) == busy


def test_a_multiplier_leaves_small_tasks_alone(time: Time, pairs: list[Pair]) -> None:
    free, bound = Dispatcher(Durations()), Dispatcher(Durations(), prefetch=1)
    for dispatcher in (free, bound):
        for _ in range(50):
            dispatcher.learn("t", 0.0001)
    assert bound.want(lines(pairs)) == free.want(lines(pairs)) > 100
    bound.add([job(n) for n in range(20)])
    bound.assign(lines(pairs))
    assert len(bound.pending) == 0


def test_without_prefetching_nothing_is_taken_or_held_beyond_the_free_slots(time: Time, pairs: list[Pair]) -> None:
    dispatcher = Dispatcher(Durations(), lean=True)
    for _ in range(50):
        dispatcher.learn("t", 0.0001)
    assert dispatcher.want(lines(pairs)) == 2
    dispatcher.add([job(1)])
    assert dispatcher.want(lines(pairs)) == 1
    dispatcher.add([job(2), job(3)])
    dispatcher.assign(lines(pairs))
    assert [len(pair.line.outstanding) for pair in pairs] == [1, 1]
    assert len(dispatcher.pending) == 1
    assert dispatcher.want(lines(pairs)) == 0


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, (None, False)),
        ({"worker_prefetch_multiplier": 4}, (4, False)),
        ({"worker_prefetch_multiplier": 0}, (None, False)),
        ({"worker_disable_prefetch": True}, (None, True)),
    ],
)
def test_only_a_multiplier_that_somebody_set_is_a_bound(settings: dict, expected: tuple) -> None:
    conf = Conf()
    conf.update(settings)
    rules = Rules({}, Conf.from_plain(conf.plain()), stores_results=False)
    assert (rules.prefetch, rules.lean) == expected
