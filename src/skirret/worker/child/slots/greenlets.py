"""Many slots on one hub: each task is a greenlet; ``async def`` ones run on a loop that is a greenlet itself.

The process is patched before the app is imported, so the standard library's events and sleeps are the hub's here.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from skirret.worker.board import Chalk
from skirret.worker.child.guards import Guard, Interruption, raise_here
from skirret.worker.child.link import BEAT, HOLD, Stop
from skirret.worker.child.slots.hub import Hub
from skirret.worker.child.slots.hub_watch import HubWatch
from skirret.worker.child.slots.loops import LoopGreenlet
from skirret.worker.child.slots.single import run_one
from skirret.worker.child.stacks import PLACES

if TYPE_CHECKING:
    from skirret.worker.child.execute import Executor
    from skirret.worker.child.link import Link
    from skirret.worker.frames import Run


class GreenletGuard(Guard):
    """Of a slot that is a greenlet; `enter` is called in it."""

    __slots__ = ("_hub", "place")

    def __init__(self, chalk: Chalk, slot: int, hub: Hub) -> None:
        super().__init__(chalk, slot, self._throw)
        self.place: Any = None
        self._hub = hub

    def enter(self, seq: int) -> None:
        """User code of frame `seq` begins in this greenlet."""
        self.place = getcurrent()
        self.thread = threading.get_ident()
        self.seq = seq

    def _throw(self, error: Interruption) -> None:
        if self.place is getcurrent():  # by a signal's handler, maybe inside a call that blocks the hub
            raise_here(error)
        seq = self.seq
        self._hub.throw(self.place, error(), lambda: self.seq == seq)


class Greenlets:
    """The greenlet slots of one child.

    Args:
        hub: what switches.
        executor, link, slots: as of every ``serve``.
    """

    def __init__(self, hub: Hub, executor: Executor, link: Link, slots: int) -> None:
        self.stopping = False
        self._hub = hub
        self._executor = executor
        self._link = link
        self._slots = slots
        self._free = list(range(slots))
        self._changed = threading.Event()
        """A slot became free, or no more work will come."""
        self._over = threading.Event()
        self._flushing = False
        self._guards = [executor.guards.add(GreenletGuard(link.chalk, n, hub)) for n in range(slots)]
        self._fault: BaseException | None = None
        """What ended a slot that should not have ended; the others finish and the child leaves."""
        self._coroutines = LoopGreenlet(hub)

    def serve(self) -> None:
        """Run until the supervisor wants no more; running tasks finish."""
        signal.signal(signal.SIGURG, self._nudged)
        signal.siginterrupt(signal.SIGURG, False)
        PLACES.apart = self._spawn
        PLACES.greenlets = lambda: [
            place for guard in self._guards if guard.seq and (place := getattr(guard, "place", None))
        ]
        self._watch = HubWatch(run_one)
        self._watch.start()
        self._spawn(self._beat)
        self._spawn(self._hear)
        self._spawn(self._admit)
        self._over.wait()
        self._watch.stop()
        self._link.flush()
        self._coroutines.close()
        if self._fault is not None:
            raise self._fault

    def start(self, run: Run) -> None:
        """Give a permitted frame its greenlet."""
        self._spawn(self.run, run, self._free.pop())

    def run(self, run: Run, slot: int) -> None:
        """One frame from its bytes to its outcome, in the greenlet of slot `slot`."""
        guard = self._guards[slot]
        try:
            self._link.report(run_one(self._executor, self._link, run, self._coroutines, guard, slot))
        finally:
            self._free.append(slot)
            self._changed.set()
        if self._idle:
            self._link.flush()
        elif not self._flushing and self._link.unsent:
            self._flushing = True
            self._spawn(self._flush_soon)

    def stop(self) -> None:
        """Begin no more."""
        self.stopping = True
        self._changed.set()

    @property
    def _idle(self) -> bool:
        return len(self._free) == self._slots

    def _admit(self) -> None:
        # Permits are read only for free slots, so that the supervisor can take the rest back.
        while not self.stopping:
            if not self._free:
                self._changed.clear()
                self._changed.wait()
            elif (run := self._link.try_next()) is not None:
                self.start(run)
            else:
                self._hub.wait_readable(self._link.permits)

    def _hear(self) -> None:
        while not self.stopping:
            self._hub.wait_readable(self._link.fileno())
            self._link.receive()

    def _beat(self) -> None:
        """Show that this hub turns: a greenlet that blocks it holds up all others, as one that holds the GIL does."""
        while not self._over.is_set():
            self._link.chalk.beat()
            self._watch.turned()
            time.sleep(BEAT)

    def _nudged(self, _signum: int, frame: FrameType | None) -> None:
        self._coroutines.interrupted = frame
        self._executor.guards.look()

    def _flush_soon(self) -> None:
        time.sleep(HOLD / 2)
        self._flushing = False
        self._link.flush()

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        self._hub.spawn(self._guarded, work, *args)

    def _guarded(self, work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except Stop:
            self.stop()
        except BaseException as exc:  # noqa: BLE001  a child that lost a part of itself is no use
            self._fault = self._fault or exc
            self.stop()
        if self.stopping and self._idle:
            self._over.set()
