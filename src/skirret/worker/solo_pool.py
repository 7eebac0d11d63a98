"""The pool that is no pool: the worker's own process runs the tasks."""

from __future__ import annotations

import os
from collections.abc import Callable

from skirret.worker.board import Chalk
from skirret.worker.child_line import ChildLine
from skirret.worker.frames import Ready, Up
from skirret.worker.loop import Loop
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions
from skirret.worker.pool import Heard


class SoloPool:
    """The one child of ``solo``: a thread of this very process, mostly the main one.

    Args:
        loop: the supervisor's loop, which runs in another thread.
        heard: whom to tell.
        slots: how many tasks run at a time.
    """

    def __init__(self, loop: Loop, heard: Heard, slots: int = 1) -> None:
        self._heard = heard
        self.kills = False
        self.alive_within = 0.0
        self.quota: Callable[[int], int | None] = lambda _number: None
        self.child = ChildLine(loop, 1, slots, self._frames)
        self.child.pid = os.getpid()
        self.children = [self.child]

    def chalk(self) -> Chalk:
        """What the slots write on the board of their line with."""
        return Chalk(os.dup(self.child.board.fd), self.child.slots)

    def stop(self) -> None:
        """Ask the main thread to finish what it runs and leave."""
        self.child.condemned = True
        self.child.ask_to_stop()

    def kill(self) -> bool:
        """Nothing can end a thread; False."""
        return False

    def close(self) -> None:
        """Let go of the line."""
        self.child.close()

    @property
    def size(self) -> int:
        """Slots in all."""
        return self.child.slots

    def resize(self, size: int) -> None:
        """Nothing can be added to the main thread.

        Raises:
            ValueError: always.
        """
        raise ValueError("the pool solo has the slots that it has; use another pool")

    @property
    def renewing(self) -> bool:
        """It never is."""
        return False

    def restart(self, imported: Callable[[Manifest], object], options: WorkerOptions | None = None) -> None:
        """The app is in this very process.

        Raises:
            ValueError: always.
        """
        raise ValueError("the pool solo has the app in its own process; restart the worker instead")

    def condemn(self, child: ChildLine) -> None:
        """Nothing can replace the main thread."""

    def replace(self, child: ChildLine) -> None:
        """Nothing can replace the main thread."""

    def isolate(self) -> None:
        """There is no other place."""

    def _frames(self, child: ChildLine, frames: list[Up]) -> None:
        rest: list[Up] = [frame for frame in frames if not isinstance(frame, Ready)]
        if len(rest) < len(frames):
            child.ready = True
            self._heard.changed()
        if rest:
            self._heard.frames(child, rest)
