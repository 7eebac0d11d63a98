"""What stands between a slot's task and an interruption: the exception reaches user code and nothing else.

The supervisor leaves word on the board and sends SIGURG; a pool's handler then has its guards look. How the exception
gets into the task is the slot's affair: raised in the handler, thrown into a coroutine, set for a thread's next
bytecode. While a task reports something, it is masked, so that no report is cut in two.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from skirret.errors import SoftTimeLimitExceeded, WorkerStopping
from skirret.worker.board import Chalk

Interruption = type[SoftTimeLimitExceeded]


def raise_here(error: Interruption) -> None:
    """For a handler that runs in the very thread that runs the task."""
    raise error


class Guard:
    """Of one slot whose task runs in the thread that handles signals, or as a coroutine or greenlet.

    Args:
        chalk, slot: where the supervisor's word is read.
        throw: makes the exception reach the task.
    """

    __slots__ = ("_chalk", "_sent", "_slot", "masked", "seq", "thread", "throw")

    def __init__(self, chalk: Chalk, slot: int, throw: Callable[[Interruption], object] = raise_here) -> None:
        self.seq = 0
        """The frame whose user code runs; 0 while none does."""
        self.masked = False
        self.thread = threading.get_ident()
        """Where the task runs."""
        self.throw = throw
        self._chalk = chalk
        self._slot = slot
        self._sent = 0

    def enter(self, seq: int) -> None:
        """User code of frame `seq` begins."""
        self.seq = seq

    def leave(self) -> None:
        """User code ended: nothing is thrown after this. May be called again."""
        self.seq = 0

    def look(self) -> None:
        """Interrupt the task if the supervisor wants that, once."""
        wanted = self._chalk.wanted(self._slot)
        if self.seq and wanted >> 1 == self.seq and wanted != self._sent and not self.masked:
            self._sent = wanted
            self.throw(WorkerStopping if wanted & 1 else SoftTimeLimitExceeded)

    def mask(self) -> None:
        """Throw nothing until `unmask`."""
        self.masked = True

    def unmask(self) -> None:
        """Throw what was held back."""
        self.masked = False
        self.look()


class ThreadGuard(Guard):
    """Of a slot that is a thread beside the one that handles signals; `enter` is called in that thread.

    The exception comes at the thread's next bytecode, wherever that is. So whoever leaves user code (or masks itself)
    first waits until one that is on its way has come.
    """

    __slots__ = ("_lock",)

    def __init__(self, chalk: Chalk, slot: int) -> None:
        super().__init__(chalk, slot, self._throw)
        self._lock = threading.RLock()

    def enter(self, seq: int) -> None:
        """User code of frame `seq` begins in this thread."""
        self.thread = threading.get_ident()
        self.seq = seq

    def leave(self) -> None:
        """User code ended: nothing is thrown after this. May be called again."""
        with suppress(SoftTimeLimitExceeded):
            with self._lock:
                seq, self.seq = self.seq, 0
            if seq and seq == self._sent >> 1:
                _come()
        self.seq = 0

    def look(self) -> None:
        """Interrupt the task if the supervisor wants that, once."""
        with self._lock:
            super().look()

    def mask(self) -> None:
        """Throw nothing until `unmask`; what is on its way comes first."""
        with self._lock:
            self.masked = True
        try:
            _come()
        except SoftTimeLimitExceeded:
            self.masked = False
            raise

    def _throw(self, error: Interruption) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), ctypes.py_object(error))


def _come() -> None:
    """Let an exception that is set for this thread's next bytecode come: the interpreter looks at each call."""
    for _ in range(3):
        threading.get_ident()


class Guards:
    """All guards of one child."""

    def __init__(self) -> None:
        self._all: list[Guard] = []

    def add(self, guard: Guard) -> Guard:
        """One more; it is returned."""
        self._all.append(guard)
        return guard

    def look(self) -> None:
        """The supervisor left word: whoever it concerns is interrupted."""
        for guard in self._all:
            if guard.seq:
                guard.look()

    @contextmanager
    def mask(self) -> Iterator[None]:
        """Throw nothing into this thread meanwhile, but right after it."""
        me = threading.get_ident()
        here = [guard for guard in self._all if guard.seq and guard.thread == me]
        for guard in here:
            guard.mask()
        try:
            yield
        finally:
            for guard in here:
                guard.unmask()
