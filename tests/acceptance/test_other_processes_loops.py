"""Publishing and waiting from many threads, greenlets and event loops of one process at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.neighbours import Neighbours, neighbourhood

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    with neighbourhood(tmp_path_factory.mktemp("loops")) as place:
        yield place


def test_thirty_two_threads_publish_and_wait(place):
    program = """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        from tasks import add

        def work(n):
            return add.delay(n, 1).get(timeout=20)

        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(work, range(320))) == list(range(1, 321))
        assert threading.enumerate() == [threading.main_thread()], "the waits were led by the callers"
        """
    place.run(program)


def test_two_hundred_greenlets_publish_and_wait_and_the_hub_runs_on(place):
    program = """
        from gevent import monkey
        monkey.patch_all()
        import gevent, os, time
        from tasks import add, nap

        gaps = []
        def tick():
            last = time.monotonic()
            while True:
                gevent.sleep(0.005)
                now = time.monotonic()
                gaps.append(now - last)
                last = now
        gevent.spawn(tick)

        def work(n):
            return add.delay(n, 1).get(timeout=20)

        crowd = [gevent.spawn(work, n) for n in range(200)]
        gevent.joinall(crowd, timeout=25)
        assert [one.value for one in crowd] == list(range(1, 201))
        assert len(gaps) > 5
        gaps.clear()
        assert nap.delay(1).get(timeout=20) == 1  # here the greenlet that waits is the one that leads
        print("ticks", len(gaps), max(gaps))

        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert gevent.spawn(work, 1).get(timeout=20) == 2
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert work(2) == 3
        """
    ticks, longest = place.run(program).words("ticks")
    assert int(ticks) > 40
    assert float(longest) < 0.5, "while a task runs for a second, nothing holds the hub"


def test_event_loops_in_several_threads_and_one_after_another_publish_and_wait(place):
    program = """
        import asyncio, threading, time, traceback
        from tasks import add, nap

        async def work(n):
            return await (await add.adelay(n, 1)).aget(timeout=20)

        async def many():
            ticks = 0
            async def tick():
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.001)
                    ticks += 1
            ticking = asyncio.ensure_future(tick())
            assert await asyncio.gather(*(work(n) for n in range(100))) == list(range(1, 101))
            assert await (await nap.adelay(0.5)).aget(timeout=20) == 0.5
            ticking.cancel()
            assert ticks > 40, "the loop went on while a task ran for half a second"

        async def impatient():
            slow = await nap.adelay(1)
            try:
                await asyncio.wait_for(slow.aget(), 0.05)
            except TimeoutError:
                pass
            else:
                raise AssertionError("it cannot have been done so soon")
            asyncio.ensure_future(slow.aget())  # still waits when its loop ends
            await asyncio.sleep(0.01)

        kept = []
        def abandoned():
            loop = asyncio.new_event_loop()
            slow = loop.run_until_complete(nap.adelay(0.3))
            kept.append(loop.create_task(slow.aget()))
            kept[-1]._log_destroy_pending = False
            loop.run_until_complete(asyncio.sleep(0.05))
            loop.close()  # and nobody told the coroutine
            async def other():
                return await slow.aget(timeout=20)
            assert asyncio.run(other()) == 0.3

        faults = []
        def loop(main):
            try:
                asyncio.run(main())
            except BaseException:
                faults.append(traceback.format_exc())

        both = [threading.Thread(target=loop, args=(many,)) for _ in range(2)]
        for thread in both: thread.start()
        for thread in both: thread.join()
        for main in (many, impatient, many, impatient, many):
            loop(main)
        abandoned()
        assert not faults, faults[0]
        assert add.delay(1, 1).get(timeout=20) == 2
        names = sorted(one.name for one in threading.enumerate())
        assert set(names) <= {"MainThread", "skirret-publisher", "skirret-results"}, names
        """
    place.run(program)


def test_threads_wait_beside_coroutines_for_the_same_results(place):
    program = """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        from tasks import add

        async def main():
            results = await asyncio.gather(*(add.adelay(n, 1) for n in range(100)))
            with ThreadPoolExecutor(8) as pool:
                loop = asyncio.get_running_loop()
                blocked = [loop.run_in_executor(pool, lambda one=one: one.get(timeout=20)) for one in results]
                awaited = [one.aget(timeout=20) for one in results]
                assert await asyncio.gather(*awaited) == await asyncio.gather(*blocked) == list(range(1, 101))
        asyncio.run(main())
        """
    place.run(program)


def test_a_thousand_concurrent_adelay_are_written_together(place):
    """What makes them fast; how much, `scripts/bench` measures: 5 times where a write waits for a disk."""
    program = """
        import asyncio
        from tasks import add, app

        writes = []
        kind = type(app.broker)
        publish = kind.publish

        def counted(self, publications):
            writes.append(len(publications))
            publish(self, publications)

        kind.publish = counted

        async def concurrent(n):
            results = await asyncio.gather(*(add.adelay(i, 1) for i in range(n)))
            assert len({one.id for one in results}) == n

        for i in range(20):
            add.delay(i, 1)
        print("single", len(writes))
        writes.clear()
        asyncio.run(concurrent(1000))
        print("messages", sum(writes))
        print("writes", len(writes))
        """
    ended = place.run(program)
    print(ended.said)
    assert int(ended.words("single")[0]) == 20
    assert int(ended.words("messages")[0]) == 1000
    assert int(ended.words("writes")[0]) <= 100
