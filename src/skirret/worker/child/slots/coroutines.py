"""Many slots on one loop: ``async def`` tasks are coroutines, plain ones run in a thread beside the loop."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from skirret import context
from skirret.worker.child.blocking import LoopWatch
from skirret.worker.child.guards import Guard, Interruption, ThreadGuard, raise_here
from skirret.worker.child.link import BEAT, HOLD, Stop
from skirret.worker.child.slots.steered import Steered
from skirret.worker.child.stacks import PLACES
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
        self._steered: list[Steered | None] = [None] * slots
        add = executor.guards.add
        self._guards = [add(Guard(link.chalk, n, partial(self._throw, n))) for n in range(slots)]
        self._beside = [add(ThreadGuard(link.chalk, n)) for n in range(slots)]
        self._handles_signals = threading.current_thread() is threading.main_thread()
        self._interrupted: FrameType | None = None
        """Where the last signal came."""
        self._running: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._watch = LoopWatch(executor.app.conf.worker_blocked_loop_warning)
        self._stopping = asyncio.Event()
        self._listening = False
        self._flush_later: asyncio.TimerHandle | None = None
        self._fault: BaseException | None = None
        """What ended a slot that should not have ended; the others finish and the child leaves."""

    async def serve(self) -> None:
        """Run until the supervisor wants no more."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._link.fileno(), self._receive)
        if self._handles_signals:
            signal.signal(signal.SIGURG, self._nudged)
            signal.siginterrupt(signal.SIGURG, False)
        PLACES.coroutines = lambda: [one for one in self._steered if one is not None]
        self._watch.start()
        self._beat()
        self._permitted()
        await self._stopping.wait()
        self._loop.remove_reader(self._link.fileno())
        if self._running:
            await asyncio.wait(self._running)
        self._watch.stop()
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
                slot = self._free.pop()
                steered = self._steered[slot] = Steered(self._run(run, slot))
                task = self._loop.create_task(steered)
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

    def _beat(self) -> None:
        """Show that this loop turns: a coroutine that blocks it holds up all others, as one that holds the GIL does."""
        self._link.chalk.beat()
        self._watch.turned()
        if not self._handles_signals:
            self._executor.guards.look()
        self._loop.call_later(BEAT, self._beat)

    def _nudged(self, _signum: int, frame: FrameType | None) -> None:
        self._interrupted = frame
        self._executor.guards.look()

    def _throw(self, slot: int, error: Interruption) -> None:
        steered = self._steered[slot]
        frame, self._interrupted = self._interrupted, None
        if steered is not None and steered.is_here(self._loop, frame):
            raise_here(error)
        self._loop.call_soon_threadsafe(self._reach, slot, self._guards[slot].seq, error)

    def _reach(self, slot: int, seq: int, error: Interruption) -> None:
        steered = self._steered[slot]
        if steered is not None and seq and self._guards[slot].seq == seq:
            steered.interrupt(error)

    async def _run(self, run: Run, slot: int) -> None:
        execution = self._executor.prepare(run)
        outcome = execution if isinstance(execution, Outcome) else await self._outcome(execution, run.seq, slot)
        self._free.append(slot)
        self._link.report(outcome)

    async def _outcome(self, execution: Execution, seq: int, slot: int) -> Outcome:
        guard = self._guards[slot]
        self._link.chalk.enter(slot, seq, execution.began)
        try:
            try:
                execution.enter()
                if execution.waits:
                    await execution.catch_up()
                if execution.task.is_async:
                    guard.enter(seq)
                    value = await execution.call()
                else:
                    here = contextvars.copy_context()
                    call: Any = partial(here.run, _attempt, execution, self._beside[slot], seq)
                    value, error = await self._loop.run_in_executor(self._threads, call)
                    if error is not None:
                        raise error
            finally:
                guard.leave()
        except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome, CancelledError included
            guard.leave()  # an interruption may have come instead of the first time
            outcome = execution.failed(exc)
        else:
            outcome = execution.succeeded(value)
        if execution.waits:
            await execution.catch_up()
            context.pop_task()
        self._link.chalk.leave(slot)
        return outcome


def _attempt(execution: Execution, guard: Guard, seq: int) -> tuple[Any, BaseException | None]:
    """What a plain task returned, or raised: a future cannot carry every exception (StopIteration never arrives)."""
    try:
        try:
            guard.enter(seq)
            return execution.call(), None
        finally:
            guard.leave()
    except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome
        guard.leave()
        return None, exc


def _uvloop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
