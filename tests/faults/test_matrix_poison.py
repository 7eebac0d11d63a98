"""Rows F20 to F22: tasks that want all memory, end their process or more, or leave processes behind.

Each poison is a dead letter after three deaths (ten, where it ends the template that all children come from), its
neighbours succeed, and none of them is a dead letter.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.errors import TimeLimitExceeded, WorkerLostError
from tests.acceptance.faulty import children_of, is_alive, wait_until, worker_children
from tests.acceptance.load import figures
from tests.acceptance.processes import SKIRRET, Program, running
from tests.faults.matrix import Matrix
from tests.servers.cgroups import limited, members

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NEIGHBOURS = [
    pytest.param(100, id="some"),
    pytest.param(1000, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
]

MEMORY = 200 << 20
HOG = 400
"""Megabytes that are wanted where 200 are allowed."""

PROCESSES = 200


@contextlib.contextmanager
def worker_within(matrix: Matrix, group: Path, options: str) -> Iterator[Program]:
    """A worker in a control group."""
    command = f"echo $$ > {group}/cgroup.procs && exec {SKIRRET} -A matrix_app worker -l INFO {options}"
    with running(f"sh -c {shlex.quote(command)}", matrix.directory, matrix.env) as program:
        program.wait_until_it_says("ready")
        yield program
        if program.process.poll() is None:
            program.end()


def assert_only_dead(matrix: Matrix, *task_ids: str) -> None:
    """These are the dead letters, and nothing else is left."""
    dead = matrix.app.broker.dead()
    assert sorted(letter.task_id for letter in dead) == sorted(task_ids)
    matrix.app.broker.drop_dead([letter.key for letter in dead])
    assert set(matrix.left_over()) <= {b"skirret:dead:celery"}, "which is empty now"


# -- F20: out of memory


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_f20_children_that_want_too_much_memory_are_killed_and_their_tasks_run_again(matrix: Matrix) -> None:
    """By the kernel, in a control group of 200 MiB, 20 times; in the end one that never fits."""
    with limited("memory", MEMORY) as group:
        if group is None:
            pytest.skip("no control group can be made here, so nothing was killed for its memory")
        with worker_within(matrix, group, "-c 2") as worker:
            for n in range(20):
                began = time.monotonic()
                result = send_hog(matrix, f"hog-{n}", True)
                wait_until(lambda n=n: matrix.count("start")[f"hog-{n}"] == 2, 30.0)
                assert result.get(timeout=20)
                time.sleep(max(0.0, began + 2.1 - time.monotonic()))
            poison = send_hog(matrix, "poison", False)
            others = matrix.send_many("work", [f"other-{n}" for n in range(1000)], 0.002)
            with pytest.raises(WorkerLostError):
                poison.get(timeout=60)
            for other in others:
                other.get(timeout=60)
            assert worker.stop() == 0
    starts = matrix.count("start")
    assert {starts[f"hog-{n}"] for n in range(20)} == {2}
    assert starts["poison"] == 3
    assert {starts[f"other-{n}"] for n in range(1000)} == {1}
    print(figures("F20: a child was killed by the kernel for its memory, its task ran again", reruns(matrix)))
    assert_only_dead(matrix, poison.id)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_f20_a_supervisor_that_is_killed_for_memory_loses_nothing(matrix: Matrix) -> None:
    """The kernel is told to choose the supervisor when a child wants too much."""
    with limited("memory", MEMORY) as group:
        if group is None:
            pytest.skip("no control group can be made here, so nothing was killed for its memory")
        with worker_within(matrix, group, "-c 2") as worker:
            template, children = worker_children(worker.pid)
            Path(f"/proc/{worker.pid}/oom_score_adj").write_text("1000")
            result = send_hog(matrix, "hog", True)
            assert worker.wait(30) == -signal.SIGKILL
            killed = time.monotonic()
            took = wait_until(lambda: not any(map(is_alive, (template, *children))), 2.0)
        with matrix.worker("-c 2") as heir:
            assert result.get(timeout=30)
            again = time.monotonic() - killed
            assert heir.stop() == 0
    print(f"F20: children gone {took:.3f} s after their supervisor, the task done again after {again:.3f} s")
    assert again <= 35.0
    assert matrix.count("start")["hog"] == 2
    assert matrix.left_over() == []


def send_hog(matrix: Matrix, key: str, once: bool):
    return matrix.app.send_task("matrix_app.hog", (key, HOG), {"once": once})


def reruns(matrix: Matrix) -> list[float]:
    """Seconds between the first and the second start of each task that began twice."""
    starts: dict[str, list[float]] = defaultdict(list)
    for word, key, _, at in matrix.lines():
        if word == "start":
            starts[key].append(float(at))
    return [found[1] - found[0] for found in starts.values() if len(found) == 2]


# -- F21: poison


@pytest.mark.parametrize("count", NEIGHBOURS)
def test_f21_poison_is_a_dead_letter_and_its_neighbours_succeed(matrix: Matrix, count: int) -> None:
    kinds = ("segv", "exit 0", "overflow", "close everything")
    with matrix.worker("-c 4") as worker:
        others = matrix.send_many("work", [f"before-{n}" for n in range(count // 2)], 0.002)
        poisons = [matrix.app.send_task("matrix_app.poison", (kind.replace(" ", "-"), kind)) for kind in kinds]
        others += matrix.send_many("work", [f"after-{n}" for n in range(count // 2)], 0.002)
        for poison in poisons:
            with pytest.raises(WorkerLostError):
                poison.get(timeout=120)
        for other in others:
            other.get(timeout=60)
        assert worker.stop() == 0
    starts = matrix.count("start")
    print(
        f"F21: starts of each poison {[starts[kind.replace(' ', '-')] for kind in kinds]}, {count} neighbours succeeded"
    )
    assert {starts[kind.replace(" ", "-")] for kind in kinds} == {3}
    assert max(starts.values()) <= 3
    assert_only_dead(matrix, *(poison.id for poison in poisons))


def test_f21_a_task_that_exits_politely_has_failed_and_harms_nobody(matrix: Matrix) -> None:
    with matrix.worker("-c 1") as worker:
        result = matrix.app.send_task("matrix_app.poison", ("sys.exit", "sys.exit"))
        result.get(timeout=20, propagate=False)
        assert matrix.send("work", "after", 0.001).get(timeout=20)
        assert worker.stop() == 0
    assert matrix.count("start") == {"sys.exit": 1, "after": 1}
    assert_only_dead(matrix)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["kill the parent", "kill everybody"])
def test_f21_a_task_that_kills_what_all_children_come_from_ends_too(matrix: Matrix, kind: str) -> None:
    """In a process namespace of its own, where everybody is the worker. A slow neighbour ends well beside it."""
    command = f"unshare -p -f --mount-proc --kill-child {SKIRRET} -A matrix_app worker -l INFO -c 2"
    with running(command, matrix.directory, matrix.env) as program:
        program.wait_until_it_says("ready")
        slow = matrix.send("work", "slow", 20.0)
        poison = matrix.app.send_task("matrix_app.poison", ("poison", kind))
        others = matrix.send_many("work", [f"other-{n}" for n in range(1000)], 0.002)
        with pytest.raises(WorkerLostError):
            poison.get(timeout=400)
        assert slow.get(timeout=60)
        for other in others:
            other.get(timeout=60)
        (supervisor,) = children_of(program.pid)
        os.kill(supervisor, signal.SIGTERM)
        assert program.wait(20) == 0
    starts = matrix.count("start")
    print(f"F21: {kind}: {starts['poison']} starts of it, {starts['slow']} of its slow neighbour, which succeeded")
    assert starts["poison"] <= 10
    assert starts["slow"] <= 10
    assert_only_dead(matrix, poison.id)


# -- F5 and F22: limits


@pytest.mark.parametrize("limit", [pytest.param(1.5, id="short")])
def test_f5_a_frozen_childs_hard_limit_ends_its_task_in_time(matrix: Matrix, limit: float) -> None:
    with matrix.worker("-c 1") as worker:
        result = matrix.send("work", "frozen", 60.0, time_limit=limit)
        wait_until(lambda: matrix.count("start")["frozen"])
        began = time.monotonic()
        (child,) = worker_children(worker.pid)[1]
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=20)
        took = time.monotonic() - began
        assert matrix.send("work", "after", 0.001).get(timeout=20)
        assert worker.stop() == 0
    print(f"F5: a frozen child's hard limit of {limit} s: failed after {took:.3f} s")
    assert limit - 0.2 <= took <= limit + 1.0 + 1.0
    assert matrix.left_over() == []


def test_f22_the_processes_of_a_task_end_with_it_at_its_hard_limit(matrix: Matrix) -> None:
    """Those that a living process of the task has for a parent; a daemon has left on purpose."""
    with matrix.worker("-c 1") as worker:
        began = time.monotonic()
        result = matrix.send("breed", "bred", 60.0, time_limit=1.5)
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=20)
        bred = {key: int(pid) for word, key, pid, _ in matrix.lines() if word == "bred"}
        assert len(bred) == 3
        daemon = bred.pop("bred-daemon")
        wait_until(lambda: not any(map(is_alive, bred.values())), 2.0)
        took = time.monotonic() - began
        os.kill(daemon, signal.SIGKILL)
        assert matrix.send("work", "after", 0.001).get(timeout=20)
        assert worker.stop() == 0
    print(f"F22: a task with children, over its limit of 1.5 s: gone with them after {took:.3f} s")
    assert took <= 1.5 + 1.0 + 2.0
    assert matrix.left_over() == []


@pytest.mark.soak
def test_f22_a_fork_bomb_is_ended_at_its_hard_limit_and_the_worker_goes_on(matrix: Matrix) -> None:
    with limited("pids", PROCESSES) as group:
        if group is None:
            pytest.skip("no control group can be made here, and a fork bomb would hit the whole machine")
        with worker_within(matrix, group, "-c 2") as worker:
            before = len(members(group))
            began = time.monotonic()
            bomb = matrix.send("fork_bomb", "bomb", time_limit=3)
            wait_until(lambda: len(members(group)) > PROCESSES // 2, 10.0)
            with pytest.raises(TimeLimitExceeded):
                bomb.get(timeout=30)
            told = time.monotonic() - began
            wait_until(lambda: len(members(group)) <= before, 5.0)
            took = time.monotonic() - began
            for result in matrix.send_many("work", list(range(100)), 0.002):
                result.get(timeout=30)
            assert worker.stop() == 0
    print(f"F22: a fork bomb ({PROCESSES} processes), limit 3 s: failed after {told:.3f} s, gone after {took:.3f} s")
    assert took <= 3.0 + 1.0 + 3.0
    assert matrix.left_over() == []
