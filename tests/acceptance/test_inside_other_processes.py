"""Publishing and waiting inside processes that belong to others: web servers, forks, greenlets, several event loops.

Each test has a real worker on the embedded file; the process under test has sent and awaited a task before it forks.
"""

from __future__ import annotations

import socket
import sys
import textwrap
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.processes import run, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BIN = Path(sys.executable).parent

HOSTED = """
    import os, warnings
    warnings.simplefilter("ignore")
    from skirret import Skirret

    app = Skirret("hosted")

    @app.task
    def double(x):
        return 2 * x
"""

SITE = """
    import os
    from hosted import double

    PARENT = os.getpid()
    assert double.delay(1).get(timeout=30) == 2   # connections are open before any fork

    def application(environ, start_response):
        value = double.delay(int(environ["QUERY_STRING"])).get(timeout=30)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {PARENT} {value}".encode()]
"""


@pytest.fixture
def directory(tmp_path):
    """A project with a worker that serves it."""
    (tmp_path / "hosted.py").write_text(textwrap.dedent(HOSTED))
    (tmp_path / "site_.py").write_text(textwrap.dedent(SITE))
    with running("skirret -A hosted worker -c 2 -l INFO", tmp_path) as worker:
        worker.wait_until_it_says("ready")
        yield tmp_path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, number: int) -> tuple[int, int, int]:
    """(serving process, process that loaded the site, twice the number)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{number}", timeout=40) as answer:
        serving, loading, value = answer.read().decode().split()
    return int(serving), int(loading), int(value)


def wait_until_it_answers(port: int, server) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            assert ask(port, 1)[2] == 2
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, server.said()
            assert server.process.poll() is None, server.said()
            time.sleep(0.05)


SERVERS = {
    "gunicorn preloaded": "{bin}/gunicorn --preload -w 2 -b 127.0.0.1:{port} site_:application",
    "gunicorn with threads": "{bin}/gunicorn --preload -w 2 --threads 4 -b 127.0.0.1:{port} site_:application",
    "gunicorn with gevent": "{bin}/gunicorn -w 2 -k gevent -b 127.0.0.1:{port} site_:application",
    "uwsgi without threads": (
        "{bin}/uwsgi --http-socket 127.0.0.1:{port} --wsgi-file site_.py --master --processes 2 --need-app "
        "--die-on-term"
    ),
}


@pytest.mark.parametrize("server", SERVERS)
def test_each_process_of_a_web_server_publishes_and_waits(directory, server):
    port = free_port()
    with running(SERVERS[server].format(bin=BIN, port=port), directory, {"PYTHONPATH": str(directory)}) as program:
        wait_until_it_answers(port, program)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: (number, ask(port, number)), range(60)))
        assert [value for number, (_, _, value) in answers] == [2 * number for number, _ in answers]
        if "preloaded" in server or "uwsgi" in server:
            assert all(serving != loading for _, (serving, loading, _) in answers)


def in_directory(directory: Path, program: str, timeout: float = 60.0) -> str:
    """What a program of the project says, which must succeed."""
    (directory / "program.py").write_text(textwrap.dedent(program))
    status, said = run(f"{sys.executable} program.py", directory, timeout=timeout)
    assert status == 0, said
    return said.strip()


def test_greenlets_of_gevent_publish_and_wait_without_stopping_the_others(directory):
    said = in_directory(
        directory,
        """
        from gevent import monkey
        monkey.patch_all()
        import gevent
        from hosted import double

        ticks = 0
        def tick():
            global ticks
            while True:
                gevent.sleep(0.005)
                ticks += 1
        ticker = gevent.spawn(tick)
        jobs = [gevent.spawn(lambda n=n: double.apply_async((n,), countdown=0.5).get(timeout=30)) for n in range(40)]
        gevent.joinall(jobs, raise_error=True)
        assert [job.value for job in jobs] == [2 * n for n in range(40)]
        print("ticked", ticks >= 30)
        """,
    )
    assert said == "ticked True"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_publish_and_wait(directory, method):
    said = in_directory(
        directory,
        f"""
        import multiprocessing
        from hosted import double

        def work(n):
            return double.delay(n).get(timeout=30)

        if __name__ == "__main__":
            assert work(1) == 2
            with multiprocessing.get_context({method!r}).Pool(3) as pool:
                print(pool.map(work, range(30)) == [2 * n for n in range(30)], work(5))
        """,
    )
    assert said == "True 10"


def test_a_fork_in_the_middle_of_other_threads_publishing_and_waiting_harms_neither_side(directory):
    said = in_directory(
        directory,
        """
        import os, threading
        from hosted import double

        stop = threading.Event()
        failures = []
        def busy():
            n = 0
            while not stop.is_set():
                n += 1
                if double.delay(n).get(timeout=30) != 2 * n:
                    failures.append(n)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads: thread.start()
        codes = []
        for _ in range(12):
            child = os.fork()
            if child == 0:
                try:
                    ok = double.delay(21).get(timeout=20) == 42
                    os._exit(0 if ok else 3)
                except BaseException:
                    os._exit(4)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        for thread in threads: thread.join()
        print(codes, failures)
        """,
        timeout=90,
    )
    assert said == f"{[0] * 12} []"


def test_several_event_loops_at_once_and_one_after_another_publish_and_wait(directory):
    said = in_directory(
        directory,
        """
        import asyncio, threading
        from hosted import double

        async def many(base):
            results = await asyncio.gather(*(double.adelay(base + n) for n in range(50)))
            values = await asyncio.gather(*(result.aget(timeout=30) for result in results))
            return values == [2 * (base + n) for n in range(50)]

        print(asyncio.run(many(0)), asyncio.run(many(100)))
        answers = []
        def serve(base):
            answers.append(asyncio.run(many(base)))
        threads = [threading.Thread(target=serve, args=(base,)) for base in (1000, 2000, 3000)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(answers)
        """,
    )
    assert said.split("\n") == ["True True", "[True, True, True]"]


def test_a_thousand_concurrent_adelay_take_at_most_a_fifth_of_the_time_of_sequential_delay(directory):
    said = in_directory(
        directory,
        """
        import asyncio, time
        from hosted import double

        async def gathered():
            began = time.perf_counter()
            await asyncio.gather(*(double.adelay(n) for n in range(1000)))
            return time.perf_counter() - began

        def one_by_one():
            began = time.perf_counter()
            for n in range(1000):
                double.delay(n)
            return time.perf_counter() - began

        double.delay(0)
        asyncio.run(gathered())
        ratios = sorted(one_by_one() / asyncio.run(gathered()) for _ in range(3))
        print(ratios[1] >= 5, ratios)
        """,
    )
    assert said.startswith("True"), said


def test_publishing_starts_no_thread(directory):
    said = in_directory(
        directory,
        """
        import threading
        from hosted import app, double

        for n in range(5):
            double.delay(n)
        app.send_many([double.s(n) for n in range(5)])
        value = double.delay(4).get(timeout=30)
        print(value, [thread.name for thread in threading.enumerate()])
        """,
    )
    assert said == "8 ['MainThread']"
