"""The supervisor's end of the line to its handler process, and what it says over it."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from skirret import clock, loggers
from skirret.message import Delivery, Malformed
from skirret.wire.envelope import Head
from skirret.worker import admission
from skirret.worker.frames import Splitter
from skirret.worker.job import Job
from skirret.worker.loop import READ, WRITE, Loop
from skirret.worker.words import Answer, Word, pack, unpack_answer

logger = loggers.own("skirret.worker")

MAX_WAITING = 8 * 1024 * 1024
"""Bytes that may wait for a handler that is slow or stuck; what comes then is not told."""

FAREWELL = 10.0
"""Seconds that handlers of ``worker_shutdown`` get."""

AGAIN = 1.0
"""Seconds after which a handler process that died is started anew."""


class Carrier(Protocol):
    """Who carries words out: a process, or a thread under ``solo``."""

    def say(self, word: Word) -> None:
        """Have it carried out soon."""

    def finish(self, patience: float) -> None:
        """Carry out what was said, for `patience` seconds at most."""


class NodeHooks:
    """What happens at a worker, for its handler; nothing is said that nobody hears.

    Args:
        carrier: who carries it out.
        heard: names of the hooks that somebody listens to.
    """

    def __init__(self, carrier: Carrier, heard: Iterable[str]) -> None:
        self.carrier = carrier
        self.heard = frozenset(heard)

    def received(self, jobs: Iterable[Job]) -> None:
        """These messages will run here."""
        if "received" in self.heard:
            for job in jobs:
                self._about("received", job.delivery)

    def refused(self, delivery: Delivery, head: Head | Malformed, decision: admission.Decision) -> None:
        """A message will not run here, or not now."""
        match decision:
            case admission.Drop(reason):
                self.revoked(delivery, expired=reason == "expired")
            case admission.Reject(reason):
                self._about("rejected", delivery, reason=reason)
            case admission.Wait() if isinstance(head, Head):
                self._about("unknown", delivery, name=head.task, id=head.id)

    def revoked(
        self, delivery: Delivery, *, terminated: bool = False, signum: int | None = None, expired: bool = False
    ) -> None:
        """A message was dropped, or its run ended (by signal `signum`), because it was revoked or had expired."""
        self._about("revoked", delivery, terminated=terminated, signum=signum, expired=expired)

    def ready(self) -> None:
        """The worker takes messages."""
        self._node("worker_ready")

    def shutting_down(self, sig: str, how: str, exitcode: int) -> None:
        """The worker was told to stop."""
        self._node("worker_shutting_down", sig=sig, how=how, exitcode=exitcode)

    def heartbeat(self) -> None:
        """The worker said that it lives."""
        self._node("heartbeat_sent")

    def stopped(self) -> None:
        """The worker has stopped: the last word; returns when it was carried out, or took too long."""
        self._node("worker_shutdown")
        self.carrier.finish(FAREWELL)

    def _node(self, hook: str, **values: object) -> None:
        if hook in self.heard:
            self.carrier.say(Word(hook, values=values))

    def _about(self, hook: str, delivery: Delivery, **values: object) -> None:
        if hook in self.heard:
            self.carrier.say(Word(hook, delivery.raw, delivery.queue, delivery.deliveries, values))


class HandlerLine:
    """The line to a handler process, which a pool has forked.

    Args:
        loop: the supervisor's loop.
    """

    def __init__(self, loop: Loop) -> None:
        self.pid = 0
        self.their_end: socket.socket | None = None
        """What the process gets, until it has it."""
        self._loop = loop
        self._sock: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._sent = 0
        self._splitter = Splitter()
        self._asked: dict[int, Callable[[Answer], object]] = {}
        self._last = 0
        self._complained = False

    def open(self) -> socket.socket:
        """A new line, for a new process; its end of it."""
        self._sock, self.their_end = socket.socketpair()
        self._sock.setblocking(False)
        self._splitter = Splitter()
        self._sent = 0
        self._watch()
        return self.their_end

    def has_its_end(self, pid: int) -> None:
        """The process was forked (`pid`), or could not be (0)."""
        self.pid = pid
        if self.their_end is not None:
            self.their_end.close()
            self.their_end = None

    def say(self, word: Word) -> None:
        """Have a word carried out soon; never waits."""
        if self._size > MAX_WAITING:
            if not self._complained:
                self._complained = True
                logger.error("Hooks of this worker are slower than what happens; some of it is not told to them.")
            return
        data = pack(word)
        self._waiting.append(data)
        self._size += len(data)
        self._write()

    def ask(self, name: str, arguments: dict[str, object], answered: Callable[[Answer], object]) -> None:
        """Have a command carried out; `answered` gets what it gave, on the loop."""
        self._last += 1
        self._asked[self._last] = answered
        self.say(Word("", values={"name": name, "arguments": arguments}, id=self._last))

    def died(self) -> None:
        """The process is gone: what it was asked has no answer."""
        self.pid = 0
        self._let_go()
        asked, self._asked = self._asked, {}
        for number, answered in asked.items():
            answered(Answer(number, None, "the handler process died"))

    def finish(self, patience: float) -> None:
        """Send what waits, then hear the process leave; the loop turns no more."""
        sock, deadline = self._sock, clock.Deadline(patience)
        if sock is None:
            return
        self._loop.unwatch(sock.fileno())
        with contextlib.suppress(OSError):
            while self._waiting and not deadline.passed():
                select.select([], [sock], [], deadline.left())
                self._write()
            sock.shutdown(socket.SHUT_WR)
            while not deadline.passed():
                sock.settimeout(deadline.left())
                if not sock.recv(65536):
                    break
        self._let_go()

    def _let_go(self) -> None:
        if self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self.has_its_end(self.pid)

    def _watch(self) -> None:
        if self._sock is not None:
            self._loop.watch(self._sock.fileno(), READ | WRITE if self._waiting else READ, self._io)

    def _io(self, mask: int) -> None:
        if mask & WRITE:
            self._write()
        if mask & READ:
            self._read()

    def _write(self) -> None:
        if self._sock is None:
            return
        try:
            while self._waiting:
                data = self._waiting[0]
                self._sent += self._sock.send(memoryview(data)[self._sent :])
                if self._sent < len(data):
                    break
                self._waiting.popleft()
                self._size -= len(data)
                self._sent = 0
        except BlockingIOError:
            pass
        except OSError:  # it died; its end is told by the pool
            return
        self._watch()

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536) if self._sock is not None else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
        for body in self._splitter.feed(data):
            answer = unpack_answer(body)
            answered = self._asked.pop(answer.id, None)
            if answered is not None:
                answered(answer)
