"""Interruptions reach user code and nothing else, however closely they come to its end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from skirret.errors import SoftTimeLimitExceeded, WorkerStopping
from skirret.worker.board import Board, Chalk
from skirret.worker.child.guards import Guard, Guards, ThreadGuard
from skirret.worker.child.slots.steered import Steered


class Slot:
    """A slot's board, with the supervisor's hand and the child's."""

    def __init__(self, kind: type[Guard]) -> None:
        self.board = Board(1)
        self.chalk = Chalk(self.board.fd, 1)
        self.board.fd = -1
        self.guards = Guards()
        self.guard = self.guards.add(kind(self.chalk, 0))

    def interrupt(self, seq: int) -> None:
        """What supervisor and signal do."""
        self.board.interrupt(seq)
        self.guards.look()


def test_a_task_is_interrupted_once_and_only_while_its_own_user_code_runs() -> None:
    slot = Slot(Guard)
    slot.chalk.enter(0, 5, 1.0)
    slot.interrupt(5)  # not in user code yet
    slot.guard.enter(4)
    slot.guards.look()  # another task
    slot.guard.enter(5)
    with pytest.raises(SoftTimeLimitExceeded):
        slot.guards.look()
    slot.guards.look()  # once is enough
    slot.board.interrupt(5, stopping=True)
    with pytest.raises(WorkerStopping):  # for another reason, once more
        slot.guards.look()
    slot.guards.look()
    slot.guard.leave()
    slot.interrupt(5)


def test_what_comes_while_a_task_reports_comes_right_after_the_report() -> None:
    slot = Slot(Guard)
    slot.chalk.enter(0, 5, 1.0)
    slot.guard.enter(5)
    steps = []

    def report() -> None:
        with slot.guards.mask():
            slot.interrupt(5)
            steps.append("reported")

    with pytest.raises(SoftTimeLimitExceeded):
        report()
    assert steps == ["reported"]


def test_a_thread_is_interrupted_in_its_user_code_and_never_after_it_nor_in_a_report() -> None:
    slot = Slot(ThreadGuard)
    outside: list[BaseException] = []
    cut: list[int] = []
    seen = 0
    stop = threading.Event()

    def work() -> None:
        nonlocal seen
        seq = 0
        try:
            while not stop.is_set():
                seq += 1
                slot.chalk.enter(0, seq, 1.0)
                halves = [0, 0]
                try:
                    try:
                        slot.guard.enter(seq)
                        for _ in range(20):
                            with slot.guards.mask():
                                halves[0] += 1
                                sum(range(5))
                                halves[1] += 1
                    finally:
                        slot.guard.leave()
                except SoftTimeLimitExceeded:
                    slot.guard.leave()
                    seen += 1
                if halves[0] != halves[1]:
                    cut.append(seq)
                slot.chalk.leave(0)
        except BaseException as exc:
            outside.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline and thread.is_alive():
        for seq, _ in slot.board.running():
            slot.interrupt(seq)
    stop.set()
    thread.join(10)
    assert outside == []
    assert cut == []
    assert seen > 20, "it was tried"


def test_a_coroutine_is_interrupted_where_it_waits_also_for_other_coroutines() -> None:
    async def waits() -> str:
        try:
            async with asyncio.timeout(30):
                await asyncio.gather(asyncio.sleep(30), asyncio.create_task(asyncio.sleep(30)))
        except SoftTimeLimitExceeded:
            await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            return f"cleaned up, {task.cancelling()} cancellations left"
        return "never"

    async def main() -> str:
        steered = Steered(waits())
        task = asyncio.get_running_loop().create_task(steered)
        await asyncio.sleep(0.01)
        steered.interrupt(SoftTimeLimitExceeded)
        result: str = await task
        return result

    assert asyncio.run(main()) == "cleaned up, 0 cancellations left"


def test_a_coroutine_that_is_cancelled_by_others_sees_a_cancellation() -> None:
    async def main() -> None:
        task = asyncio.get_running_loop().create_task(Steered(asyncio.sleep(30)))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
