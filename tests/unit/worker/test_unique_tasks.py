"""A unique task is not sent again while a call with its key is under way, and can be as soon as that is over."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from skirret import Skirret
from skirret.coordination import keys
from skirret.errors import OperationalError, Reject
from skirret.testing.worker import worker

_names = itertools.count()


class Shop:
    """An app in memory whose task waits until the test lets it go."""

    def __init__(self) -> None:
        url = f"memory://unique-{next(_names)}"
        self.app = Skirret("unique", broker=url, result_backend=url, set_as_current=False)
        self.go = threading.Event()
        self.go.set()
        self.ran: list[Any] = []
        self.running = threading.Event()

    def task(self, **options: Any) -> Any:
        """A task with these options."""

        @self.app.task(name=f"t{next(_names)}", **options)
        def report(customer: int, month: str = "May", fail: bool = False) -> str:
            self.ran.append(customer)
            self.running.set()
            assert self.go.wait(10)
            if fail:
                raise ValueError("no report")
            return f"report {customer}"

        return report

    def ready(self) -> int:
        return self.app.broker.size("celery").ready

    def delayed(self) -> int:
        return self.app.broker.size("celery").delayed

    def key_of(self, task: Any, key: str) -> bytes | None:
        return self.app.coordination.get(keys.unique(f"{task.name}:{key}"))


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.app.close()


# -- sending -------------------------------------------------------------------------------------------------------


def test_a_second_call_with_the_same_arguments_is_not_sent_and_gives_the_first_ones_result(shop: Shop) -> None:
    task = shop.task(unique=True)
    first = task.delay(1)
    assert task.delay(1).id == first.id
    assert task.apply_async((), {"customer": 1, "month": "May"}).id == first.id, "by name, with the default said"
    assert task.delay(2).id != first.id
    assert shop.ready() == 2
    with worker(shop.app):
        assert task.delay(1).get(timeout=5) == "report 1"


async def test_coroutines_and_bulk_calls_are_unique_as_well(shop: Shop) -> None:
    task = shop.task(unique=True)
    first = await task.adelay(1)
    assert (await task.aapply_async((1,))).id == first.id
    many = shop.app.send_many([task.s(n) for n in (1, 2, 2, 3)])
    assert [one.id for one in many] == [first.id, many[1].id, many[1].id, many[3].id]
    assert shop.app.send_task(task.name, (3,)).id == many[3].id
    assert shop.ready() == 3


@pytest.mark.parametrize(
    "key",
    ["customer-{customer}", "customer-{0}", lambda customer, **_: f"customer-{customer}"],
    ids=["by name", "by place", "function"],
)
def test_the_key_is_a_format_or_a_function_of_the_arguments(shop: Shop, key: Any) -> None:
    task = shop.task(unique=key)
    first = task.delay(1, month="May")
    assert task.delay(1, month="June").id == first.id
    assert task.delay(2).id != first.id
    assert shop.key_of(task, "customer-1") == first.id.encode()


def test_calls_for_which_the_function_gives_no_key_are_all_sent(shop: Shop) -> None:
    task = shop.task(unique=lambda customer: None if customer == 0 else "k")
    assert task.delay(0).id != task.delay(0).id
    assert task.delay(1).id == task.delay(2).id
    assert shop.ready() == 3


def test_tasks_of_other_names_have_keys_of_their_own(shop: Shop) -> None:
    one, two = shop.task(unique="k"), shop.task(unique="k")
    assert one.delay(1).id != two.delay(1).id


def test_one_call_can_be_unique_and_one_can_be_excepted(shop: Shop) -> None:
    task, unique = shop.task(), shop.task(unique=True)
    first = task.apply_async((1,), unique="rush")
    assert task.apply_async((2,), unique="rush").id == first.id
    assert task.delay(1).id != first.id
    assert unique.delay(1).id != unique.apply_async((1,), unique=False).id
    by_name = shop.app.send_task("elsewhere", (1,), unique="{0}", unique_for=60)
    assert shop.app.send_task("elsewhere", (1,), unique="{0}").id == by_name.id


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"unique": "{nobody}"}, "no argument 'nobody'"),
        ({"unique": True, "unique_until": "later"}, "must be one of start, end, window"),
        ({"unique": True, "unique_until": "window"}, "needs unique_for"),
        ({"unique": True, "unique_for": 0}, "must be more than 0 seconds"),
        ({"unique": ""}, "not empty"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_the_call(shop: Shop, options: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        shop.task(**options).delay(1)
    assert shop.ready() == 0


def test_arguments_that_cannot_be_compared_are_refused_with_a_way_out(shop: Shop) -> None:
    with pytest.raises(ValueError, match=r"unique='order-\{order_id\}'"):
        shop.task(unique=True, serializer="pickle").delay(object())


def test_a_call_that_could_not_be_sent_leaves_its_key_free(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    task = shop.task(unique="k")

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr(shop.app.publisher, "send", refuse)
        calls: list[Callable[[], object]] = [lambda: task.delay(1), lambda: shop.app.send_many([task.s(1)])]
        for call in calls:
            with pytest.raises(OperationalError):
                call()
            assert shop.key_of(task, "k") is None
    task.delay(1)
    assert shop.ready() == 1


async def test_a_coroutines_call_that_could_not_be_sent_leaves_its_key_free(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = shop.task(unique="k")

    async def refuse(*_: object, **__: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(shop.app.publisher, "asend", refuse)
    with pytest.raises(OperationalError):
        await task.adelay(1)
    assert shop.key_of(task, "k") is None


def test_of_many_who_call_at_once_one_sends(shop: Shop) -> None:
    task = shop.task(unique=True)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(task.delay(1).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(set(ids)), shop.ready()) == (1, 1)


def test_a_task_without_keys_asks_no_server(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.app.clients, "_open_coordination", lambda: pytest.fail("it was opened"))
    task = shop.task()
    task.delay(1)
    shop.app.send_many([task.s(2)])
    assert shop.ready() == 2


# -- ending --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
@pytest.mark.parametrize("fail", [False, True], ids=["success", "failure"])
def test_a_call_is_unique_until_its_end_and_who_knows_the_result_can_call_again(
    shop: Shop, late: bool, fail: bool
) -> None:
    task = shop.task(unique="{customer}", acks_late=late)
    with worker(shop.app):
        for _ in range(10):
            shop.go.clear()
            shop.running.clear()
            first = task.delay(1, fail=fail)
            assert shop.running.wait(5)
            assert task.delay(1).id == first.id, "it runs still"
            shop.go.set()
            first.get(timeout=5, propagate=False)
            if late:  # with an early acknowledgement the key follows the result
                again = task.delay(1)
                assert again.id != first.id
                again.get(timeout=5)
            else:
                wait_until(lambda: shop.key_of(task, "1") is None)


def test_until_start_a_call_made_while_the_task_runs_is_sent(shop: Shop) -> None:
    task = shop.task(unique="{customer}", unique_until="start")
    first = task.delay(1)
    assert task.delay(1).id == first.id
    shop.go.clear()
    with worker(shop.app):
        assert shop.running.wait(5)
        second = task.delay(1)
        assert second.id != first.id
        assert task.delay(1).id == second.id
        shop.go.set()
        second.get(timeout=5)
    assert shop.ran == [1, 1]


def test_until_the_window_ends_no_run_gives_the_key_free(shop: Shop) -> None:
    task = shop.task(unique="k", unique_for=timedelta(seconds=0.5), unique_until="window")
    first = task.delay(1)
    assert "skirret" not in shop.app.broker.peek("celery")[0].raw.decode()
    with worker(shop.app):
        first.get(timeout=5)
        assert task.delay(1).id == first.id
        wait_until(lambda: shop.key_of(task, "k") is None)
        assert task.delay(1).id != first.id


def test_the_window_ends_also_for_a_call_that_never_runs(shop: Shop) -> None:
    task = shop.task(unique="k", unique_for=0.1)
    first = task.delay(1)
    wait_until(lambda: task.delay(1).id != first.id)


@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
def test_a_retry_keeps_the_key_and_its_end_gives_it_free(shop: Shop, late: bool) -> None:
    first_run = threading.Event()

    @shop.app.task(name="retried", bind=True, unique="k", acks_late=late)
    def retried(self) -> int:
        if self.request.retries == 0:
            first_run.set()
            raise self.retry(countdown=0.4)
        return self.request.retries

    with worker(shop.app):
        first = retried.delay()
        assert first_run.wait(5)
        wait_until(lambda: shop.delayed() == 1)
        assert retried.delay().id == first.id, "it waits for its retry"
        assert first.get(timeout=5) == 1
        wait_until(lambda: shop.key_of(retried, "k") is None)


def test_a_call_that_is_revoked_expired_or_a_dead_letter_gives_its_key_free(shop: Shop) -> None:
    task = shop.task(unique="{customer}")

    @shop.app.task(name="rejected", unique="k")
    def rejected() -> None:
        raise Reject("no")

    task.delay(1).revoke()
    task.apply_async((2,), expires=0.001)
    rejected.delay()
    wait_until(lambda: shop.ready() == 3)
    time.sleep(0.005)
    with worker(shop.app):
        wait_until(lambda: not any((shop.key_of(task, "1"), shop.key_of(task, "2"), shop.key_of(rejected, "k"))))
    assert shop.ran == []


def test_an_end_gives_free_only_what_is_its_own(shop: Shop) -> None:
    task = shop.task(unique="k", unique_for=0.1)
    shop.go.clear()
    with worker(shop.app):
        first = task.delay(1)
        assert shop.running.wait(5)
        wait_until(lambda: shop.key_of(task, "k") is None)
        second = task.apply_async((2,), unique_for=60, countdown=60)
        shop.go.set()
        first.get(timeout=5)
    assert task.delay(3).id == second.id


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not become true"
        time.sleep(0.005)
