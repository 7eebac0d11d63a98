"""Many slots, each a thread. One idle thread at a time listens for a permit, so that a permit is read only to run."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from skirret.worker.child.guards import ThreadGuard
from skirret.worker.child.link import BEAT, HOLD, Stop
from skirret.worker.child.slots.single import CoroutineRunner, run_one

if TYPE_CHECKING:
    from skirret.worker.child.execute import Executor
    from skirret.worker.child.link import Link
    from skirret.worker.frames import Run


def serve(executor: Executor, link: Link, slots: int) -> None:
    """Run permitted frames in `slots` threads until the supervisor wants no more; running ones finish."""
    crew = _Crew(executor, link)
    threads = [threading.Thread(target=crew.work, args=(n,), name=f"slot-{n}", daemon=True) for n in range(slots)]
    for thread in threads:
        thread.start()
    mine = threading.current_thread() is threading.main_thread()
    if mine:
        signal.signal(signal.SIGURG, lambda *_: executor.guards.look())
        signal.siginterrupt(signal.SIGURG, False)
    # This thread sees to it that no outcome waits behind a slot that turned out to be slow.
    while crew.fault is None and any(thread.is_alive() for thread in threads):
        link.chalk.beat()
        if not mine:
            executor.guards.look()
        if link.appeared.wait(timeout=BEAT):
            link.appeared.clear()
            time.sleep(HOLD)
            link.flush()
    link.flush()
    if crew.fault is not None:
        raise crew.fault


class _Crew:
    """The slot threads of one child."""

    def __init__(self, executor: Executor, link: Link) -> None:
        self._executor = executor
        self._link = link
        self._listening = threading.Lock()
        self._stopped = False
        self.fault: BaseException | None = None
        """What ended a slot that should not have ended, such as a line that a task closed: the child leaves at once."""

    def work(self, slot: int) -> None:
        """One thread's life."""
        loop = CoroutineRunner()
        guard = self._executor.guards.add(ThreadGuard(self._link.chalk, slot))
        try:
            while (run := self._next()) is not None:
                self._link.report(run_one(self._executor, self._link, run, loop, guard, slot))
        except BaseException as exc:  # noqa: BLE001  a child short of a slot is no use
            self.fault, self._stopped = exc, True
        finally:
            loop.close()
            self._link.appeared.set()

    def _next(self) -> Run | None:
        if not self._listening.acquire(blocking=False):
            self._link.flush()  # somebody else waits for work, so nobody will add to what is unsent
            self._listening.acquire()
        try:
            return None if self._stopped else self._link.next()
        except Stop:
            self._stopped = True
            return None
        finally:
            self._listening.release()
