"""Coroutines wait without blocking their loop and without a thread each."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from skirret.errors import BackendError, TimeoutError  # noqa: A004  ours
from skirret.results import GroupResult, denied_join_result, room
from tests.unit.results.stage import Thread, soon, until


async def test_awaiting_a_result_gives_its_value(stage):
    asyncio.get_running_loop().call_later(0.01, stage.succeed, "a", 4)
    assert await stage.result("a") == 4
    assert await stage.result("a").aget(timeout=5) == 4


async def test_two_thousand_coroutines_wait_with_one_thread_and_few_calls(stage):
    threads = threading.active_count()
    waiting = [asyncio.ensure_future(stage.result(str(n)).aget(timeout=30)) for n in range(2000)]
    inside = stage.reader.room()
    await soon(lambda: inside._watched is not None and len(inside._watched) == 2000)
    assert threading.active_count() == threads + 1
    assert stage.backend.waits < 50
    for n in range(2000):
        stage.succeed(str(n), n)
    assert await asyncio.gather(*waiting) == list(range(2000))
    assert stage.backend.most_at_once == 1
    assert stage.backend.waits < 1000
    assert inside._by_id == {}
    assert inside._detached == set()


async def test_the_loop_runs_on_while_a_result_is_awaited(stage):
    ticks = 0
    waiting = asyncio.ensure_future(stage.result("a").aget())
    while ticks < 5:
        await asyncio.sleep(0.001)
        ticks += 1
    stage.succeed("a", 1)
    assert await waiting == 1


async def test_awaiting_raises_what_get_raises(stage):
    stage.fail("a", ValueError("bad"), traceback="remote lines")
    with pytest.raises(ValueError, match="bad") as caught:
        await stage.result("a")
    assert "remote lines" in caught.value.__notes__[0]
    with pytest.raises(TimeoutError, match="b was not ready"):
        await stage.result("b").aget(timeout=0.01)
    with pytest.raises(TimeoutError):
        await stage.result("b").aget(timeout=0)
    with pytest.raises(TimeoutError):
        await stage.reader.await_("b", 0.01)
    with denied_join_result(), pytest.raises(RuntimeError):
        await stage.result("a")
    assert stage.reader.room()._by_id == {}


async def test_a_cancelled_await_leaves_nothing_behind(stage, monkeypatch):
    monkeypatch.setattr(room, "IDLE", 0.05)
    waiting = [asyncio.ensure_future(stage.result("a").aget()) for _ in range(3)]
    inside = stage.reader.room()
    await soon(lambda: inside._watched == {"a"})
    for task in waiting:
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, return_exceptions=True)
    )
    assert (inside._by_id, inside._detached) == ({}, set())
    await soon(lambda: inside._thread is None)  # and the idle thread ends
    stage.succeed("a", 1)
    assert await stage.result("a") == 1  # a new one begins


async def test_an_error_of_the_store_reaches_every_coroutine(stage):
    waiting = [asyncio.ensure_future(stage.result(name).aget()) for name in "ab"]
    await soon(lambda: stage.reader.room()._watched == {"a", "b"})
    stage.backend.break_down()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [BackendError, BackendError]
    stage.backend.broken = None
    stage.succeed("a", 1)
    assert await stage.result("a").aget(timeout=5) == 1


async def test_on_interval_and_on_message_work_for_coroutines(stage):
    seen, calls = [], []

    def on_interval():
        calls.append(1)
        if len(calls) == 2:
            stage.store("a", "STARTED")
        if len(seen) == 1:
            stage.succeed("a", 2)

    assert (
        await stage.result("a").aget(timeout=10, interval=0.002, on_message=seen.append, on_interval=on_interval) == 2
    )
    assert [meta["status"] for meta in seen] == ["STARTED", "SUCCESS"]


async def test_looking_has_awaitable_twins(stage):
    result = stage.result("a")
    assert (await result.astate(), await result.aready(), await result.aexists()) == ("PENDING", False, False)
    stage.succeed("a", 1)
    assert (await result.aready(), await result.aexists(), (await result.ameta()).result) == (True, True, 1)
    await result.aforget()
    assert not await result.aexists()
    await result.arevoke()
    assert stage.revoked[0][0] == "a"


async def test_a_group_can_be_awaited(stage):
    group = GroupResult("g", [stage.result("a"), GroupResult("h", [stage.result("b")])])
    stage.succeed("b", 2)
    asyncio.get_running_loop().call_later(0.01, stage.succeed, "a", 1)
    assert await group == [1, [2]]
    with pytest.raises(TimeoutError, match="c was not ready"):
        await GroupResult("g", [stage.result("a"), stage.result("c")]).aget(timeout=0.01)


async def test_a_failed_parent_ends_an_await(stage):
    stage.fail("p", ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        await stage.result("a", parent=stage.result("p")).aget(timeout=10)


def test_several_loops_in_one_process_share_the_one_call(stage):
    def run(number):
        async def main():
            return await asyncio.gather(*(stage.result(f"{number}-{n}").aget(timeout=30) for n in range(50)))

        return asyncio.run(main())

    loops = [Thread(run, number) for number in range(4)]
    blocked = [Thread(stage.reader.wait, f"thread-{n}", 30) for n in range(4)]
    names = [f"{number}-{n}" for number in range(4) for n in range(50)]
    stage.somebody_waits(*names, *(f"thread-{n}" for n in range(4)))
    for name in names:
        stage.succeed(name, name)
    assert [loop.outcome() for loop in loops] == [[f"{k}-{n}" for n in range(50)] for k in range(4)]
    for n in range(4):
        stage.succeed(f"thread-{n}", n)
    assert [thread.outcome().result for thread in blocked] == [0, 1, 2, 3]
    assert stage.backend.most_at_once == 1


def test_a_closed_loop_is_forgotten_and_disturbs_nobody(stage):
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(stage.result("a").aget())
    loop.run_until_complete(asyncio.sleep(0.001))
    stage.somebody_waits("a")
    loop.close()
    waiting = Thread(stage.reader.wait, "b", 30)
    stage.somebody_waits("b")
    stage.succeed("a", 1)
    stage.succeed("b", 2)
    assert waiting.outcome().result == 2
    until(lambda: stage.reader.room()._by_id == {})
    abandoned._log_destroy_pending = False
    del abandoned
    gc.collect()


def test_a_thread_takes_over_as_soon_as_the_last_coroutine_is_gone(stage, monkeypatch):
    monkeypatch.setattr(room, "LONGEST", 60.0)

    async def main():
        waiting = asyncio.ensure_future(stage.result("a").aget())
        await soon(lambda: stage.reader.room()._watched == {"a"})
        blocked.append(Thread(stage.reader.wait, "b", 30))
        await soon(lambda: stage.reader.room()._watched == {"a", "b"})
        waiting.cancel()

    blocked = []
    asyncio.run(main())
    until(lambda: stage.reader.room()._leader in stage.reader.room()._by_id.get("b", ()))
    stage.succeed("b", 2)
    assert blocked[0].outcome().result == 2


def test_coroutines_are_served_while_a_thread_leads(stage):
    blocked = Thread(stage.reader.wait, "b", 30)
    stage.somebody_waits("b")

    async def main():
        asyncio.get_running_loop().call_later(0.01, stage.succeed, "a", 1)
        return await stage.result("a").aget(timeout=10)

    assert asyncio.run(main()) == 1
    stage.succeed("b", 2)
    assert blocked.outcome().result == 2
