"""One slot: tasks run one after another in the main thread of the child."""

from __future__ import annotations

import contextvars
import signal
import threading
from collections.abc import Coroutine
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from skirret import context
from skirret.worker.child.guards import Guard, Interruption, raise_here
from skirret.worker.child.link import Stop
from skirret.worker.frames import Outcome

if TYPE_CHECKING:
    import asyncio

    from skirret.worker.child.execute import Execution, Executor
    from skirret.worker.child.link import Link
    from skirret.worker.child.slots.steered import Steered
    from skirret.worker.frames import Run


def serve(executor: Executor, link: Link, slots: int) -> None:
    """Run permitted frames until the supervisor wants no more."""
    del slots
    loop = CoroutineRunner()
    guard = executor.guards.add(Guard(link.chalk, 0))
    if threading.current_thread() is threading.main_thread():
        # The supervisor's nudge: a task runs longer than expected, so report what is finished before it, and perhaps
        # end it. Its default action is to be ignored, so that a nudge before this line does no harm; system calls are
        # restarted.
        def nudged(_signum: int, frame: FrameType | None) -> None:
            link.flush()
            loop.interrupted = frame
            executor.guards.look()

        signal.signal(signal.SIGURG, nudged)
        signal.siginterrupt(signal.SIGURG, False)
    try:
        while True:
            link.report(run_one(executor, link, link.next(), loop, guard))
    except Stop:
        link.flush()
    finally:
        loop.close()


def run_one(executor: Executor, link: Link, run: Run, loop: RunsCoroutines, guard: Guard, slot: int = 0) -> Outcome:
    """One frame from its bytes to its outcome, in slot `slot`; a coroutine runs on this slot's own loop."""
    execution = executor.prepare(run)
    if isinstance(execution, Outcome):
        return execution
    link.starting(execution.name)
    link.chalk.enter(slot, run.seq, execution.began)
    try:
        try:
            execution.enter()
            if execution.waits:
                loop.finish(execution.catch_up())
            guard.enter(run.seq)
            value = loop.run(execution, guard) if execution.task.is_async else execution.call()
        finally:
            guard.leave()
    except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome, SystemExit and MemoryError included
        guard.leave()  # an interruption may have come instead of the first time
        outcome = execution.failed(exc)
    else:
        outcome = execution.succeeded(value)
    if execution.waits:
        loop.finish(execution.catch_up())
        context.pop_task()
    link.chalk.leave(slot)
    return outcome


class RunsCoroutines(Protocol):
    """A place where a slot's coroutines run."""

    def run(self, execution: Execution, guard: Guard) -> Any:
        """Run an ``async def`` task to its end."""
        ...

    def finish(self, hooks: Coroutine[Any, Any, None]) -> None:
        """Run what hooks of the task left to be awaited."""
        ...


class CoroutineRunner:
    """A loop that lives as long as its slot, made when the first coroutine needs it."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self.interrupted: FrameType | None = None
        """Where the last signal came, if signals come in this thread."""

    def run(self, execution: Execution, guard: Guard) -> Any:
        """Run an ``async def`` task to its end; it knows that it is the one that runs."""
        from skirret.worker.child.slots.steered import Steered

        runner = self._ready()
        steered = Steered(_awaited(execution))
        throw, guard.throw = guard.throw, partial(self._throw, steered)
        try:
            return runner.run(steered, context=contextvars.copy_context())
        finally:
            guard.throw = throw

    def finish(self, hooks: Coroutine[Any, Any, None]) -> None:
        """Run what hooks of the task left to be awaited."""
        self._ready().run(hooks, context=contextvars.copy_context())

    def _ready(self) -> asyncio.Runner:
        if self._runner is None:
            import asyncio  # heavy, and not needed where no task is a coroutine

            self._runner = asyncio.Runner()
        return self._runner

    def _throw(self, steered: Steered, error: Interruption) -> None:
        if self._runner is None:
            return
        frame, self.interrupted = self.interrupted, None
        loop = self._runner.get_loop()
        if steered.is_here(loop, frame):
            raise_here(error)
        loop.call_soon_threadsafe(steered.interrupt, error)

    def close(self) -> None:
        """End the loop."""
        if self._runner is not None:
            self._runner.close()


async def _awaited(execution: Execution) -> Any:
    return await execution.call()
