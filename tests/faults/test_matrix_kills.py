"""Rows F1 to F4: children and supervisors killed or frozen under the full load, nothing lost and few repeats."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.acceptance.faulty import is_alive, wait_until, worker_children
from tests.acceptance.processes import Program
from tests.faults.matrix import FULL, TINY, Load, Matrix, figures

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

LOADS = [pytest.param(FULL, id="full"), pytest.param(TINY, id="50us")]

PATIENCE = 2.0
"""Seconds beside what is promised, for a machine that others use; the figures are printed."""

FENCED = "others have taken over"


def children(worker: Program) -> list[int]:
    """A worker's children; none while its template is not there."""
    with contextlib.suppress(ValueError, OSError):
        return worker_children(worker.pid)[1]
    return []


def busy_child(matrix: Matrix, worker: Program) -> int:
    """A child that has begun some task."""
    found: list[int] = []

    def look() -> bool:
        known = matrix.processes()
        found.extend(pid for pid in children(worker) if str(pid) in known)
        return bool(found)

    wait_until(look, 15.0)
    return found[0]


@pytest.mark.parametrize("load", LOADS)
def test_f1_children_are_killed(matrix: Matrix, load: Load) -> None:
    """50 times, by turns in each of two workers; a storm of deaths would be slowed down, so every 1.1 s."""
    full = []
    with matrix.worker("-c 4 -n one@%h") as one, matrix.worker("-c 4 -n two@%h") as two:
        with matrix.producers(load):
            for n in range(50):
                worker = (one, two)[n % 2]
                began = time.monotonic()
                pid = busy_child(matrix, worker)
                matrix.kill(pid)
                full.append(wait_until(lambda worker=worker: len(children(worker)) == 4, 10.0))
                time.sleep(max(0.0, began + 1.1 - time.monotonic()))
        matrix.settle_down(120.0)
        assert one.stop() == two.stop() == 0
    again = matrix.reruns()
    print(figures("F1: the pool is full again", full))
    if again:
        print(figures("F1: what a killed child ran begins again", again))
    assert sorted(full)[len(full) // 2] <= 1.0
    assert max(full) <= 1.0 + PATIENCE
    assert sorted([0.0, *again])[len(again) // 2] <= 1.0
    assert max([0.0, *again]) <= 1.0 + PATIENCE + 2.0, "killed twice, it waits for 1 s"
    matrix.assert_all_is_well("F1", load)


@pytest.mark.parametrize("load", LOADS)
def test_f2_supervisors_are_killed(matrix: Matrix, load: Load) -> None:
    """10 times, with another worker on the same host; each is started again."""
    gone = []
    with contextlib.ExitStack() as workers:
        stays = workers.enter_context(matrix.worker("-c 4 -n stays@%h"))
        with matrix.producers(load):
            for n in range(10):
                victim = workers.enter_context(matrix.worker(f"-c 4 -n victim{n}@%h"))
                pid = busy_child(matrix, victim)
                assert pid
                time.sleep(0.5)
                gone.append(matrix.kill_worker(victim)[1])
                time.sleep(2.0)
        matrix.settle_down(120.0)
        assert stays.stop() == 0
    again = matrix.reruns()
    print(figures("F2: a killed supervisor's children are gone", gone))
    assert max(gone) <= 1.0
    if again:
        print(figures("F2: what they ran begins again elsewhere", again))
        assert max(again) <= 35.0
    matrix.assert_all_is_well("F2", load)


def test_f3_all_workers_are_killed_and_new_ones_started(matrix: Matrix) -> None:
    load = Load(count=2000, rate=60.0, low=0.005, high=0.200)
    took = []
    with contextlib.ExitStack() as workers:
        with matrix.producers(load):
            for n in range(5):
                pair = [workers.enter_context(matrix.worker(f"-c 4 -n {n}{side}@%h")) for side in "ab"]
                for worker in pair:
                    busy_child(matrix, worker)
                time.sleep(1.0)
                known = matrix.processes()
                for worker in pair:
                    matrix.kill_worker(worker)
                killed = time.monotonic()
                new = workers.enter_context(matrix.worker(f"-c 4 -n {n}new@%h"))
                wait_until(lambda known=known: matrix.processes() - known, 35.0)
                took.append(time.monotonic() - killed)
                time.sleep(1.0)
                if n < 4:
                    matrix.kill_worker(new)
        matrix.settle_down(60.0)
    print(figures("F3: after the death of all workers a new one runs tasks, its start included", took))
    print(figures("F3: what they ran begins again", matrix.reruns()))
    assert max(took) <= 35.0
    assert max(matrix.reruns()) <= 35.0
    matrix.assert_all_is_well("F3", load)


def test_f4_a_supervisor_is_frozen_for_longer_than_its_lease(matrix: Matrix) -> None:
    """60 s, with the lease of 30 s that is the default: it is fenced, and what its children did is refused."""
    load = Load(count=5000, rate=50.0, low=0.005, high=0.200)
    with matrix.worker("-c 4 -n zombie@%h") as zombie, matrix.worker("-c 4 -n heir@%h") as heir:
        with matrix.producers(load):
            busy_child(matrix, zombie)
            time.sleep(2.0)
            frozen = children(zombie)
            os.kill(zombie.pid, signal.SIGSTOP)
            stopped = time.monotonic()
            matrix.noted(*frozen)
            time.sleep(60.0)
            os.kill(zombie.pid, signal.SIGCONT)
            woken = time.monotonic()
            zombie.wait_until_it_says(FENCED, 10.0)
            fenced = time.monotonic() - woken
        matrix.settle_down(120.0)
        assert zombie.stop() == heir.stop() == 0
    repeated = sorted(matrix.next_runs(frozen, stopped))
    print(f"F4: fenced {fenced:.3f} s after it went on; {len(repeated)} tasks ran elsewhere as well")
    if repeated:
        print(figures("F4: they began elsewhere after the freeze", repeated))
        assert max(repeated) <= 35.0 + 5.0
    matrix.assert_all_is_well("F4", load)


def test_f4_a_frozen_supervisors_long_task_is_killed_once_it_is_fenced(matrix: Matrix) -> None:
    matrix.env["SKIRRET_WORKER_LEASE"] = "3"
    with matrix.worker("-c 1 -n zombie@%h") as zombie:
        result = matrix.send("work", "long", 15.0)
        wait_until(lambda: matrix.count("start")["long"])
        (child,) = children(zombie)
        with matrix.worker("-c 1 -n heir@%h") as heir:
            os.kill(zombie.pid, signal.SIGSTOP)
            wait_until(lambda: matrix.count("start")["long"] == 2, 3.0 + 5.0 + 2 * PATIENCE)
            os.kill(zombie.pid, signal.SIGCONT)
            zombie.wait_until_it_says(FENCED, 5.0 + PATIENCE)
            took = wait_until(lambda: not is_alive(child), 2.0)
            print(f"F4: the child of a fenced supervisor was gone after {took:.3f} s")
            assert result.get(timeout=30)
            assert matrix.count("end")["long"] == 1
            assert zombie.stop() == heir.stop() == 0
    assert matrix.left_over() == []
