"""The supervisor's one loop: sockets that became readable or writable, timers, and calls from other threads."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
from collections import deque
from collections.abc import Callable
from typing import Any

from skirret import clock, loggers

logger = loggers.own("skirret.worker")

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Timer:
    """One call in the future; ``cancel()`` makes it never happen."""

    __slots__ = ("at", "callback", "cancelled")

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Make it never happen."""
        self.cancelled = True


class Loop:
    """Runs callbacks on one thread. Only `call_from_thread` and `wakeup_fd` may be used from elsewhere."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._calls: deque[Callable[[], object]] = deque()
        self._wake_read, self.wakeup_fd = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self.wakeup_fd, False)
        self._selector.register(self._wake_read, READ, self._woken)
        self._stopped = False
        self.before_wait: Callable[[], object] | None = None
        """Called once a round, when all that came in it has been told."""
        self.signalled: Callable[[], object] | None = None
        """Called when this process got a signal (but SIGURG, by which the worker speaks to itself)."""

    def watch(self, fd: int, events: int, callback: Callable[[int], object]) -> None:
        """Call ``callback(mask)`` whenever `fd` is ready; replaces an earlier watch of `fd`."""
        try:
            self._selector.modify(fd, events, callback)
        except KeyError:
            self._selector.register(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`."""
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError):
            return

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call once, `seconds` from now."""
        timer = Timer(clock.monotonic() + seconds, callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def call_from_thread(self, callback: Callable[[], object]) -> None:
        """Call soon, on the loop's thread; safe from any thread and from signal handlers."""
        self._calls.append(callback)
        self.wake()

    def wake(self) -> None:
        """End the current wait."""
        try:
            os.write(self.wakeup_fd, b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def stop(self) -> None:
        """Leave ``run`` after the current round."""
        self._stopped = True
        self.wake()

    def run(self) -> None:
        """Run until ``stop``. A callback that raises is logged and does not end the loop."""
        while not self._stopped:
            self._call(self.before_wait)
            for key, mask in self._selector.select(self._patience()):
                self._call(key.data, mask)
            while self._calls:
                self._call(self._calls.popleft())
            self._run_timers()

    def close(self) -> None:
        """Give the loop's own descriptors back."""
        self._selector.close()
        os.close(self._wake_read)
        os.close(self.wakeup_fd)

    def _patience(self) -> float | None:
        if self._calls or self._stopped:
            return 0.0
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - clock.monotonic())

    def _run_timers(self) -> None:
        now = clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._call(timer.callback)

    def _woken(self, _mask: int) -> None:
        try:
            told = os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        if self.signalled is not None and told.strip(b"\0" + bytes((signal.SIGURG,))):  # Python writes their numbers
            self.signalled()

    def _call(self, callback: Callable[..., object] | None, *args: Any) -> None:
        if callback is None:
            return
        try:
            callback(*args)
        except Exception:
            logger.exception("A bug in the worker's own loop; it goes on. Please report it.")
