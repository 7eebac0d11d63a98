"""The waiting room of one process: everybody waits for results here, and one at a time asks the backend for all.

One of the blocked threads leads: it calls ``backend.wait`` for the tasks of all, hands out what came, and passes the
lead on when its own wait is over. Coroutines and callbacks have no thread that could lead, so while there are any, a
daemon thread does; it starts with the first of them and ends when it was idle for some seconds. Nothing else needs
a background thread. Threading primitives are made with the room, so after gevent or eventlet patched them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable

from skirret import loggers
from skirret.backends.base import ResultBackend
from skirret.clock import Deadline
from skirret.results.waiters import Awaiting, Blocked, Calling, Waiter, wake_all

logger = loggers.own("skirret.results")

LONGEST = 5.0
"""Seconds of one ``backend.wait``: a bound for what a lost interrupt would cost, not a polling period.

Not shorter than the outage of a server that a backend's wait outlives."""

PATIENCE = 10.0
"""Seconds after which a follower looks around itself: a bound for what a lost wake-up would cost."""

IDLE = 10.0
"""Seconds without coroutines and callbacks after which the daemon thread ends."""

CROWD = 32
"""From so many tasks on, the leader lets a moment pass between two waits, so that what arrives is handled together."""

GATHER = 5e-6
"""Seconds of that moment for each task waited for (a wait costs time in proportion to its tasks, too)."""

GATHER_MAX = 0.01
"""Seconds that this moment never exceeds."""

_THREAD = object()
"""Stands for the daemon thread as leader."""


class WaitingRoom:
    """Who waits in this process for results of one backend.

    Args:
        backend: asked by one leader at a time; the others call only its ``interrupt``.
    """

    def __init__(self, backend: ResultBackend) -> None:
        self.pid = os.getpid()
        self._backend = backend
        # Reentrant: a coroutine that the garbage collector closes may leave while this thread is in here.
        self._lock = threading.RLock()
        self._bell = threading.Condition(self._lock)
        self._by_id: dict[str, dict[Waiter, None]] = {}
        self._followers: dict[Blocked, None] = {}
        self._detached: set[Waiter] = set()
        self._calls: list[Calling] = []
        self._leader: object | None = None
        self._watched: set[str] | None = None
        self._poked = False
        self._thread: threading.Thread | None = None

    # --- in and out

    def enter(self, waiter: Waiter) -> None:
        """Begin to wait."""
        with self._lock:
            for task_id in waiter.pending:
                self._by_id.setdefault(task_id, {})[waiter] = None
            if waiter.detached and waiter.pending:
                self._detached.add(waiter)
                try:
                    self._need_thread()
                except RuntimeError as exc:  # the system gives no more threads, or the interpreter ends
                    exc.add_note("Coroutines and callbacks wait for results in a thread; get() needs none.")
                    self.leave(waiter)
                    raise
            poke = self._poke(waiter)
        if poke:
            self._backend.interrupt()

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting; nothing of `waiter` stays behind. May be called twice."""
        with self._lock:
            for task_id in waiter.pending:
                self._forget(task_id, waiter)
            waiter.pending.clear()
            self._detached.discard(waiter)
            if isinstance(waiter, Blocked):
                self._followers.pop(waiter, None)
            if self._leader is waiter:
                self._leader = None
            self._hand_on()
            idle = self._leader is _THREAD and not self._detached and self._watched is not None
        if idle:
            self._backend.interrupt()

    def _forget(self, task_id: str, waiter: Waiter) -> None:
        waiters = self._by_id.get(task_id)
        if waiters is not None:
            waiters.pop(waiter, None)
            if not waiters:
                del self._by_id[task_id]

    # --- a blocked thread

    def step(self, waiter: Blocked, timeout: float | None) -> dict[str, bytes]:
        """Wait until something of `waiter`'s came, and take it; {} after `timeout` seconds or if nothing is pending.

        Raises:
            Exception: what the backend raised.
        """
        deadline = Deadline(timeout)
        try:
            while True:
                with self._lock:
                    left = deadline.left()
                    if waiter.served() or not waiter.pending or left == 0.0:
                        return waiter.take()
                    if self._leader is None:
                        self._followers.pop(waiter, None)
                        self._leader = waiter
                    event = None if self._leader is waiter else waiter.rest()
                    if event is not None:
                        self._followers[waiter] = None
                if event is None:
                    self._wait_once(left)
                else:
                    event.wait(PATIENCE if left is None else min(left, PATIENCE))
        finally:
            with self._lock:
                self._followers.pop(waiter, None)
                if self._leader is waiter:
                    self._leader = None
                self._hand_on()

    # --- a coroutine

    async def astep(self, waiter: Awaiting, timeout: float | None) -> dict[str, bytes]:
        """As `step`, for a coroutine of ``waiter.loop``."""
        deadline = Deadline(timeout)
        while True:
            with self._lock:
                left = deadline.left()
                if waiter.served() or not waiter.pending or left == 0.0:
                    return waiter.take()
            future = waiter.future = waiter.loop.create_future()
            timer = None if left is None else waiter.loop.call_later(left, waiter.resolve)
            try:
                await future
            finally:
                waiter.future = None
                if timer is not None:
                    timer.cancel()

    # --- the lead

    def _poke(self, waiter: Waiter) -> bool:
        # One interrupt is enough for all that come before the leader looks around again.
        if self._watched is None or self._poked or waiter.pending <= self._watched:
            return False
        self._poked = True
        return True

    def _hand_on(self) -> None:
        if self._leader is not None:
            return
        # Both are asked, and the first leads: the daemon thread may be inside a user's callback.
        if self._detached:
            self._bell.notify()
        if self._followers:
            next(iter(self._followers)).wake()

    def _wait_once(self, left: float | None) -> None:
        crowd = len(self._by_id)
        if crowd >= CROWD:
            pause = min(GATHER_MAX, crowd * GATHER)
            time.sleep(pause if left is None else min(left, pause))
        with self._lock:
            ids = list(self._by_id)
            self._watched = set(ids)
            self._poked = False
        woken: Iterable[Waiter] = ()
        try:
            found = self._backend.wait(ids, LONGEST if left is None else min(left, LONGEST)) if ids else {}
        except Exception as exc:  # noqa: BLE001  handed to all for whom the call was made
            with self._lock:
                woken = self._fail(ids, exc)
        else:
            if found:
                with self._lock:
                    woken = self._deliver(found)
        finally:
            self._watched = None
        wake_all(woken)

    def _deliver(self, found: dict[str, bytes]) -> dict[Waiter, None]:
        woken: dict[Waiter, None] = {}
        for task_id, payload in found.items():
            for waiter in self._by_id.pop(task_id, ()):
                waiter.pending.discard(task_id)
                waiter.found[task_id] = payload
                woken[waiter] = None
        return self._release(woken)

    def _fail(self, ids: list[str], exc: Exception) -> dict[Waiter, None]:
        woken: dict[Waiter, None] = {}
        for task_id in ids:
            for waiter in self._by_id.pop(task_id, ()):
                waiter.pending.discard(task_id)
                waiter.error = exc
                woken[waiter] = None
        return self._release(woken)

    def _release(self, woken: dict[Waiter, None]) -> dict[Waiter, None]:
        for waiter in woken:
            if not waiter.pending:
                self._detached.discard(waiter)
            if isinstance(waiter, Calling):
                self._calls.append(waiter)
        if self._calls:
            self._need_thread()
        return woken

    # --- the daemon thread

    def _need_thread(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="skirret-results", daemon=True)
            thread.start()
            self._thread = thread
        self._bell.notify()

    def _run(self) -> None:
        while True:
            with self._bell:
                while not self._calls and (not self._detached or self._leader is not None):
                    rung = self._bell.wait(IDLE)
                    if not rung and not self._detached and not self._calls:
                        self._thread = None
                        return
                calls, self._calls = self._calls, []
                if not calls:
                    self._leader = _THREAD
            # Never while leading: a callback may itself wait for a result.
            for waiter in calls:
                _run_call(waiter)
            if not calls:
                self._lead()

    def _lead(self) -> None:
        try:
            while True:
                self._wait_once(None)
                with self._lock:
                    if not self._detached or self._calls:
                        return
        finally:
            with self._lock:
                self._leader = None
                self._hand_on()


def _run_call(waiter: Calling) -> None:
    try:
        waiter.call(waiter)
    except Exception:
        logger.exception("A callback for a result raised; the result is not affected.")
