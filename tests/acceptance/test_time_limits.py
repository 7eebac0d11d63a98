"""Time limits on every pool: what runs too long is told so, then ended, and its neighbours are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from tests.acceptance.faulty import Project, wait_until, worker_children

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

POOLS = ["prefork", "threads", "asyncio"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="overtime_app")
    yield project
    project.app.close()


def moment(project: Project, word: str, key: str) -> float:
    """When the ledger's line was written."""
    wait_until(lambda: project.count(word)[key])
    return next(float(at) for said, about, _, at in project.lines() if (said, about) == (word, key))


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_that_blocks_is_failed_and_ended_at_its_hard_limit_and_its_neighbours_finish(
    project: Project, pool: str
) -> None:
    with project.worker(f"-P {pool} -c 2") as program:
        neighbour = project.send("sleep", "neighbour", 3.0)
        moment(project, "start", "neighbour")
        blocking = {
            name: project.send(name, name, time_limit=1.0)
            for name in (["sleep", "asleep"] if pool == "asyncio" else ["sleep"])
        }
        for name, result in blocking.items():
            with pytest.raises(TimeLimitExceeded):
                result.get(timeout=20)
            took = time.monotonic() - moment(project, "start", name)
            assert 0.9 < took < 2.0 + 1.0, "a second of grace for the machine that runs this test"
        assert neighbour.get(timeout=20) == "neighbour"
        assert project.send("where").get(timeout=20) in worker_children(program.pid)[1]
        assert "Hard time limit (1s) exceeded for overtime_app.sleep" in program.said()
    assert project.count("start")["neighbour"] == 1, "it ran once and was not disturbed"
    assert project.size().held == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_that_holds_the_interpreter_in_c_is_killed_within_a_second_of_its_hard_limit(
    project: Project, pool: str
) -> None:
    with project.worker(f"-P {pool} -c 2") as program:
        _, before = worker_children(program.pid)
        holder = project.send("hold", "holder", time_limit=1.0)
        with pytest.raises(TimeLimitExceeded):
            holder.get(timeout=20)
        began = moment(project, "start", "holder")
        gone = {pid for said, _, pid, _ in project.lines() if said == "start"}
        wait_until(lambda: not gone & {str(pid) for pid in worker_children(program.pid)[1]})
        assert time.monotonic() - began < 1.0 + 1.0 + 1.0, "a second of grace for the machine that runs this test"
        assert project.send("where").get(timeout=20) not in gone
        assert len(before) == len(worker_children(program.pid)[1])


def test_a_coroutine_that_blocks_its_loop_is_ended_at_its_hard_limit(project: Project) -> None:
    with project.worker("-P asyncio -c 4"):
        blocked = project.send("block", "blocked", time_limit=1.0)
        moment(project, "start", "blocked")
        with pytest.raises(TimeLimitExceeded):
            blocked.get(timeout=20)
        project.send("empty").get(timeout=20)


@pytest.mark.parametrize("pool", [*POOLS, "solo"])
def test_a_soft_limit_raises_inside_the_task_which_may_clean_up(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 2") as program:
        for name in ("cleans_up", "acleans_up"):
            assert project.send(name, name, soft_time_limit=0.5).get(timeout=20) == "in time"
            took = moment(project, "cleaned", name) - moment(project, "start", name)
            assert 0.4 < took < 0.5 + 1.5, "from the line in the ledger, which came a little after the start"
            assert f"Soft time limit (0.5s) exceeded for overtime_app.{name}" in program.said()
        with pytest.raises(SoftTimeLimitExceeded):
            project.send("asleep", "through", soft_time_limit=0.3).get(timeout=20)
        assert project.send("sleep", "next", 0.01).get(timeout=20) == "next"


@pytest.mark.parametrize("name", ["sleep", "block"])
def test_a_soft_limit_ends_one_blocking_call_where_the_task_owns_the_main_thread(project: Project, name: str) -> None:
    pool = "prefork" if name == "sleep" else "asyncio"
    with project.worker(f"-P {pool} -c 1"), pytest.raises(SoftTimeLimitExceeded):
        project.send(name, name, soft_time_limit=0.5).get(timeout=20)


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_that_does_not_heed_its_soft_limit_is_ended_at_the_hard_one(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 2 --soft-time-limit 0.3 --time-limit 1"), pytest.raises(TimeLimitExceeded):
        project.send("goes_on", "stubborn").get(timeout=20)
    assert project.count("warned")["stubborn"] == 1


def test_the_limit_of_the_task_itself_counts_where_the_call_names_none(project: Project) -> None:
    with project.worker("-c 1"), pytest.raises(TimeLimitExceeded) as seen:
        project.send("own", "limited").get(timeout=20)
    assert seen.value.args[0] == 0.5


def test_hooks_and_error_callbacks_of_a_task_over_its_hard_limit_are_told(project: Project) -> None:
    with project.worker("-c 1"):
        result = project.send("watched", "w", time_limit=0.3, link_error=project.app.signature("overtime_app.told"))
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=20)
        moment(project, "told", f"{result.id}:TimeLimitExceeded")
        moment(project, "on_failure", "w:TimeLimitExceeded")
        moment(project, "after_return", "w:FAILURE")
    assert project.count("start")["w"] == 1


def test_solo_says_once_that_it_cannot_enforce_hard_limits(project: Project) -> None:
    with project.worker("-P solo") as program:
        for key in ("a", "b"):
            assert project.send("sleep", key, 0.5, time_limit=0.1).get(timeout=20) == key
        assert program.said().count("The pool solo cannot stop a task that runs too long") == 1
