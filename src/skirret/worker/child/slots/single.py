"""One slot: tasks run one after another in the main thread of the child."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from skirret.worker.child.link import Stop
from skirret.worker.frames import Outcome

if TYPE_CHECKING:
    import asyncio

    from skirret.worker.child.execute import Execution, Executor
    from skirret.worker.child.link import Link
    from skirret.worker.frames import Run


def serve(executor: Executor, link: Link, slots: int) -> None:
    """Run permitted frames until the supervisor wants no more."""
    del slots
    loop = CoroutineRunner()
    if threading.current_thread() is threading.main_thread():
        # The supervisor's nudge: a task runs longer than expected, so report what is finished before it. Its default
        # action is to be ignored, so that a nudge before this line does no harm; system calls are restarted.
        def nudged(_signum: int, _frame: FrameType | None) -> None:
            link.flush()

        signal.signal(signal.SIGURG, nudged)
        signal.siginterrupt(signal.SIGURG, False)
    try:
        while True:
            link.report(run_one(executor, link, link.next(), loop))
    except Stop:
        link.flush()
    finally:
        loop.close()


def run_one(executor: Executor, link: Link, run: Run, loop: CoroutineRunner, slot: int = 0) -> Outcome:
    """One frame from its bytes to its outcome, in slot `slot`; a coroutine runs on this slot's own loop."""
    execution = executor.prepare(run)
    if isinstance(execution, Outcome):
        return execution
    link.starting(execution.name)
    link.chalk.enter(slot, run.seq, execution.began)
    try:
        execution.enter()
        value = loop.run(execution) if execution.task.is_async else execution.call()
    except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome, SystemExit and MemoryError included
        outcome = execution.failed(exc)
    else:
        outcome = execution.succeeded(value)
    link.chalk.leave(slot)
    return outcome


class CoroutineRunner:
    """A loop that lives as long as its slot, made when the first coroutine needs it."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, execution: Execution) -> Any:
        """Run an ``async def`` task to its end."""
        if self._runner is None:
            import asyncio  # heavy, and not needed where no task is a coroutine

            self._runner = asyncio.Runner()
        return self._runner.run(_awaited(execution))

    def close(self) -> None:
        """End the loop."""
        if self._runner is not None:
            self._runner.close()


async def _awaited(execution: Execution) -> Any:
    return await execution.call()
