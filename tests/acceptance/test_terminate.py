"""Terminating tasks by a signal, on real workers: what the task does with it, and what is left afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from skirret.worker.condemned import CLEAN_UP
from tests.acceptance.faulty import is_alive
from tests.acceptance.test_control import PATIENCE, Project, is_revoked, project_at, until

pytestmark = pytest.mark.timeout(120)

MARGIN = 5.0
"""Seconds that a busy machine may need beside the promised ones."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_at(tmp_path_factory.mktemp("terminate")) as project, project.worker("-c 1"):
        yield project


def begun(project: Project, name: str) -> list[int]:
    """The process that runs the task of that name, and those that it has started."""
    found = until(lambda: [line.split() for line in project.ledger() if line.startswith(f"begin {name} ")])
    assert len(found) == 1
    return [int(word) for word in found[0][2:]]


def told_of(project: Project, name: str) -> list[str]:
    return [line.split()[0] for line in project.ledger() if line.split()[1] == name]


@pytest.mark.parametrize("word, number", [(None, signal.SIGTERM), ("INT", signal.SIGINT), ("USR2", signal.SIGUSR2)])
def test_a_tasks_own_handler_of_the_signal_cleans_up_and_the_task_is_revoked_for_good(project, word, number):
    name = f"careful-{number.name}"
    doomed = project.tasks.careful.delay(name, int(number))
    (child,) = begun(project, name)
    doomed.revoke(terminate=True, signal=word, wait=True, timeout=PATIENCE)
    is_revoked(doomed, "terminated")
    assert project.tasks.mark.delay("after").get(timeout=PATIENCE) == "after"
    until(lambda: not is_alive(child))
    assert told_of(project, name) == ["begin", "heard", "cleaned"]


def test_hooks_of_the_process_are_run_to_their_end_after_a_task_that_took_its_handler_away_again(project):
    doomed = project.tasks.tidy.delay("tidy")
    (child,) = begun(project, "tidy")
    doomed.revoke(terminate=True, wait=True, timeout=PATIENCE)
    is_revoked(doomed, "terminated")
    until(lambda: not is_alive(child))
    assert told_of(project, "tidy") == ["begin", "leaving", "left"]


@pytest.mark.parametrize("word", [None, "INT", "QUIT", "HUP", "KILL", "USR2"])
def test_a_task_without_a_handler_dies_of_the_signal_and_so_does_what_it_started(project, word):
    name = f"program-{word}"
    doomed = project.tasks.waits_for_a_program.delay(name)
    child, program = begun(project, name)
    start = time.monotonic()
    doomed.revoke(terminate=True, signal=word, wait=True, timeout=PATIENCE)
    is_revoked(doomed, "terminated")
    until(lambda: not (is_alive(child) or is_alive(program)), MARGIN)
    assert time.monotonic() - start < MARGIN
    assert project.tasks.mark.delay("after").get(timeout=PATIENCE) == "after"
    assert told_of(project, name) == ["begin"]


@pytest.mark.parametrize("kind", ["stubborn", "computes"])
def test_what_does_not_end_by_the_signal_is_killed_in_time_and_holds_nothing_up(project, kind):
    if kind == "stubborn":
        doomed = project.tasks.careful.delay(kind, int(signal.SIGTERM), stubborn=True)
    else:
        doomed = project.tasks.computes.delay(kind)
    (child,) = begun(project, kind)
    doomed.revoke(terminate=True, wait=True, timeout=PATIENCE)
    is_revoked(doomed, "terminated")
    assert project.tasks.mark.delay("meanwhile").get(timeout=PATIENCE) == "meanwhile"
    until(lambda: not is_alive(child), CLEAN_UP + MARGIN)
    assert told_of(project, kind) == (["begin", "heard"] if kind == "stubborn" else ["begin"])


def test_a_signal_that_the_supervisor_did_not_mean_ends_no_child(project):
    result = project.tasks.nap.delay("steady", 1.0)
    until(lambda: "begin steady" in project.ledger())
    child = project.tasks.app.control.inspect().stats()["w1@h"]["pool"]["processes"][0]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        os.kill(child, number)
    assert result.get(timeout=PATIENCE) == "steady"
    assert is_alive(child)
    assert told_of(project, "steady") == ["begin", "end"]


@pytest.mark.parametrize("pool", ["threads", "asyncio", "gevent", "eventlet"])
@pytest.mark.parametrize("word", [None, "INT"])
def test_a_child_with_one_slot_of_another_pool_dies_of_the_signal_too(tmp_path, pool, word):
    with project_at(tmp_path) as project, project.worker(f"-P {pool} -c 1"):
        doomed = (project.tasks.anap if pool == "asyncio" else project.tasks.nap).delay("doomed", 60.0)
        until(lambda: "begin doomed" in project.ledger())
        child = project.app.control.inspect().stats()["w1@h"]["pool"]["processes"][0]
        doomed.revoke(terminate=True, signal=word, wait=True, timeout=PATIENCE)
        is_revoked(doomed, "terminated")
        until(lambda: not is_alive(child), CLEAN_UP - 1.0)
        assert project.tasks.mark.delay("after").get(timeout=PATIENCE) == "after"
        assert told_of(project, "doomed") == ["begin"]
