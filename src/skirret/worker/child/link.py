"""A child's end of its line to the supervisor: permits to start, frames to run, outcomes to report."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

# Bound here, before a greenlet pool patches their modules: waiting is the slots' business, reading and writing is ours.
from os import read
from socket import socket as Socket  # noqa: N812

from skirret import clock
from skirret.worker.board import Chalk
from skirret.worker.durations import Durations
from skirret.worker.frames import (
    MAX_BATCH_BYTES,
    PERMIT,
    STOP_PERMIT,
    Outcome,
    Run,
    Splitter,
    Told,
    Up,
    pack,
    unpack_down,
)

HOLD = 0.010
"""Seconds that a finished outcome may wait for company."""

BEAT = 0.25
"""Seconds between two beacons of a child with many slots."""

LONG = 0.001
"""A task expected to take longer than this starts only after all outcomes are on their way."""

RECEIVE = 256 * 1024


class Stop(Exception):
    """The supervisor wants this child to leave, or is gone."""


def open_link(sock: int, permits: int, chalk: Chalk) -> Link:
    """A child's line, from the descriptors that its supervisor made."""
    os.set_blocking(permits, False)
    return Link(Socket(fileno=sock), permits, chalk)


class Link:
    """Takes permits and frames, sends outcomes in batches. Reporting is safe from several threads."""

    def __init__(self, sock: socket.socket, permits: int, chalk: Chalk) -> None:
        self.permits = permits
        self.chalk = chalk
        """Writes on the board what runs."""
        self.appeared = threading.Event()
        """Set when an outcome begins to wait for company, for slots that watch over it."""
        self._sock = sock
        self._splitter = Splitter()
        self._frames: dict[int, Run] = {}
        self._unsent: list[Up] = []
        self._unsent_bytes = 0
        self._oldest = 0.0
        self._lock = threading.RLock()
        self._durations = Durations()
        self._poll: select.poll | None = None

    def next(self) -> Run:
        """The next frame that may start, waiting for one; outcomes are reported before waiting.

        Raises:
            Stop: no more work will come.
        """
        while True:
            run = self.try_next()
            if run is not None:
                return run
            self.flush()
            self._wait()

    def try_next(self) -> Run | None:
        """The next frame that may start, or None if no permit is there.

        Raises:
            Stop: no more work will come.
        """
        try:
            token = read(self.permits, PERMIT.size)
        except BlockingIOError:
            return None
        if not token:
            raise Stop
        (seq,) = PERMIT.unpack(token)
        if seq == STOP_PERMIT:
            self.flush()
            raise Stop
        return self._frame(seq)

    def starting(self, name: str) -> None:
        """Called before user code of task `name` runs: what is finished must not wait behind it for long."""
        if self._unsent and (self._durations.expected(name) > LONG or clock.monotonic() - self._oldest > HOLD):
            self.flush()

    def report(self, frame: Up) -> None:
        """Send an outcome, soon; a report of a state leaves at once."""
        with self._lock:
            if not self._unsent:
                self._oldest = clock.monotonic()
                self.appeared.set()
            self._unsent.append(frame)
            if isinstance(frame, Outcome):
                if frame.runtime >= 0:
                    self._durations.learn(frame.name, frame.runtime)
                if frame.result is not None:
                    self._unsent_bytes += len(frame.result.payload)
                if self._unsent_bytes < MAX_BATCH_BYTES:
                    return
            elif isinstance(frame, Told):  # its outcome comes next
                return
            self.flush()

    def flush(self) -> None:
        """Send all outcomes now."""
        with self._lock:
            unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
            if unsent:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the permit pipe will say so too
                    self._sock.sendall(pack(unsent))

    @property
    def unsent(self) -> bool:
        """Whether outcomes wait for company."""
        return bool(self._unsent)

    def _wait(self) -> None:
        # The line is read too: a large batch gets its permits only when all of it is through.
        poll = self._poll
        if poll is None:
            poll = self._poll = select.poll()
            poll.register(self.permits, select.POLLIN | select.POLLHUP)
            poll.register(self._sock, select.POLLIN | select.POLLHUP)
        for fd, _ in poll.poll():
            if fd != self.permits:
                self.receive()

    def receive(self, flags: int = socket.MSG_DONTWAIT) -> None:
        """Read what the supervisor has sent, if anything; without `flags`, wait for it.

        Raises:
            Stop: the supervisor is gone.
        """
        try:
            data = self._sock.recv(RECEIVE, flags)
        except BlockingIOError:
            return
        if not data:
            raise Stop
        for body in self._splitter.feed(data):
            for frame in unpack_down(body):
                self._frames[frame.seq] = frame

    def _frame(self, seq: int) -> Run:
        # Permits are given in the order of the frames, so an older frame still here was taken back.
        frames = self._frames
        while seq not in frames:
            self.receive(0)
        run = frames.pop(seq)
        while frames:
            oldest = next(iter(frames))
            if oldest > seq:
                break
            del frames[oldest]
        return run

    def abandon(self) -> None:
        """After a fork, in the new process: neither permits nor outcomes are its business."""
        self._lock = threading.RLock()
        dead, other = socket.socketpair()
        other.close()
        os.dup2(dead.fileno(), self._sock.fileno())
        os.dup2(dead.fileno(), self.permits)
        dead.close()

    def fileno(self) -> int:
        """The line's descriptor, for loops that watch it."""
        return self._sock.fileno()
