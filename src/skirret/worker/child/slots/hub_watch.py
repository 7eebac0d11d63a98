"""Names the task that blocks its hub: a real thread looks whether the hub turns, and where it stands if not."""

from __future__ import annotations

import sys
import traceback

# Bound here, before a greenlet pool patches their modules: this thread must run while no greenlet can.
from _thread import get_ident, start_new_thread
from time import monotonic, sleep
from types import FrameType
from typing import Any

from skirret import loggers
from skirret.worker.child.link import BEAT

logger = loggers.own("skirret.worker")

PATIENCE = 1.0
"""Seconds for which the hub may stand still before somebody is named."""

LINES = 8
"""Frames of a stack that are told, the innermost ones."""


class HubWatch:
    """Watches the hub of the thread that makes this.

    Args:
        slot: the function whose frames run tasks; its local variable ``execution`` is the run.
    """

    def __init__(self, slot: Any) -> None:
        self._slot = slot.__code__
        self._thread = get_ident()
        self._turned = monotonic()
        self._over = False

    def start(self) -> None:
        """Begin to watch."""
        start_new_thread(self._watch, ())

    def turned(self) -> None:
        """The hub turns; called each BEAT seconds."""
        self._turned = monotonic()

    def stop(self) -> None:
        """Watch no more."""
        self._over = True

    def _watch(self) -> None:
        named = 0.0
        while not self._over:
            sleep(BEAT)
            since = self._turned
            if monotonic() - since > PATIENCE and since != named:
                named = since
                self._name(monotonic() - since)

    def _name(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001  there is no other way to another thread
        execution = self._execution(frame)
        if execution is None or frame is None:
            return
        logger.warning(
            "Task %s[%s] has blocked the hub for %.1f s, and all other greenlets of this process with it: it waits in "
            "code that does not give way, or computes; run it in another pool. It is at\n%s",
            execution.name,
            execution.id,
            seconds,
            "".join(traceback.format_stack(frame, limit=LINES)).rstrip(),
        )

    def _execution(self, frame: FrameType | None) -> Any:
        while frame is not None:
            if frame.f_code is self._slot:
                return frame.f_locals.get("execution")
            frame = frame.f_back
        return None
