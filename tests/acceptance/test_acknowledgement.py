"""What becomes of a failed run's message: a real worker does what each cell of the documents' table says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.worker.acknowledgement import Failure, Fate, fate
from tests.acceptance.faulty import Project, wait_until
from tools.pages import POLICIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOW = {
    Failure.EXCEPTION: ("raises", {}),
    Failure.SOFT_LIMIT: ("sleeps", {"soft_time_limit": 0.2}),
    Failure.HARD_LIMIT: ("sleeps", {"time_limit": 0.2}),
    Failure.CHILD_KILLED: ("dies", {}),
}
"""The task that ends so, and the options of its call."""

CRASHES = 2
"""Deaths at which a task is a dead letter, here."""

SEEN = {  # starts, dead letter
    Fate.FAIL: (1, False),
    Fate.DEAD: (1, True),
    Fate.AGAIN: (CRASHES, True),
    Fate.RETRY: (2, False),
}
"""What shows each fate, where the task ends so every time."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="acks_app")
    root = str(Path(__file__).parents[2])
    project.env |= {"PYTHONPATH": root, "SKIRRET_WORKER_CRASH_LIMIT": str(CRASHES), "SKIRRET_WORKER_LEASE": "1"}
    yield project
    project.app.close()


@pytest.mark.parametrize("failure", HOW, ids=lambda failure: failure.name.lower())
def test_a_run_that_fails_here_meets_the_fate_that_the_table_says(project: Project, failure: Failure) -> None:
    name, options = HOW[failure]
    with project.worker("-c 4"):
        results = {policy: project.send(f"{name}{number}", number, **options) for number, policy in enumerate(POLICIES)}
        for result in results.values():
            wait_until(lambda result=result: result.state == "FAILURE", 60)
        wait_until(lambda: project.size().held == 0)
    starts = project.count("start")
    dead = {letter.task_id for letter in project.app.broker.dead()}
    seen = {policy: (starts[str(number)], results[policy].id in dead) for number, policy in enumerate(POLICIES)}
    assert seen == {policy: SEEN[fate(failure, traits)] for policy, traits in POLICIES.items()}


@pytest.mark.parametrize("failure", [Failure.WORKER_KILLED, Failure.INTERRUPTED], ids=lambda it: it.name.lower())
def test_a_run_whose_worker_ends_meets_the_fate_that_the_table_says(project: Project, failure: Failure) -> None:
    with project.worker(f"-c {len(POLICIES)}") as program:
        results = [project.send(f"sleeps{number}", number) for number in range(len(POLICIES))]
        wait_until(lambda: len(project.count("start")) == len(POLICIES), 40)
        if failure is Failure.WORKER_KILLED:
            program.process.kill()
            program.process.wait()
        else:
            assert program.stop(signal.SIGQUIT) == 0
    expected = [fate(failure, traits) for traits in POLICIES.values()]
    failed = [result.state == "FAILURE" for result in results]
    assert failed == [one is Fate.FAIL for one in expected]
    again = sum(one in {Fate.AGAIN, Fate.RELEASE} for one in expected)
    with project.worker(f"-c {len(POLICIES)}") as program:
        wait_until(lambda: sum(project.count("start").values()) == len(POLICIES) + again, 40)
        assert project.size().ready == 0
        program.process.kill()
    starts = project.count("start")
    assert [starts[str(number)] - 1 for number in range(len(POLICIES))] == [
        int(one in {Fate.AGAIN, Fate.RELEASE}) for one in expected
    ]


@pytest.mark.parametrize("blow", ["SIGTERM", "SIGKILL"])
def test_a_run_that_is_revoked_and_terminated_meets_the_fate_that_the_table_says(project: Project, blow: str) -> None:
    with project.worker(f"-c {len(POLICIES)}") as program:
        results = [project.send(f"sleeps{number}", number) for number in range(len(POLICIES))]
        wait_until(lambda: len(project.count("start")) == len(POLICIES), 40)
        project.app.control.revoke([result.id for result in results], terminate=True, signal=blow)
        for result in results:
            wait_until(lambda result=result: result.ready(), 60)
        wait_until(lambda: project.size().held == 0)
        assert program.stop() == 0
    assert [result.state for result in results] == ["REVOKED"] * len(POLICIES)
    assert {fate(Failure.TERMINATED, traits) for traits in POLICIES.values()} == {Fate.REVOKE}
    with project.worker() as program:  # what had come back would run, or be dropped, before this
        project.send("empty").get(timeout=40)
        assert program.stop() == 0
    assert project.count("start") == {str(number): 1 for number in range(len(POLICIES))}
    assert (project.size().ready, project.size().held, list(project.app.broker.dead())) == (0, 0, [])
