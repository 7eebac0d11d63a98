"""Processes that publish end promptly, whatever they were doing, and what they published is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.acceptance.neighbours import Neighbours, neighbourhood

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

PROMPTLY = 2.0
"""Seconds. Threads of ours that nobody needs end after 10 s by themselves, so a process that waited for one shows."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    with neighbourhood(tmp_path_factory.mktemp("ends")) as place:
        yield place


def test_a_process_that_only_publishes_has_no_thread_of_ours_and_ends_promptly(place):
    program = """
        import threading, time
        from tasks import add, app

        results = [add.delay(1, 2), add.apply_async((3, 4), countdown=0.01), app.send_task("tasks.add", (5, 6))]
        results += app.send_many([add.s(7, 8), add.s(9, 10)])
        assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
        print("sent", *(one.id for one in results))
        print("end", time.monotonic())
        """
    ended = place.run(program)
    assert ended.seconds_since("end") < PROMPTLY
    assert place.results(ended.words("sent")) == [3, 7, 11, 15, 19]


def test_a_process_whose_coroutines_published_and_waited_ends_promptly(place):
    program = """
        import asyncio, threading, time
        from tasks import add, nap

        async def main():
            results = await asyncio.gather(*(add.adelay(n, 1) for n in range(20)))
            assert [await one.aget(timeout=20) for one in results] == list(range(1, 21))
            slow = await nap.adelay(1)
            slow.then(print)
            asyncio.ensure_future(slow.aget())
            return results
        results = asyncio.run(main())
        ours = [one for one in threading.enumerate() if one is not threading.main_thread()]
        assert ours and all(one.daemon for one in ours), ours
        print("end", time.monotonic())
        """
    assert place.run(program).seconds_since("end") < PROMPTLY


def test_what_is_published_when_the_interpreter_ends_is_there(place):
    program = """
        import asyncio, atexit, threading, time

        def last():  # registered before any handler of ours could be, so it runs after them
            result = add.delay(1, 2)
            assert result.get(timeout=10) == 3
            print("last", result.id, flush=True)
            print("end", time.monotonic(), flush=True)
        atexit.register(last)

        from tasks import add, nap
        add.delay(0, 0).get(timeout=10)

        def first():
            print("first", add.delay(3, 4).id, flush=True)
        atexit.register(first)

        def outlives():  # the interpreter waits for it before it calls the handlers
            main.join()
            print("thread", add.delay(5, 6).id, flush=True)
        main = threading.main_thread()
        threading.Thread(target=outlives).start()
        """
    ended = place.run(program)
    assert ended.seconds_since("end") < PROMPTLY
    ids = [ended.words(label)[0] for label in ("last", "first", "thread")]
    assert place.results(ids) == [3, 7, 11]


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3),
    reason="Python 3.12.0 to 3.12.2 start no thread at their end (python/cpython#113964), and this wait needs one",
)
def test_coroutines_publish_and_wait_when_the_interpreter_ends(place):
    program = """
        import asyncio, atexit, time
        from tasks import add

        async def work():
            return await (await add.adelay(1, 2)).aget(timeout=10)

        @atexit.register
        def last():
            assert asyncio.run(work()) == 3
            print("end", time.monotonic(), flush=True)
        """
    assert place.run(program).seconds_since("end") < PROMPTLY


def test_where_no_thread_can_be_started_coroutines_publish_all_the_same(place):
    program = """
        import asyncio, threading, time
        from tasks import add

        start = threading.Thread.start
        def refuse(thread):
            if thread.name.startswith("skirret"):
                raise RuntimeError("can't start new thread")
            start(thread)
        threading.Thread.start = refuse

        async def publish():
            return [one.id for one in await asyncio.gather(*(add.adelay(n, 1) for n in range(3)))]

        async def wait(task_id):
            return await add.AsyncResult(task_id).aget(timeout=10)

        ids = asyncio.run(publish())
        for _ in range(2):  # and nobody is left to wait for ever
            try:
                asyncio.run(wait(ids[0]))
            except RuntimeError as exc:
                assert "can't start new thread" in str(exc)
            else:
                raise AssertionError("who led that wait?")
        assert add.AsyncResult(ids[0]).get(timeout=10) == 1
        threading.Thread.start = start
        assert asyncio.run(wait(ids[1])) == 2
        ids += asyncio.run(publish())
        print("sent", *ids)
        """
    assert place.results(place.run(program).words("sent")) == [1, 2, 3, 1, 2, 3]


def test_a_process_ends_promptly_while_daemon_threads_publish_and_wait(place):
    program = """
        import asyncio, threading, time
        from tasks import add, nap

        rounds = []
        def busy():
            while True:
                add.delay(1, 1).get(timeout=20)
                rounds.append(1)
        async def loop():
            while True:
                await (await add.adelay(1, 1)).aget(timeout=20)
                rounds.append(1)
        threads = [threading.Thread(target=busy, daemon=True) for _ in range(3)]
        threads.append(threading.Thread(target=asyncio.run, args=(loop(),), daemon=True))
        threads.append(threading.Thread(target=nap.delay(1).get, daemon=True))
        for thread in threads:
            thread.start()
        while len(rounds) < 30:
            time.sleep(0.001)
        print("end", time.monotonic(), flush=True)
        """
    for _ in range(3):
        assert place.run(program).seconds_since("end") < PROMPTLY


def test_a_publish_amid_the_ruins_of_the_interpreter_does_not_hang(place):
    program = """
        import sys, time
        from tasks import add

        class Late:
            def __del__(self):  # called as the modules are torn down: it may fail, and it may not hang
                try:
                    add.delay(1, 1)
                except Exception as exc:
                    print("refused", type(exc).__name__, flush=True)

        add.delay(1, 1).get(timeout=10)
        sys.late = Late()
        print("end", time.monotonic(), flush=True)
        """
    assert place.run(program).seconds_since("end") < PROMPTLY
