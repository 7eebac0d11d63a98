"""Names the task that blocks its event loop: a thread looks whether the loop turns, and where it stands if not."""

from __future__ import annotations

import sys
import threading

from skirret import clock, loggers
from skirret.worker.child.link import BEAT
from skirret.worker.child.stacks import task_of

logger = loggers.own("skirret.worker")


class LoopWatch:
    """Watches the loop of the thread that makes this.

    Args:
        patience: seconds that one step of a task may take before it is named; None or 0 watches nothing.
    """

    def __init__(self, patience: float | None) -> None:
        # The loop shows that it turns each BEAT seconds, so a shorter time cannot be told from none.
        self._patience = max(patience, 2 * BEAT) if patience else None
        self._turned = clock.monotonic()
        self._thread = threading.get_ident()
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        if self._patience is not None:
            threading.Thread(target=self._watch, args=(self._patience,), name="skirret-watch", daemon=True).start()

    def turned(self) -> None:
        """The loop turns; called by it each BEAT seconds."""
        self._turned = clock.monotonic()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()

    def _watch(self, patience: float) -> None:
        while not self._over.wait(patience / 2):
            since = self._turned
            if clock.monotonic() - since < patience:
                continue
            who = self._name(clock.monotonic() - since)
            while self._turned == since and not self._over.wait(0.05):
                pass
            if who and not self._over.is_set():
                logger.warning("%s let go of the event loop after %.1f s", who, self._turned - since)

    def _name(self, seconds: float) -> str:
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001  there is no other way to another thread
        told = task_of(frame, "loop")
        if told is None:
            return ""
        who = f"Task {told.name}[{told.id}]"
        logger.warning(
            "%s has blocked the event loop for %.1f s, and all other tasks of this process with it: await what waits, "
            "or make it a plain function, which runs in a thread. It is at\n%s",
            who,
            seconds,
            "\n".join(told.lines[-8:]),
        )
        return who
