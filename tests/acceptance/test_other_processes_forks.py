"""Publishing and waiting in processes that were forked or spawned while the app was in use in their parent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.neighbours import Neighbours, neighbourhood

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    with neighbourhood(tmp_path_factory.mktemp("forks")) as place:
        yield place


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_publishes_and_waits_in_pools_and_processes(place, method):
    program = """
        import asyncio, multiprocessing, sys
        from tasks import add

        def work(n):
            return add.delay(n, 1).get(timeout=20)

        async def both(n):
            return await (await add.adelay(n, 1)).aget(timeout=20)

        def alone(n, answers):
            answers.put((work(n), asyncio.run(both(n))))

        if __name__ == "__main__":
            assert work(0) == 1 and asyncio.run(both(0)) == 1  # everything is open, and threads of ours run
            context = multiprocessing.get_context(sys.argv[1])
            with context.Pool(3) as pool:
                assert pool.map(work, range(60), chunksize=4) == list(range(1, 61))
                assert work(1) == 2, "beside its children, the parent goes on"
            answers = context.SimpleQueue()
            children = [context.Process(target=alone, args=(n, answers)) for n in range(3)]
            for child in children:
                child.start()
            assert sorted(answers.get() for _ in children) == [(1, 1), (2, 2), (3, 3)]
            for child in children:
                child.join(20)
            assert [child.exitcode for child in children] == [0, 0, 0]
            assert work(2) == 3 and asyncio.run(both(2)) == 3
            print("done")
        """
    assert "done" in place.run(program, method).said


BUSY_PARENT = """
    import asyncio, os, signal, sys, threading, time, traceback
    from tasks import add

    stop = threading.Event()
    rounds, faults = [], []

    async def both(n):
        return await (await add.adelay(n, 1)).aget(timeout=15)

    async def busy_loop():
        while not stop.is_set():
            assert await asyncio.gather(*(both(n) for n in range(5))) == [1, 2, 3, 4, 5]
            rounds.append("loop")

    def busy_thread():
        while not stop.is_set():
            assert add.delay(1, 2).get(timeout=15) == 3
            rounds.append("thread")

    def guarded(work):
        try:
            work()
        except BaseException:
            faults.append(traceback.format_exc())

    def child(n):
        signal.alarm(20)  # whatever happens, it does not stay
        code = 1
        try:
            assert add.delay(n, 1).get(timeout=10) == n + 1
            assert asyncio.run(both(n)) == n + 1
            assert not stop.is_set() and threading.main_thread() is threading.current_thread()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    threads = [threading.Thread(target=guarded, args=(busy_thread,)) for _ in range(3)]
    threads.append(threading.Thread(target=guarded, args=(lambda: asyncio.run(busy_loop()),)))
    for thread in threads:
        thread.start()
    while {"loop", "thread"} - set(rounds):
        time.sleep(0.001)
    longest, pids = 0.0, []
    for n in range(25):
        before = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(n)
        longest = max(longest, time.monotonic() - before)
        pids.append(pid)
        if n % 5 == 4:
            assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 5
            pids.clear()
    seen = len(rounds)
    while len(rounds) < seen + 20 and not faults:
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    print("longest", longest)
    """


def test_a_fork_while_other_threads_publish_and_wait_harms_neither_parent_nor_child(place):
    ended = place.run(BUSY_PARENT)
    longest = float(ended.words("longest")[0])
    assert longest < 5, f"a fork waited {longest:.1f} s: for others' transactions it may, for their results not"


def test_a_fork_does_not_wait_for_a_result_that_another_thread_waits_for(place):
    program = """
        import os, threading, time
        from tasks import add, nap

        waiting = nap.delay(2)
        thread = threading.Thread(target=waiting.get, kwargs={"timeout": 20})
        thread.start()
        assert add.delay(1, 1).get(timeout=10) == 2  # led by the other thread, which therefore waits
        before = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if add.delay(2, 2).get(timeout=10) == 4 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        print("took", time.monotonic() - before, waiting.ready(), flush=True)
        pid = os.fork()
        if pid == 0:  # it has the parent's handle, and waits for itself
            os._exit(0 if waiting.get(timeout=10) == 2 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        thread.join()
        """
    took, was_ready = place.run(program).words("took")
    assert was_ready == "False"
    assert float(took) < 1.5


def test_grandchildren_publish_and_wait_as_well(place):
    program = """
        import os
        from tasks import add

        def generation(depth):
            assert add.delay(depth, 1).get(timeout=10) == depth + 1
            if depth == 4:
                return
            pid = os.fork()
            if pid == 0:
                try:
                    generation(depth + 1)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
            assert add.delay(depth, 2).get(timeout=10) == depth + 2

        generation(0)
        """
    place.run(program)
