"""The pool that is no pool: the worker's own process runs the tasks.

Where another pool replaces a child, this worker begins anew by the same command line, as HUP makes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from skirret import clock
from skirret.worker.board import Chalk
from skirret.worker.child_line import ChildLine
from skirret.worker.frames import Ready, Up
from skirret.worker.loop import Loop
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions
from skirret.worker.pool import Heard

AGAIN = 10.0
"""Seconds after which a worker that could not begin anew, because its app cannot be imported, tries it once more."""


class SoloPool:
    """The one child of ``solo``: a thread of this very process, mostly the main one.

    Args:
        loop: the supervisor's loop, which runs in another thread.
        heard: whom to tell.
        slots: how many tasks run at a time.
        options: what the command line asks.
        anew: makes the worker begin anew, if the app can be imported, and else calls what it is given; None where
            no worker can begin anew.
    """

    def __init__(
        self,
        loop: Loop,
        heard: Heard,
        slots: int = 1,
        options: WorkerOptions | None = None,
        anew: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        self._heard = heard
        self._anew = anew
        self._options = options
        self._next_try = 0.0
        self.kills = False
        self.alive_within = 0.0
        self.quota: Callable[[int], int | None] = lambda _number: None
        self.child = ChildLine(loop, 1, slots, self._frames)
        self.child.pid = os.getpid()
        self.children = [self.child]

    def chalk(self) -> Chalk:
        """What the slots write on the board of their line with."""
        return Chalk(os.dup(self.child.board.fd), self.child.slots)

    def start(self) -> None:
        """Let the one child serve for a life, if that is to be bounded."""
        self.child.quota = self.quota(self.child.number)

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
        """Its one slot is the thread that everything else in this process stands on: none can be added or taken away.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "the pool solo is one slot in the worker's own process, and cannot grow, shrink or scale; use another pool"
        )

    @property
    def renewing(self) -> bool:
        """The app is not imported anew beside the one that runs."""
        return False

    def restart(self, imported: Callable[[Manifest], object], options: WorkerOptions | None = None) -> None:
        """Begin anew: nobody is told that the app `imported`, for that is another worker's matter then.

        Raises:
            ValueError: with other options than the command line's that is not possible.
        """
        if self._anew is None or (options is not None and options != self._options):
            raise ValueError("the pool solo begins anew by its own command line: name further modules there, with -I")
        self._anew(bool)

    def condemn(self, child: ChildLine) -> None:
        """The child's time is over: begin anew. If that fails it serves on, and it is tried again later."""
        now = clock.monotonic()
        if self._anew is None or now < self._next_try:
            self.start()
            return
        self._next_try = now + AGAIN
        self._anew(self.start)

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
