"""Rate limits of one worker: even, exact, and nobody's hindrance."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from skirret import Skirret
from skirret.errors import ImproperlyConfigured
from skirret.outcome import Defer
from skirret.testing.worker import worker
from skirret.worker.gates import Gates
from skirret.worker.manifest import TaskTraits
from skirret.worker.rates import HORIZON, RELOOK, RateGate, per_second
from tests.unit.worker.crew import job

_names = itertools.count()


# -- what a rate is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit, rate",
    [("10/s", 10.0), ("30/m", 0.5), ("36/h", 0.01), ("0.5/s", 0.5), ("10", 10.0), (10, 10.0), (2.5, 2.5),
     (" 6/m ", 0.1), (None, 0.0), ("", 0.0), (0, 0.0), ("0", 0.0), ("0/m", 0.0)],
)  # fmt: skip
def test_a_rate_is_read_as_celery_reads_it(limit: object, rate: float) -> None:
    assert per_second(limit) == pytest.approx(rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", ["often", "10/d", "/s", "-1/s", -1, "nan", "inf", True, "10/s/m", []])
def test_what_is_no_rate_is_refused_with_an_example(limit: object) -> None:
    with pytest.raises(ValueError, match="10/s"):
        per_second(limit)  # type: ignore[arg-type]


def test_a_worker_whose_task_has_a_senseless_rate_does_not_start_and_names_the_task() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"rate_limit of task 'mail': 'often' is no rate"):
        Gates({"mail": TaskTraits(rate_limit="often")})


# -- the gate, on a clock of paper ---------------------------------------------------------------------------------


def play(
    count: int, rate: float, *, gates: int = 1, late: Callable[[int], float] = lambda _: 0.0, looks: int = 20
) -> list[float]:
    """When `count` messages begin that are all there at once; each comes back when it was told, or `late`."""
    doors = [RateGate(rate) for _ in range(gates)]
    waiting = [(0.0, number) for number in range(count)]
    began: list[float] = []
    seen = itertools.count()
    while waiting:
        now, number = heapq.heappop(waiting)
        look = next(seen)
        assert look < looks * count, "a backlog is looked at too often"
        moment = doors[look % gates].ask(now)
        if moment == 0.0:
            began.append(now)
        else:
            assert moment > now
            heapq.heappush(waiting, (moment + late(look), number))
    return began


@pytest.mark.parametrize("count, rate", [(50, 10.0), (1000, 10.0), (3000, 1000.0), (30, 0.1), (3, 1 / 360)])
def test_a_backlog_begins_evenly_and_takes_as_long_as_its_rate_says(count: int, rate: float) -> None:
    began = play(count, rate, looks=150)
    assert began[-1] == pytest.approx((count - 1) / rate, rel=0.02, abs=0.1)
    assert all(later - earlier >= 0.95 / rate - 0.005 for earlier, later in itertools.pairwise(began))


def test_a_long_backlog_is_looked_at_a_few_times_a_message_only() -> None:
    play(1000, 10.0, looks=5)


def test_messages_that_come_back_late_and_in_another_order_lose_no_turns() -> None:
    began = play(300, 10.0, late=lambda look: 0.013 * (look % 8))
    assert began[-1] == pytest.approx(29.9, rel=0.03)


def test_a_broker_whose_clock_is_seconds_behind_slows_nothing_down() -> None:
    assert play(300, 10.0, late=lambda _: 3.0)[-1] < 29.9 * 1.15


def test_after_a_pause_no_more_than_a_second_of_turns_is_made_up_for() -> None:
    gate = RateGate(10.0)
    for _ in range(100):
        gate.ask(0.0)
    began = sum(gate.ask(60.0) == 0.0 for _ in range(100))
    assert began <= 10


def test_workers_that_take_each_others_messages_each_keep_their_rate() -> None:
    began = play(400, 10.0, gates=2, late=lambda look: 0.01 * (look % 3))
    assert 19.0 < began[-1] < 24.0


def test_a_turn_that_is_given_back_is_used_by_the_next_one() -> None:
    gate = RateGate(1.0)
    assert gate.ask(100.0) == 0.0
    gate.give_back(100.0)
    assert gate.ask(100.0) == 0.0
    assert gate.ask(100.0) == pytest.approx(101.0)


def test_who_gets_no_turn_looks_in_again_soon_so_that_a_new_rate_is_felt() -> None:
    gate = RateGate(1 / 360)
    gate.ask(0.0)
    moments = [gate.ask(0.0) for _ in range(20)]
    assert all(RELOOK <= moment <= RELOOK + 2.0 for moment in moments)
    assert RELOOK < HORIZON


# -- the gates of a worker -----------------------------------------------------------------------------------------


class Server:
    def __init__(self) -> None:
        self.settled: list[Defer] = []

    def settle(self, settlements: list[Defer]) -> None:
        self.settled += settlements


def test_what_is_over_its_rate_goes_back_uncounted_and_the_rest_goes_on() -> None:
    gates = Gates({"t": TaskTraits(rate_limit="10/s"), "other": TaskTraits()})
    gates.server = server = Server()
    passed = gates.through([job(1), job(2), job(3, "other"), job(4)])
    assert [one.delivery.tag for one in passed] == [1, 3]
    assert [(one.tag, one.counted) for one in server.settled] == [(2, "no"), (4, "no")]
    assert [one.due - time.time() for one in server.settled] == pytest.approx([0.1, 0.2], abs=0.05)
    assert gates.turned_away == 2


def test_a_rate_changes_while_the_worker_runs_and_ends_with_nothing() -> None:
    tasks = {"t": TaskTraits(), "other": TaskTraits()}
    gates = Gates(tasks)
    gates.server = server = Server()
    assert not gates
    gates.change_rate("t", "1/h")
    assert gates
    assert gates.rate_of("t") == tasks["t"].rate_limit == "1/h"
    assert len(gates.through([job(n) for n in range(5)])) == 1
    gates.change_rate("t", 0)
    assert (bool(gates), gates.rate_of("t"), len(server.settled)) == (False, None, 4)
    with pytest.raises(KeyError):
        gates.change_rate("unknown", "1/s")
    with pytest.raises(ValueError, match="no rate"):
        gates.change_rate("t", "often")


def test_rate_limits_can_be_left_aside() -> None:
    gates = Gates({"t": TaskTraits(rate_limit="1/h")}, enabled=False)
    assert not gates
    gates.change_rate("t", "1/m")
    assert not gates


# -- a worker with a broker ----------------------------------------------------------------------------------------


class Shop:
    """An app in memory that notes when its tasks begin."""

    def __init__(self, **settings: object) -> None:
        url = f"memory://rates-{next(_names)}"
        self.app = Skirret("rates", broker=url, result_backend=url, set_as_current=False, **settings)
        self.began: dict[str, list[float]] = {"limited": [], "free": []}
        self.lock = threading.Lock()
        self.limited = self.app.task(name="limited", rate_limit="20/s")(self._noting("limited"))
        self.free = self.app.task(name="free")(self._noting("free"))

    def _noting(self, name: str) -> Callable[[], None]:
        def run() -> None:
            with self.lock:
                self.began[name].append(time.monotonic())

        return run

    def until(self, name: str, count: int, seconds: float = 20.0) -> float:
        """Wait until so many began; seconds from the first to the last of them."""
        end = time.monotonic() + seconds
        while len(self.began[name]) < count:
            assert time.monotonic() < end, f"{len(self.began[name])} of {count} {name} tasks began"
            time.sleep(0.005)
        return self.began[name][count - 1] - self.began[name][0]


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.app.close()


def test_a_rate_holds_while_other_tasks_of_the_queue_run_at_full_speed(shop: Shop) -> None:
    shop.app.send_many([shop.limited.s() for _ in range(400)] + [shop.free.s() for _ in range(300)])
    with worker(shop.app) as supervisor:
        began = time.monotonic()
        shop.until("free", 300)
        assert time.monotonic() - began < 5.0
        so_far = len(shop.began["limited"])
        assert so_far <= 20 * (time.monotonic() - began) + 3, "they did not wait"
        took = shop.until("limited", 31)
        assert 1.5 - 0.1 <= took < 4.0
        assert len(supervisor.dispatcher.pending) <= 2, "who waits, waits in the broker"
        assert shop.app.broker.size("celery").delayed > 300


def test_a_new_rate_is_felt_by_those_that_wait(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skirret.worker.rates.RELOOK", 0.5)
    shop.limited.rate_limit = "1/h"
    shop.app.send_many([shop.limited.s() for _ in range(30)])
    with worker(shop.app) as supervisor:
        shop.until("limited", 1)
        end = time.monotonic() + 5
        while shop.app.broker.size("celery").delayed < 29:
            assert time.monotonic() < end
            time.sleep(0.005)
        supervisor.loop.call_from_thread(lambda: supervisor.gates.change_rate("limited", "100/s"))
        shop.until("limited", 30)


def test_the_default_rate_of_the_settings_limits_each_kind_of_task() -> None:
    shop = Shop(task_default_rate_limit="10/s")
    shop.app.send_many([shop.free.s() for _ in range(11)])
    with worker(shop.app):
        assert shop.until("free", 11) >= 0.9
    shop.app.close()


def test_a_limited_task_that_found_no_free_slot_begins_when_there_is_one(shop: Shop) -> None:
    let_go = threading.Event()
    busy = shop.app.task(name="busy")(lambda: let_go.wait(10) and None)
    with worker(shop.app):
        busy.delay()
        results = shop.app.send_many([shop.limited.s() for _ in range(3)])
        time.sleep(0.3)
        assert shop.began["limited"] == []
        let_go.set()
        for result in results:
            result.get(timeout=5)
