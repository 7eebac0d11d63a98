"""The pulse of the supervisor's loop: a beat a second. Its lateness is measured, its absence ends the process."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

from skirret import clock, loggers
from skirret.worker.loop import Loop, Timer

logger = loggers.own("skirret.worker")

BEAT = 1.0
"""Seconds between two beats."""

STANDSTILL = 60.0
"""Seconds without a beat after which the process is ended, so that whoever started it can start it anew."""

EXIT_STANDSTILL = 70


class Pulse:
    """Beats on the loop, and calls whoever wants to look after something once a second.

    Args:
        loop: the supervisor's loop.
    """

    def __init__(self, loop: Loop) -> None:
        self.beats = 0
        self.lag = 0.0
        """Seconds by which the last beat came late."""
        self.at = clock.monotonic()
        """When the last beat was, by the monotonic clock."""
        self.looks: list[Callable[[], object]] = []
        """Called with each beat."""
        self._loop = loop
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Beat from now on."""
        self.at = clock.monotonic()
        self._timer = self._loop.call_later(BEAT, self._beat)

    def end(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def age(self) -> float:
        """Seconds since the last beat."""
        return clock.monotonic() - self.at

    def _beat(self) -> None:
        now = clock.monotonic()
        self.beats += 1
        self.lag = max(0.0, now - self.at - BEAT)
        self.at = now
        self._timer = self._loop.call_later(BEAT, self._beat)
        for look in self.looks:
            look()


class Guard(threading.Thread):
    """Ends the process when the pulse stands still while this thread runs: a paused machine is not a standstill.

    Args:
        pulse: what it listens to.
        patience: seconds without a beat.
        end: ends the process; tests give another.
    """

    def __init__(self, pulse: Pulse, patience: float = STANDSTILL, end: Callable[[int], object] = os._exit) -> None:
        super().__init__(name="skirret-guard", daemon=True)
        self._pulse = pulse
        self._patience = patience
        self._end = end
        self._over = threading.Event()

    def stop(self) -> None:
        """The loop has ended; so do we."""
        self._over.set()

    def run(self) -> None:
        """Look several times in the time of patience; only time that this thread saw pass counts."""
        step = min(5.0, self._patience / 4)
        beats, still = self._pulse.beats, 0.0
        while not self._over.wait(step):
            if self._pulse.beats != beats:
                beats, still = self._pulse.beats, 0.0
                continue
            still += step
            if still >= self._patience:
                break
        else:
            return
        logger.critical(
            "The worker's own loop has stood still for %.0f s: this process ends now, its tasks run again elsewhere. "
            "What each thread was doing follows on stderr. Please report it.",
            still,
        )
        faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)
        self._end(EXIT_STANDSTILL)
