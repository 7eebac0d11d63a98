"""User code: calls are checked against the task's function, and results have its type.

A line that ends in ``# error`` must be refused by mypy and by pyright; every other line must be accepted by both.
"""

from __future__ import annotations

from typing import Any, assert_type

from skirret import Skirret, Task, shared_task
from skirret.results import AsyncResult

app = Skirret("samples", broker="memory://typing")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task()
def shout(text: str, times: int = 1) -> str:
    return text.upper() * times


@app.task(bind=True, max_retries=3)
def halve(self: Task[..., Any], x: int) -> float:
    if x % 2:
        raise self.retry(countdown=1)
    return x / 2


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True)
async def afetch(self: Task[..., Any], url: str) -> bytes:
    return url.encode()


@shared_task
def shared(x: int) -> list[int]:
    return [x]


@shared_task(bind=True, autoretry_for=(ValueError,))
def shared_bound(self: Task[..., Any], x: int) -> list[int]:
    return [x]


def calls() -> None:
    assert_type(add.delay(1, 2), AsyncResult[int])
    assert_type(add.delay(1, 2).get(), int)
    assert_type(add.delay(1, y=2).get(timeout=10), int)
    assert_type(add(1, 2), int)
    assert_type(add.apply_async((1, 2), countdown=5).get(), int)
    assert_type(add.apply((1, 2)).get(), int)
    add.delay("x")  # error
    add.delay("x", 2)  # error
    add.delay(1)  # error
    add.delay(1, 2, 3)  # error
    add.delay(1, z=2)  # error
    add("x", 2)  # error
    wrong: str = add.delay(1, 2).get()  # error
    assert_type(shout.delay("a", times=2).get(), str)
    shout.delay(1)  # error
    print(wrong)


def bound_calls() -> None:
    assert_type(halve.delay(4).get(), float)
    assert_type(halve(4), float)
    halve.delay("x")  # error
    halve.delay(1, 2)  # error
    assert_type(shared.delay(1).get(), list[int])
    shared.delay("x")  # error
    assert_type(shared_bound.delay(1).get(), list[int])
    shared_bound.delay("x")  # error


async def awaited_calls() -> None:
    assert_type(await add.adelay(1, 2), AsyncResult[int])
    assert_type(await (await add.adelay(1, 2)).aget(), int)
    await add.adelay("x", 2)  # error
    assert_type(await fetch("a"), bytes)
    assert_type(fetch.delay("a").get(), bytes)
    assert_type(await (await fetch.aapply_async(("a",))).aget(), bytes)
    fetch.delay(1)  # error
    assert_type(afetch.delay("a").get(), bytes)
    afetch.delay(1)  # error
