"""Publishing and waiting inside web servers: apps imported and used before the server forks, many requests at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.neighbours import Neighbours, WebServer, neighbourhood

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

WEB = """
import asyncio, os, threading
from tasks import add

MASTER = os.getpid()
assert add.delay(1, 1).get(timeout=10) == 2  # opens all connections, and where servers preload, before they fork

async def both(n):
    result = await add.adelay(n, 1)
    return await result.aget(timeout=10)

def application(environ, start_response):
    n = int(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/async":
        # Not asyncio.run, which puts a handler of its own in the place of uWSGI's for SIGINT, and not back.
        loop = asyncio.new_event_loop()
        value = loop.run_until_complete(both(n))
        loop.close()
    else:
        value = add.delay(n, 1).get(timeout=10)
    words = [os.getpid(), MASTER, value, *(one.name for one in threading.enumerate() if "skirret" in one.name)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(map(str, words)).encode()]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    with neighbourhood(tmp_path_factory.mktemp("servers")) as place:
        place.write("web.py", WEB)
        yield place


def workers_that_answer(server: WebServer, path: str = "/", requests: int = 96) -> set[int]:
    """Ask many times, from 8 threads at once; every answer must be right. The processes that answered."""

    def ask(n: int) -> tuple[list[str], int]:
        return server.ask(f"{path}?{n}"), n

    workers = set()
    with ThreadPoolExecutor(8) as crowd:
        for (pid, master, value, *threads), n in crowd.map(ask, range(requests)):
            assert int(value) == n + 1
            assert path == "/async" or not threads, "a sync request needs no thread of ours"
            assert pid != master, "it was forked after the import"
            workers.add(int(pid))
    return workers


def test_gunicorn_with_preload_publishes_and_waits_in_each_forked_worker(place):
    with place.server(
        "gunicorn --no-control-socket --preload -w 3 -b 127.0.0.1:0 web:application", "Booting worker"
    ) as server:
        first = workers_that_answer(server)
        assert len(first) > 1, first
        # A worker that dies is forked anew by the master, which is not as fresh as it was.
        os.kill(min(first), signal.SIGKILL)
        deadline = time.monotonic() + 15
        while not workers_that_answer(server, requests=24) - first:
            assert time.monotonic() < deadline, server.program.said()
        workers_that_answer(server, "/async", requests=48)


@pytest.mark.parametrize("kind", ["-k gthread --threads 8", "-k gevent"])
def test_gunicorns_workers_of_many_requests_publish_and_wait_in_all_of_them_at_once(place, kind):
    with place.server(
        f"gunicorn --no-control-socket --preload {kind} -w 2 -b 127.0.0.1:0 web:application", "Booting worker"
    ) as server:
        workers_that_answer(server, requests=160)
        if "gevent" not in kind:  # there, one event loop at a time has the thread
            workers_that_answer(server, "/async", requests=32)


def test_uwsgi_which_forks_in_c_publishes_and_waits_without_threads(place):
    command = "uwsgi --http-socket 127.0.0.1:0 --master --processes 2 --wsgi-file web.py --die-on-term --no-orphans"
    with place.server(command, "spawned uWSGI worker 2") as server:
        print(*(line for line in server.program.said().splitlines() if "threads support" in line))
        first = workers_that_answer(server)
        assert len(first) > 1, first
        os.kill(min(first), signal.SIGKILL)
        deadline = time.monotonic() + 15
        while not workers_that_answer(server, requests=24) - first:
            assert time.monotonic() < deadline, server.program.said()
        # Without --enable-threads, ours run during requests, and that is when they are needed.
        workers_that_answer(server, "/async", requests=48)
