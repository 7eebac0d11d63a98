"""Rows F5 to F8: frozen and stuck children, and stops under load, with tasks that end in time and tasks that do not.

By default each is run for seconds; the long run takes the times of the matrix and its full load.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import pytest

from skirret import states
from tests.acceptance.faulty import wait_until, worker_children
from tests.faults.matrix import Load, Matrix

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@dataclass(frozen=True)
class Scale:
    """How long a fault lasts.

    Args:
        stuck: seconds for which a child is frozen or holds the GIL.
        lease: seconds of a worker's lease.
        grace: seconds that a stop gives.
        load: sent meanwhile.
        light: the same where one worker is left.
    """

    stuck: float
    lease: float
    grace: float
    load: Load
    light: Load


QUICK = Load(count=40, rate=100.0, low=0.005, high=0.050)
SHORT = Scale(stuck=2.0, lease=1.0, grace=2.0, load=QUICK, light=QUICK)
LONG = Scale(
    stuck=60.0,
    lease=30.0,
    grace=25.0,
    load=Load(count=3000, rate=50.0, low=0.005, high=0.200),
    light=Load(count=400, rate=20.0, low=0.005, high=0.100),
)

SCALES = [
    pytest.param(SHORT, id="short"),
    pytest.param(LONG, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
]

PATIENCE = 2.0
"""Seconds beside what is promised, for a machine that others use."""


@pytest.mark.parametrize("scale", SCALES)
def test_f5_a_frozen_childs_task_is_not_run_elsewhere(matrix: Matrix, scale: Scale) -> None:
    matrix.env["SKIRRET_WORKER_LEASE"] = str(scale.lease)
    with matrix.worker("-c 2 -n one@%h") as one, matrix.worker("-c 2 -n two@%h") as two:
        result = matrix.send("work", "frozen", scale.stuck / 3)
        wait_until(lambda: matrix.count("start")["frozen"])
        child = next(int(pid) for word, key, pid, _ in matrix.lines() if key == "frozen")
        os.kill(child, signal.SIGSTOP)
        try:
            with matrix.producers(scale.load):
                time.sleep(scale.stuck)
        finally:
            os.kill(child, signal.SIGCONT)
        assert result.get(timeout=scale.stuck)
        matrix.settle_down(60.0)
        assert one.stop() == two.stop() == 0
    assert matrix.count("start")["frozen"] == 1
    matrix.assert_all_is_well(f"F5: a child frozen for {scale.stuck:.0f} s")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scale", [pytest.param(LONG, id="long")])
def test_f6_a_task_that_holds_the_gil_is_not_run_elsewhere(matrix: Matrix, scale: Scale) -> None:
    matrix.env["SKIRRET_WORKER_LEASE"] = str(scale.lease)
    seconds = 2 * scale.stuck
    with matrix.worker("-c 2 -n one@%h") as one, matrix.worker("-c 2 -n two@%h") as two:
        result = matrix.send("hold_the_gil", "stuck", seconds)
        wait_until(lambda: matrix.count("start")["stuck"])
        with matrix.producers(scale.load):
            pass
        assert result.get(timeout=2 * seconds)
        matrix.settle_down(60.0)
        assert one.stop() == two.stop() == 0
    assert matrix.count("start")["stuck"] == 1
    matrix.assert_all_is_well(f"F6: the GIL held for {seconds:.0f} s")


@pytest.mark.parametrize("scale", SCALES)
def test_f7_a_stop_under_load_repeats_nothing_and_gives_back_what_had_not_begun(matrix: Matrix, scale: Scale) -> None:
    length = scale.grace / 4
    with matrix.worker(f"-c 2 -n leaves@%h --grace {scale.grace}") as leaves:
        matrix.send_many("work", ["long-a", "long-b"], length)
        wait_until(lambda: matrix.count("start")["long-a"] and matrix.count("start")["long-b"])
        matrix.send_many("work", [f"waits-{n}" for n in range(30)], 0.01)
        wait_until(lambda: matrix.size().ready + matrix.size().held == 32)
        leaves.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        back = wait_until(lambda: matrix.size().ready == 30, 1.0 + PATIENCE)
        with matrix.worker("-c 2 -n stays@%h") as stays:
            with matrix.producers(scale.light):
                assert leaves.wait(scale.grace + PATIENCE) == 0
                took = time.monotonic() - told
            matrix.settle_down(120.0)
            assert stays.stop() == 0
    print(f"F7: unstarted work was back after {back:.3f} s, the worker gone after {took:.3f} s of {scale.grace:.0f}")
    assert set(matrix.count("start").values()) == {1}
    matrix.assert_all_is_well("F7")


@pytest.mark.parametrize("scale", SCALES)
def test_f8_a_stop_ends_at_its_grace_and_longer_tasks_run_again_elsewhere(matrix: Matrix, scale: Scale) -> None:
    with (
        matrix.worker(f"-c 2 -n leaves@%h --grace {scale.grace / 2}") as leaves,
        matrix.worker("-c 4 -n stays@%h") as stays,
    ):
        results = matrix.send_many("work", [f"long-{n}" for n in range(6)], 1.25 * scale.grace)
        wait_until(lambda: len(matrix.count("start")) == 6)
        mine = worker_children(leaves.pid)[1]
        matrix.noted(*mine)
        with matrix.producers(scale.light):
            leaves.process.send_signal(signal.SIGTERM)
            told = time.monotonic()
            assert leaves.wait(scale.grace / 2 + PATIENCE) == 0
            gone = time.monotonic()
            back = wait_until(lambda: matrix.size().held <= 4 + len(mine), 1.0 + PATIENCE)
        for result in results:
            assert result.get(timeout=6 * scale.grace)
            assert result.state == states.SUCCESS
        matrix.settle_down(120.0)
        assert stays.stop() == 0
    print(f"F8: gone after {gone - told:.3f} s of {scale.grace / 2:.0f} s, requeued within {back:.3f} s")
    long = {key: times for key, times in matrix.count("start").items() if key.startswith("long")}
    assert sorted(long.values()) == [1, 1, 1, 1, 2, 2]
    matrix.assert_all_is_well("F8", may_repeat=1)
