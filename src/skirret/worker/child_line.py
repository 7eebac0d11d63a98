"""The supervisor's end of the line to one child: frames and permits down, outcomes up, never blocking."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from skirret import clock, loggers
from skirret.worker import kin
from skirret.worker.board import Board
from skirret.worker.frames import MAX_BATCH_BYTES, STOP_PERMIT, Conclude, Run, Splitter, Up, pack, unpack_up
from skirret.worker.job import Job
from skirret.worker.loop import READ, WRITE, Loop
from skirret.worker.permits import Permits

logger = loggers.own("skirret.worker")

RECEIVE = 256 * 1024
MAX_OUTSTANDING = 2000
"""Frames that a child may hold, unless it has more slots."""

READ_SPEED = 50e6
"""Bytes a second at which even a child on a busy machine reads: a large frame gets that time before it can stall."""

PATIENCE, MAX_PATIENCE = 0.1, 2.0
"""Seconds, doubling, after which a child that started nothing although it has free slots is offered work again."""

MAX_BUFFERED = 1024 * 1024
"""Bytes that wait for a child to read; beyond that it gets no more frames."""


class _Batch:
    """Bytes on their way to a child, and the permits to give once they are through."""

    __slots__ = ("data", "sent", "seqs")

    def __init__(self, data: bytes, seqs: list[int]) -> None:
        self.data = data
        self.seqs = seqs
        self.sent = 0


class ChildLine:
    """One child, as its supervisor sees it.

    Args:
        loop: the supervisor's loop.
        number: the child's number, for people.
        slots: how many tasks it runs at a time.
        received: called with the frames that came up.
    """

    def __init__(self, loop: Loop, number: int, slots: int, received: Callable[[ChildLine, list[Up]], None]) -> None:
        self.number = number
        self.index = 1
        """The lowest number that no other child has."""
        self.slots = slots
        self.pid = 0
        self.home: object = None
        """The template that it was forked from, with which it dies."""
        self.ready = False
        self.condemned = False
        self.quiet = False
        """Nothing was sent or heard since the last look at whether it is stuck."""
        self.stalled = False
        """It did not start what it was given; it gets nothing more until it reports."""
        self.alone = False
        """It runs a job that must have no neighbours."""
        self.isolated = False
        """It was made to run such jobs and gets no others."""
        self.innocent = False
        """Its supervisor ends it, for a reason that lies in none of the tasks that it still has."""
        self.fault = ""
        """Why its supervisor kills it, in words, where that is its task's doing."""
        self.quota: int | None = None
        """How many more tasks it may be given, where that is bounded."""
        self.reserved: dict[int, Job] = {}
        """Jobs that are being acknowledged before they start, by tag; for each a slot is kept."""
        self.outstanding: dict[int, Job] = {}
        self.load = 0.0
        """Seconds of expected work that is sent and not settled."""
        self.unsettled = 0.0
        """The part of `load` that is finished: what would run twice if everything died now."""
        self.progress = clock.monotonic()
        self._patience = PATIENCE
        self._offer_at = 0.0
        self._last_seen: list[tuple[int, float]] | None = None
        self._loop = loop
        self._received = received
        self.handed = 0
        """Frames that it was given since it began; the last one's number."""
        self._splitter = Splitter()
        self._batches: deque[_Batch] = deque()
        self.buffered = 0  # bytes that wait for it to read
        self._sock, self.child_sock = socket.socketpair()
        self.permits = Permits()
        self.board = Board(slots)
        self._sock.setblocking(False)
        self._watching = True
        self._writing = False
        loop.watch(self._sock.fileno(), READ, self._io)

    def held(self) -> int:
        """Frames sent and not reported, and slots reserved."""
        return len(self.outstanding) + len(self.reserved)

    def jobs(self) -> list[Job]:
        """What it has, and what it is about to get."""
        return [*self.outstanding.values(), *self.reserved.values()]

    def reserve(self, job: Job) -> None:
        """Keep a slot for a job that is not to start yet, and the whole child if it must have no neighbours."""
        self.reserved[job.delivery.tag] = job
        self.alone = self.alone or job.alone

    def unreserve(self, job: Job) -> None:
        """Its slot is free again."""
        self.reserved.pop(job.delivery.tag, None)
        self._end_solitude()

    def _end_solitude(self) -> None:
        """Something is gone from here; with the last of it, neighbours may come again."""
        if not self.held():
            self.alone = False

    def free(self) -> int:
        """Slots that nothing was sent to."""
        return max(0, self.slots - self.held()) if self.accepts() else 0

    def accepts(self) -> bool:
        """Whether more frames may be sent at all."""
        return (
            self.ready
            and not (self.condemned or self.stalled or self.alone)
            and len(self.outstanding) < self.most
            and self.buffered < MAX_BUFFERED
        )

    def running(self) -> list[tuple[Job, float]]:
        """The jobs that are in user code now, or were when the child died, each with the moment at which it got there.

        Moments are of the monotonic clock. What the child was sent and is not here waits, is read, or has finished.
        """
        noted = self.board.running() if self._last_seen is None else self._last_seen
        return [(self.outstanding[seq], began) for seq, began in noted if seq in self.outstanding]

    def heartbeats(self, job: Job) -> int:
        """How often a running job has said that it lives, since some moment before it began."""
        return next((self.board.progress(seq) for seq, one in self.outstanding.items() if one is job), 0)

    @property
    def most(self) -> int:
        """How many frames it may hold."""
        most = max(MAX_OUTSTANDING, self.slots)
        return most if self.quota is None else min(most, len(self.outstanding) + self.quota)

    def to_be_watched(self) -> bool:
        """Whether time alone changes what may be done with it."""
        if self.stalled:
            return len(self.outstanding) < self.slots
        return bool(self.outstanding) and not self.quiet

    def stall(self) -> None:
        """It did not start what it was given: nothing more until it reports, or, with a free slot, for a while."""
        self.stalled = True
        self._offer_at = clock.monotonic() + self._patience
        self._patience = min(2 * self._patience, MAX_PATIENCE)

    def offer_again(self) -> None:
        """End a stall whose time is over: perhaps the machine was busy, and not all slots of the child were."""
        if self.to_be_watched() and clock.monotonic() >= self._offer_at:
            self.stalled = False

    def send(self, jobs: Sequence[Job]) -> None:
        """Send frames; each gets its permit when the child can have read it."""
        runs: list[Run] = []
        size = 0
        if self.quiet or not self.outstanding:
            self.progress = clock.monotonic()
        self.quiet = False
        if self.quota is not None:
            self.quota = max(0, self.quota - len(jobs))
        for job in jobs:
            self.alone = self.alone or job.alone
            self.handed += 1
            self.outstanding[self.handed] = job
            self.load += job.expected
            delivery = job.delivery
            if job.conclusion is None:
                runs.append(Run(self.handed, delivery.raw, delivery.queue, delivery.deliveries))
            else:
                told = (self.handed, delivery.raw, delivery.queue, delivery.deliveries, job.conclusion)
                runs.append(Conclude(*told))
            size += len(delivery.raw)
            if size > MAX_BATCH_BYTES:
                self._queue(runs)
                runs, size = [], 0
        if runs:
            self._queue(runs)
        self._write()

    def done(self, seq: int) -> Job | None:
        """The job of a frame that has its outcome; its work counts until `settled`."""
        job = self.outstanding.pop(seq, None)
        if job is not None:
            self.unsettled += job.expected
            if self.alone:
                self._end_solitude()
        return job

    def settled(self, job: Job) -> None:
        """The outcome of a job of ours is where it cannot be lost."""
        self.load -= job.expected
        self.unsettled -= job.expected

    def recall(self) -> list[Job]:
        """Take back, in order, all frames that the child has not started; it cannot start them any more."""
        seqs = self.permits.draw_back()
        while self._batches and not self._batches[-1].sent:
            batch = self._batches.pop()
            self.buffered -= len(batch.data)
            seqs += batch.seqs
        for batch in self._batches:  # begun: its bytes must go through, but nothing of it gets a permit
            seqs += batch.seqs
            batch.seqs = []
        jobs = [self.outstanding.pop(seq) for seq in sorted(seqs) if seq in self.outstanding]
        self.load -= sum(job.expected for job in jobs)
        if self.quota is not None:
            self.quota += len(jobs)
        self._end_solitude()
        return jobs

    def nudge(self) -> None:
        """Ask it to report what it has finished, and to look at its board; harmless if there is nothing."""
        if self.pid == os.getpid():
            os.kill(self.pid, signal.SIGURG)
        self.signal(signal.SIGURG)

    def interrupt(self, job: Job, *, stopping: bool = False) -> bool:
        """Have SoftTimeLimitExceeded raised in a job that is in user code, or WorkerStopping; False if it is not."""
        asked = any(
            self.board.interrupt(seq, stopping=stopping) for seq, held in self.outstanding.items() if held is job
        )
        if asked:
            self.nudge()
        return asked

    def hear(self) -> None:
        """Read what it has said, if anything."""
        if self._watching:
            self._read()

    def forget(self, job: Job) -> bool:
        """Let go of a job that it runs: its outcome will be dropped. False if it has none such."""
        seq = next((seq for seq, held in self.outstanding.items() if held is job), None)
        if seq is None:
            return False
        del self.outstanding[seq]
        self.load -= job.expected
        return True

    def ask_to_stop(self) -> None:
        """Let it finish what it runs, report, and leave."""
        self.permits.give([STOP_PERMIT])

    @property
    def closed(self) -> bool:
        """Whether it is gone."""
        return self._last_seen is not None

    def kill(self) -> None:
        """End it now, with all that its tasks have started."""
        if self.pid and not self.closed and self.pid != os.getpid():
            kin.end(self.pid)

    def signal(self, number: int) -> None:
        """Send it a signal, if it is a process of its own."""
        if self.pid and not self.closed and self.pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def release_child_ends(self) -> None:
        """Close the descriptors that the child has its own copies of; the permit pipe's read end stays for `recall`."""
        self.child_sock.close()
        self.board.handed_over()

    def close(self) -> list[Job]:
        """Read what the child still said, then let go of the line.

        Returns the jobs that it had not started; what is left in `outstanding` had begun and has no outcome.
        """
        self.condemned = True
        if self._watching:
            self._read()
        unstarted = self.recall()
        self._unwatch()
        self.ready = False
        if self._last_seen is None:
            self._last_seen = self.board.running()
            self.board.close()
        self._sock.close()
        self.child_sock.close()
        self.permits.close()
        return unstarted

    def _queue(self, runs: list[Run]) -> None:
        batch = _Batch(pack(runs), [run.seq for run in runs])
        self._batches.append(batch)
        self.buffered += len(batch.data)

    def _write(self) -> None:
        while self._batches:
            batch = self._batches[0]
            try:
                batch.sent += self._sock.send(memoryview(batch.data)[batch.sent :])
            except BlockingIOError:
                if not self._writing and self._watching:
                    self._writing = True
                    self._loop.watch(self._sock.fileno(), READ | WRITE, self._io)
                return
            except OSError:
                return  # it died; its end is told by the pool
            if batch.sent < len(batch.data):
                continue
            self._batches.popleft()
            self.buffered -= len(batch.data)
            self.permits.give(batch.seqs)
        if self._writing:
            self._writing = False
            self._loop.watch(self._sock.fileno(), READ, self._io)

    def _io(self, mask: int) -> None:
        if mask & WRITE:
            if self._batches:  # it reads a large batch, of which it cannot have started anything yet
                self.progress = clock.monotonic() + len(self._batches[0].data) / READ_SPEED
            self._write()
        if mask & READ:
            self._read()

    def _read(self) -> None:
        frames: list[Up] = []
        while True:
            try:
                data = self._sock.recv(RECEIVE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._unwatch()
                if not self.condemned:
                    self.kill()  # it is dead, or a task closed its line: it will never be heard again
                break
            try:
                for body in self._splitter.feed(data):
                    frames += unpack_up(body)
            except msgspec.MsgspecError:
                logger.exception("A child said what nobody understands (did a task write to it?); it is ended")
                self.kill()
                self._unwatch()
                break
            if len(data) < RECEIVE and not self.condemned:
                break
        if frames:
            self.progress = clock.monotonic()
            self.quiet = self.stalled = False
            self._patience = PATIENCE
            self.permits.give()  # it has read, so what there was no room for may fit
            self._received(self, frames)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.unwatch(self._sock.fileno())
