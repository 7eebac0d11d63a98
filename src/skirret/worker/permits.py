"""The pipe of permits to one child: it starts a frame only with that frame's permit, which can be drawn back unread."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable

from skirret.worker.frames import PERMIT, STOP_PERMIT

AT_ONCE = 512
"""Permits in one write: a page of a pipe, which is written whole or not at all."""


class Permits:
    """The supervisor's end, which never blocks. The child reads `read_fd`; so does `draw_back`, whoever comes first."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()
        self._ungiven: deque[int] = deque()  # what the pipe had no room for
        os.set_blocking(self.read_fd, False)
        os.set_blocking(self._write_fd, False)

    def give(self, seqs: Iterable[int] = ()) -> None:
        """Permit these frames, after those for which there was no room before."""
        ungiven = self._ungiven
        ungiven.extend(seqs)
        while ungiven:
            now = [ungiven[i] for i in range(min(AT_ONCE, len(ungiven)))]
            try:
                os.write(self._write_fd, b"".join(map(PERMIT.pack, now)))
            except OSError:  # full: when the child reports, there is room again; or it died, which the pool tells
                return
            for _ in now:
                ungiven.popleft()

    def draw_back(self) -> list[int]:
        """All permits that the child has not read, by frame: these it cannot start any more. A stop stays said."""
        seqs: list[int] = []
        while True:
            try:
                tokens = os.read(self.read_fd, 65536)
            except (BlockingIOError, OSError):
                break
            if not tokens:
                break
            seqs += [seq for (seq,) in PERMIT.iter_unpack(tokens)]
        seqs += self._ungiven
        self._ungiven.clear()
        if STOP_PERMIT in seqs:
            self.give([STOP_PERMIT])
        return seqs

    def close(self) -> None:
        """Let go of both ends."""
        for fd in (self.read_fd, self._write_fd):
            with contextlib.suppress(OSError):
                os.close(fd)
