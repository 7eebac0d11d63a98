"""Children are replaced by fresh ones without a task being lost or run twice, and killed when they grow too large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.errors import WorkerLostError
from tests.acceptance.faulty import Project, wait_until, worker_children

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="overtime_app")
    yield project
    project.app.close()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_child_runs_so_many_tasks_and_no_more_and_each_task_runs_once(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 2 --max-tasks-per-child 20") as program:
        results = project.send_many("sleep", list(range(300)), 0.0)
        for result in results:
            result.get(timeout=60)
        assert set(project.count("start").values()) == {1}
        runs = Counter(pid for said, _, pid, _ in project.lines() if said == "start")
        assert max(runs.values()) <= 22, "a tenth more than was asked at most"
        assert len(runs) >= 14
        most = 2 if pool == "prefork" else 1
        wait_until(lambda: len(worker_children(program.pid)[1]) == most)
        assert "processes died within" not in program.said(), "a child that did its part is no disaster"


def test_a_child_is_never_given_a_second_task_where_one_is_its_part(project: Project) -> None:
    with project.worker("-c 2 --max-tasks-per-child 1"):
        results = project.send_many("sleep", list(range(20)), 0.0)
        for result in results:
            result.get(timeout=60)
    runs = Counter(pid for said, _, pid, _ in project.lines() if said == "start")
    assert set(runs.values()) == {1}
    assert len(runs) == 20


def test_a_child_that_has_grown_is_replaced_once_its_task_is_done(project: Project) -> None:
    with project.worker("-c 1 --max-memory-per-child 150000") as program:
        first = project.send("where").get(timeout=20)
        assert project.send("grow", 8).get(timeout=20) == first, "that was not too much"
        assert project.send("grow", 200, 0.2).get(timeout=20) == first, "it finished its task"
        wait_until(lambda: first not in worker_children(program.pid)[1])
        assert project.send("where").get(timeout=20) != first
    assert set(project.count("start").values()) == {1}


def test_a_child_over_its_cap_is_killed_while_it_runs_and_its_task_counts_as_crashed(project: Project) -> None:
    with project.worker("-c 1 --memory-cap-per-child 150000") as program:
        greedy = project.send("grow", 200, 30.0)
        with pytest.raises(WorkerLostError, match="had grown to"):
            greedy.get(timeout=40)
        assert project.send("empty").get(timeout=20) is None
        assert "over worker_memory_cap_per_child" in program.said()
    assert [dead.task_id for dead in project.app.broker.dead()] == [greedy.id]
    assert project.count("start")["200"] == 3
