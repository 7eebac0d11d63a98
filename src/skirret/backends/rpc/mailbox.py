"""What one process knows of the results that are sent to it: read by one of those who wait, for all of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Sequence

from skirret import clock, loggers, states
from skirret.backends.rpc import letter
from skirret.backends.rpc.kept import Kept
from skirret.backends.rpc.queue import ReplyQueue
from skirret.errors import OperationalError
from skirret.stores.amqp.session import Arrived

logger = loggers.own("skirret.results")

LOOK_SECONDS = 5.0
"""A line that said nothing for so long is asked whether it, and the queue, are still there."""

AGAIN_SECONDS = 0.1
"""Between two tries to reach a server that was not there."""


class Wish:
    """One call that waits for results."""

    __slots__ = ("found", "ids", "interrupted")

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = frozenset(ids)
        self.found: dict[str, bytes] = {}
        self.interrupted = False


class Mailbox:
    """The queue of this process and what came out of it. Safe for threads; not for use after a fork.

    Args:
        queue: where results arrive.
        kept: where they are kept.
        patience: seconds for which a wait outlives a server that is away.
    """

    def __init__(self, queue: ReplyQueue, kept: Kept, patience: float) -> None:
        self.queue = queue
        self._kept = kept
        self._patience = patience
        self._changed = threading.Condition()
        self._wishes: set[Wish] = set()
        self._reading = False  # somebody uses the queue's line, with the lock released
        self._sweepers = 0  # who want to use it, before those who only wait
        self._interrupted = False
        self._asked_at = 0.0
        self._pipe, self._waker = socket.socketpair()
        self._pipe.setblocking(False)
        self._waker.setblocking(False)

    # -- what is asked of it

    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        """The payloads of those that came.

        Raises:
            OperationalError: the server cannot be reached.
        """
        with self._changed:
            known = all(self._kept.is_ready(one) for one in task_ids)
        if not known:
            self.sweep()
        with self._changed:
            return self._kept.fetch(task_ids)

    def wait(self, task_ids: Sequence[str], deadline: clock.Deadline) -> dict[str, bytes]:
        """The payloads of those that are in a ready state, as soon as there are any; {} at the end or if interrupted.

        Raises:
            OperationalError: the server cannot be reached.
        """
        if deadline.passed():
            self.sweep()
        wish = Wish(task_ids)
        with self._changed:
            wish.interrupted, self._interrupted = self._interrupted, False
            wish.found = self._kept.ready(wish.ids)
            self._wishes.add(wish)
        try:
            self._wait(wish, deadline)
        finally:
            with self._changed:
                self._wishes.discard(wish)
                self._kept.fetch(wish.found)  # they are read
        return wish.found

    def forget(self, task_ids: Sequence[str]) -> int:
        """Drop results; how many there were.

        Raises:
            OperationalError: the server, at which some may lie, cannot be reached.
        """
        if not task_ids:
            return 0
        self.sweep()
        with self._changed:
            return self._kept.forget(task_ids)

    def cleanup(self) -> int:
        """Drop what has ended; how many. Raises OperationalError as `forget`."""
        self.sweep()
        with self._changed:
            return self._kept.drop_ended()

    def interrupt(self) -> None:
        """Interrupt all who wait, or else the next one."""
        with self._changed:
            self._interrupted = not self._wishes
            for wish in self._wishes:
                wish.interrupted = True
            self._wake()

    def sweep(self) -> None:
        """Take in all that is in the queue now.

        Raises:
            OperationalError: the server cannot be reached.
        """
        with self._changed:
            self._sweepers += 1
            self._wake()
            while self._reading:
                self._changed.wait()
            self._sweepers -= 1
            self._reading = True
        try:
            came = self.queue.sweep()
            with self._changed:
                self._asked_at = clock.monotonic()
                self._keep(came)
        finally:
            self._done()

    def close(self) -> None:
        """Let go of the line; what came stays, and the queue too."""
        with self._changed:
            self._sweepers += 1
            self._wake()
            while self._reading:
                self._changed.wait()
            self._sweepers -= 1
            self.queue.drop()
            self._changed.notify_all()

    # -- waiting

    def _wait(self, wish: Wish, deadline: clock.Deadline) -> None:
        well = clock.monotonic()
        error: OperationalError | None = None
        while not (wish.found or wish.interrupted or deadline.passed()):
            try:
                self._turn(wish, deadline)
                well = clock.monotonic()
                error = None
            except OperationalError as exc:
                error = exc
                if clock.monotonic() - well >= self._patience:
                    break
                with self._changed:
                    if not wish.interrupted:
                        left = deadline.left()
                        self._changed.wait(AGAIN_SECONDS if left is None else min(left, AGAIN_SECONDS))
        if error is not None and not (wish.found or wish.interrupted):
            raise error

    def _turn(self, wish: Wish, deadline: clock.Deadline) -> None:
        """Wait until something changed: at the line if nobody else does, else for the one who does."""
        left = deadline.left()
        seconds = LOOK_SECONDS if left is None else min(left, LOOK_SECONDS)
        with self._changed:
            if wish.found or wish.interrupted:
                return
            if self._reading or self._sweepers:
                self._changed.wait(seconds)
                return
            self._reading = True
            is_due = clock.monotonic() - self._asked_at > LOOK_SECONDS
        try:
            came = self.queue.sweep() if is_due else self.queue.hear(seconds, self._pipe.fileno())
            with self._changed:
                if is_due or came:
                    self._asked_at = clock.monotonic()
                self._keep(came)
        finally:
            self._done()

    def _done(self) -> None:
        with self._changed:
            self._reading = False
            try:
                while self._pipe.recv(4096):
                    pass
            except BlockingIOError:
                pass
            self._changed.notify_all()

    def _keep(self, came: Iterable[Arrived]) -> None:
        for arrived in came:
            read = letter.read(arrived)
            if read is None:
                logger.warning("A message at the queue of this process's results is no result, and is dropped.")
                continue
            if self._kept.put(read) and read.state in states.READY_STATES:
                for wish in self._wishes:
                    if read.task_id in wish.ids:
                        wish.found[read.task_id] = read.payload

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._reading:
            try:
                self._waker.send(b"!")
            except BlockingIOError:  # full: awake already
                pass

    def __del__(self) -> None:
        for end in (getattr(self, "_pipe", None), getattr(self, "_waker", None)):
            if end is not None:
                end.close()
