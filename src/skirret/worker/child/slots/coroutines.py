"""Many slots on one loop: ``async def`` tasks are coroutines, plain ones run in a thread beside the loop."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from skirret.worker.child.link import HOLD, Stop
from skirret.worker.frames import Outcome

if TYPE_CHECKING:
    from skirret.worker.child.execute import Execution, Executor
    from skirret.worker.child.link import Link
    from skirret.worker.frames import Run


def serve(executor: Executor, link: Link, slots: int) -> None:
    """Run permitted frames on one loop until the supervisor wants no more; running ones finish."""
    factory = _uvloop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_Slots(executor, link, slots).serve())


class _Slots:
    """The coroutine slots of one child."""

    def __init__(self, executor: Executor, link: Link, slots: int) -> None:
        self._executor = executor
        self._link = link
        self._slots = slots
        self._free = list(range(slots))
        self._running: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._stopping = asyncio.Event()
        self._listening = False
        self._flush_later: asyncio.TimerHandle | None = None
        self._fault: BaseException | None = None
        """What ended a slot that should not have ended; the others finish and the child leaves."""

    async def serve(self) -> None:
        """Run until the supervisor wants no more."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._link.fileno(), self._receive)
        self._permitted()
        await self._stopping.wait()
        self._loop.remove_reader(self._link.fileno())
        if self._running:
            await asyncio.wait(self._running)
        self._link.flush()
        self._threads.shutdown(wait=True)
        if self._fault is not None:
            raise self._fault

    def _permitted(self) -> None:
        """Start what may start. Permits are read only for free slots, so that the supervisor can take the rest back."""
        try:
            while len(self._running) < self._slots:
                run = self._link.try_next()
                if run is None:
                    self._listen(True)
                    return
                task = self._loop.create_task(self._run(run))
                self._running.add(task)
                task.add_done_callback(self._done)
            self._listen(False)
        except Stop:
            self._listen(False)
            self._stopping.set()

    def _receive(self) -> None:
        try:
            self._link.receive()
        except Stop:
            self._listen(False)
            self._loop.remove_reader(self._link.fileno())
            self._stopping.set()

    def _listen(self, wanted: bool) -> None:
        if wanted and not self._listening:
            self._loop.add_reader(self._link.permits, self._permitted)
        elif self._listening and not wanted:
            self._loop.remove_reader(self._link.permits)
        self._listening = wanted

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._fault = self._fault or (None if task.cancelled() else task.exception())
        if self._fault is not None:
            self._listen(False)
            self._stopping.set()
        if not self._stopping.is_set():
            self._permitted()
        if not self._running:
            self._link.flush()
        elif self._flush_later is None and self._link.unsent:
            self._flush_later = self._loop.call_later(HOLD / 2, self._flush)

    def _flush(self) -> None:
        self._flush_later = None
        self._link.flush()

    async def _run(self, run: Run) -> None:
        execution = self._executor.prepare(run)
        if isinstance(execution, Outcome):
            self._link.report(execution)
            return
        slot = self._free.pop()
        self._link.chalk.enter(slot, run.seq, execution.began)
        try:
            execution.enter()
            if execution.task.is_async:
                value = await execution.call()
            else:
                here = contextvars.copy_context()
                value, error = await self._loop.run_in_executor(self._threads, lambda: here.run(_attempt, execution))
                if error is not None:
                    raise error
        except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome, CancelledError included
            outcome = execution.failed(exc)
        else:
            outcome = execution.succeeded(value)
        self._link.chalk.leave(slot)
        self._free.append(slot)
        self._link.report(outcome)


def _attempt(execution: Execution) -> tuple[Any, BaseException | None]:
    """What a plain task returned, or raised: a future cannot carry every exception (StopIteration never arrives)."""
    try:
        return execution.call(), None
    except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome
        return None, exc


def _uvloop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
