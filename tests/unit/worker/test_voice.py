"""What running tasks say of themselves: their progress, that they live, and where that goes."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import pytest

import skirret
from skirret import Skirret
from skirret.app.progress import ProgressBoard
from skirret.request import Context
from skirret.testing.worker import worker
from skirret.worker.job import Stall


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture(params=["solo", "threads", "asyncio"])
def pool(request: pytest.FixtureRequest) -> str:
    return request.param


def serve(app: Skirret, pool: str):
    return worker(app, pool=pool, slots=1 if pool == "solo" else 4)


def eventually(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not become true"
        time.sleep(0.005)


def test_progress_is_the_state_of_a_running_task(app, pool):
    go = threading.Event()

    @app.task(bind=True)
    def copy(self):
        self.progress(1, 4, file="a")
        self.progress(3, 4, file="b")
        go.wait(10)
        return "copied"

    with serve(app, pool):
        result = copy.delay()
        eventually(lambda: result.state == "PROGRESS" and result.info["current"] == 3)
        assert result.info == {"current": 3, "total": 4, "percent": 75.0, "file": "b"}
        go.set()
        assert result.get(timeout=5) == "copied"
        time.sleep(0.3)  # longer than the pause after which steps are stored
        assert result.state == "SUCCESS"


def test_functions_without_self_speak_for_the_task_that_runs(app):
    go = threading.Event()

    @app.task
    def copy():
        skirret.progress(5)
        skirret.heartbeat()
        go.wait(10)

    skirret.progress(1, 2)  # outside of tasks it is nobody's
    skirret.heartbeat()
    copy()
    with serve(app, "threads"):
        result = copy.delay()
        eventually(lambda: result.state == "PROGRESS")
        assert result.info == {"current": 5, "total": None, "percent": None}
        go.set()
        result.get(timeout=5)


def test_a_million_steps_are_few_writes():
    stored, app, request = [], Skirret("p", broker="memory://x", set_as_current=False), Context(id="1", task="t")
    board = ProgressBoard(stored.append, pause=0.05)
    for done in range(100_000):
        board.say(app, request, {"current": done})
    eventually(lambda: b"99999" in stored[-1].payload)
    assert len(stored) < 100
    board.forget("1")
    count = len(stored)
    eventually(lambda: not board._watching)
    assert len(stored) == count


def test_nothing_that_a_finished_run_said_is_stored_after_its_end():
    stored, app, request = [], Skirret("p", broker="memory://x", set_as_current=False), Context(id="1", task="t")
    board = ProgressBoard(stored.append, pause=0.05)
    board.say(app, request, {"current": 1})
    board.say(app, request, {"current": 2})
    board.forget("1")
    eventually(lambda: not board._watching)
    assert len(stored) == 1


def test_a_custom_state_and_its_meta_can_be_read_at_once(app, pool):
    go, seen = threading.Event(), threading.Event()

    @app.task(bind=True)
    def compress(self):
        self.update_state(state="COMPRESSING", meta={"ratio": 0.5})
        seen.set()
        go.wait(10)

    with serve(app, pool):
        result = compress.delay()
        assert seen.wait(10)
        assert (result.state, result.info) == ("COMPRESSING", {"ratio": 0.5})
        go.set()
        result.get(timeout=5)


def test_a_stall_is_over_only_after_silence():
    stall = Stall(1.0)
    assert not stall.over(7, now=100.0)
    assert not stall.over(7, now=100.9)
    assert not stall.over(8, now=101.5)
    assert not stall.over(8, now=102.4)
    assert stall.over(8, now=102.5)


def test_a_task_that_gives_no_heartbeat_ends_as_by_its_hard_limit_and_one_that_does_goes_on(app, tmp_path):
    """In the board's terms; ``tests/acceptance`` shows it on real processes."""
    beats = []

    @app.task(bind=True, stall_limit=5)
    def lively(self):
        for _ in range(3):
            self.heartbeat()
        beats.append(1)

    with serve(app, "threads") as supervisor:
        lively.delay().get(timeout=5)
        (child,) = supervisor.pool.children
        counts = [int.from_bytes(child.board._page[64 + n * 64 + 24 : 64 + n * 64 + 32], "little") for n in range(4)]
    assert sorted(counts) == [0, 0, 0, 3]
