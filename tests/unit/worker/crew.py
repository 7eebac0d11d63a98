"""A supervisor's line and a child's link in one process, for tests of what passes between them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from skirret.message import Delivery
from skirret.wire.envelope import Head
from skirret.worker.board import Chalk
from skirret.worker.child.link import Link
from skirret.worker.child_line import ChildLine
from skirret.worker.frames import Outcome, Up
from skirret.worker.job import Job
from skirret.worker.loop import Loop


def job(tag: int, name: str = "t", raw: bytes = b"{}", deliveries: int = 0, **kwargs: bool) -> Job:
    """A held message of task `name`."""
    head = Head(task=name, id=f"id-{tag}")
    return Job(Delivery(tag=tag, queue="q", raw=raw, deliveries=deliveries), head, **kwargs)


def link_of(line: ChildLine) -> Link:
    """The child's end of `line`."""
    return Link(line.child_sock, line.permits.read_fd, Chalk(os.dup(line.board.fd), line.slots))


def turn(loop: Loop, condition: Callable[[], object], seconds: float) -> None:
    """Turn a loop until `condition` holds, for so many seconds at most."""
    deadline = time.monotonic() + seconds
    loop._stopped = False

    def look() -> None:
        if condition() or time.monotonic() > deadline:
            loop.stop()
        else:
            loop.call_later(0.001, look)

    look()
    loop.run()
    assert condition(), "did not become true"


class Pair:
    """Both ends of a line; what came up lands in `heard`."""

    def __init__(self, slots: int = 1) -> None:
        self.loop = Loop()
        self.heard: list[Up] = []
        self.line = ChildLine(self.loop, 1, slots, self._received)
        self.line.ready = True
        self.link = link_of(self.line)

    def _received(self, line: ChildLine, frames: list[Up]) -> None:
        for frame in frames:
            self.heard.append(frame)
            if isinstance(frame, Outcome):
                finished = line.done(frame.seq)
                assert finished is not None
                line.settled(finished)

    def settle_all(self) -> None:
        """All that was sent has its outcome, and that is safe."""
        for seq in list(self.line.outstanding):
            finished = self.line.done(seq)
            assert finished is not None
            self.line.settled(finished)

    def finish(self, seq: int, runtime: float = 0.0, name: str = "t") -> None:
        """The child reports frame `seq`."""
        self.link.report(Outcome(seq, "done", runtime, name))

    def pump_until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Turn the supervisor's loop until `condition` holds."""
        turn(self.loop, condition, seconds)

    def close(self) -> None:
        """Let go of all descriptors."""
        self.line.close()
        self.loop.close()
