"""Hears which results came: one line of a process, however many threads wait for however many tasks.

What it hears is a hint. Whoever waits reads the keys before it relies on the line, reads them again now and then, and
again whenever the line broke.
"""

from __future__ import annotations

import math
import select
import socket
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from skirret import clock, states
from skirret.stores.redis.faults import Broken, Refused
from skirret.stores.redis.session import Session, pack
from skirret.stores.redis.store import Store
from skirret.wire.told import told_state

LOOK_SECONDS = 1.0
"""All that is waited for is read again this often, for hints may be lost."""

REST = 20.0
"""Reading again takes at most one part in this many of the time."""

DEAF_SECONDS = 0.1
"""How often the keys are read while the server does not let us listen."""

AGAIN_SECONDS = 0.1
"""Between two tries to reach a server that was not there."""

DEAF_FOR = 5.0
"""Seconds after which a server that did not let us listen is asked again."""

QUIET = 5.0
"""A line that said nothing for so many seconds is asked whether it lives; it has as long to answer."""

IDLE = 15.0
"""A line that nobody used for so many seconds is replaced before it is trusted again."""

CHUNK = 500
"""Channels in one command."""

SPARE = 256
"""Channels listened to for nobody, before they are given up: most are asked for again at once."""


class Line:
    """A connection that listens, and what it was asked to listen to.

    Args:
        session: used with the ear's lock held.
    """

    __slots__ = ("asked", "channels", "confirmed", "heard", "pinged", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.channels: set[str] = set()
        self.asked = 0
        self.confirmed = 0
        self.heard = clock.monotonic()
        self.pinged = False


class Wish:
    """One call that waits for results: a context manager that registers it.

    Args:
        ear: where.
        ids: the tasks.
    """

    __slots__ = ("_ear", "ids", "interrupted", "news", "turn")

    def __init__(self, ear: Ear, ids: Iterable[str]) -> None:
        self._ear = ear
        self.ids = frozenset(ids)
        self.news: dict[str, bytes] = {}
        self.interrupted = False
        self.turn = 0

    def __enter__(self) -> Self:
        self._ear.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ear.leave(self)


class Ear:
    """What this process hears of results. Safe for threads; not for use after a fork.

    Args:
        store: the server.
        channel: what comes before the task id in a channel's name.
    """

    def __init__(self, store: Store, channel: str) -> None:
        self._store = store
        self._channel = channel
        self._channel_size = len(channel.encode())
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wishes: set[Wish] = set()
        self._line: Line | None = None
        self._quiet: set[str] = set()  # listened to, and not finished when it was read after that
        self._reading = False  # a thread waits at the line, with the lock released
        self._graves: list[Session] = []
        self._interrupted = False
        self._left = 0.0
        self._turn = 0
        self._next_look = 0.0
        self._deaf_until = 0.0
        self.is_early = False
        """What was looked for last was not finished yet, so it saves a look to listen first."""
        self._pipe, self._waker = socket.socketpair()
        self._pipe.setblocking(False)
        self._waker.setblocking(False)

    # -- who waits

    def wish(self, ids: Iterable[str]) -> Wish:
        """One call that waits, to be entered as a context."""
        return Wish(self, ids)

    def enter(self, wish: Wish) -> None:
        """Begin to wait; an interrupt that came before anybody waited is for this one."""
        with self._lock:
            if not self._wishes and self._line is not None and clock.monotonic() - self._left > IDLE:
                self._lose()
            wish.interrupted, self._interrupted = self._interrupted, False
            wish.turn = self._turn
            self._wishes.add(wish)

    def leave(self, wish: Wish) -> None:
        """Stop waiting."""
        with self._lock:
            self._wishes.discard(wish)
            self._left = clock.monotonic()
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Interrupt all who wait, or else the next one."""
        with self._lock:
            self._interrupted = not self._wishes
            for wish in self._wishes:
                wish.interrupted = True
            self._wake()

    def close(self) -> None:
        """Hang up; whoever waits calls again."""
        with self._lock:
            self._lose()

    # -- what is to be read

    def unsure(self, wish: Wish) -> list[str]:
        """Those tasks of a wish whose keys must be read: nothing is known of them, or it is time to look again."""
        with self._lock:
            self._tick()
            wish.turn = self._turn
            wish.news.clear()  # what is in there, is read
            return list(wish.ids - self._quiet)

    def found_none(self, wish: Wish, ids: Sequence[str]) -> None:
        """These were read while they were listened to, and were not finished: from now on, to listen is enough."""
        with self._lock:
            line = self._line
            if line is not None and line.confirmed >= line.asked and wish.turn == self._turn:
                self._quiet.update(one for one in ids if one in line.channels and one not in wish.news)

    def read_took(self, seconds: float) -> None:
        """How long it took to read them."""
        with self._lock:
            self._next_look = max(self._next_look, clock.monotonic() + REST * seconds)

    def listen(self, ids: Sequence[str], deadline: clock.Deadline) -> bool:
        """Listen for these; True if some were not listened to before, so that their keys must be read again.

        Raises:
            OperationalError: the server cannot be reached.
        """
        with self._lock:
            if clock.monotonic() < self._deaf_until:
                return False
            line = self._line
            if line is None:
                line = self._line = Line(self._store.open())
            new = [one for one in ids if one not in line.channels]
            try:
                self._ask(line, new)
                target = line.asked
                while self._line is line and line.confirmed < target and not deadline.passed():
                    self._attend(min(deadline.left() or 0.0, QUIET))
                    if line.confirmed < target and clock.monotonic() - line.heard > QUIET:
                        self._lose()
            except Broken:
                self._lose()
            return bool(new)

    def _ask(self, line: Line, new: list[str]) -> None:
        commands = []
        if len(line.channels) > SPARE:
            wanted: set[str] = set().union(*(wish.ids for wish in self._wishes))
            spare = line.channels - wanted
            if len(spare) > SPARE + len(wanted):
                commands += self._commands("UNSUBSCRIBE", list(spare))
                line.channels -= spare
                self._quiet -= spare
        commands += self._commands("SUBSCRIBE", new)
        line.channels.update(new)
        line.asked += len(new)
        for command in commands:
            line.session.send(command, self._store.address.deadline)

    def _commands(self, name: str, ids: list[str]) -> list[bytes]:
        return [
            pack((name, *(f"{self._channel}{one}".encode("utf-8", "surrogatepass") for one in ids[i : i + CHUNK])))
            for i in range(0, len(ids), CHUNK)
        ]

    # -- waiting

    def hear(self, wish: Wish, deadline: clock.Deadline) -> dict[str, bytes]:
        """Wait for news of a wish.

        Returns:
            Payloads of tasks that seem to have finished; {} when it is time to look, or over, or interrupted.
        """
        with self._lock:
            while not wish.news and not wish.interrupted:
                left = self._next_look - clock.monotonic()
                if deadline.at is not None:
                    left = min(left, deadline.left() or 0.0)
                if left <= 0.0 or wish.turn != self._turn:
                    break
                if self._line is None:
                    self._changed.wait(min(left, DEAF_SECONDS))
                    break
                try:
                    self._attend(left)
                except Broken:
                    self._lose()
                    break
            news, wish.news = wish.news, {}
            return news

    def pause(self, wish: Wish, deadline: clock.Deadline) -> None:
        """Wait a little before a server that was not there is tried again; an interrupt ends it."""
        with self._lock:
            if not wish.interrupted:
                left = deadline.left()
                self._changed.wait(AGAIN_SECONDS if left is None else min(left, AGAIN_SECONDS))

    def _attend(self, seconds: float) -> None:
        """Wait until something changed: at the line if nobody else does, else for the one who does."""
        line = self._line
        if line is None:
            return
        if self._reading:
            self._changed.wait(seconds)
            return
        self._reading = True
        self._lock.release()
        try:
            ready = _readable((line.session.fileno(), self._pipe.fileno()), seconds)
        except (OSError, ValueError):  # another thread found it broken and closed it
            ready = True
        finally:
            self._lock.acquire()
            self._reading = False
            for session in self._graves:
                session.close()
            self._graves.clear()
            self._changed.notify_all()
        if ready:
            self._drain_pipe()
            if self._line is line:
                self._take(line)

    def _take(self, line: Line) -> None:
        try:
            answers = line.session.pending()
        except Broken:
            self._lose()
            return
        if answers:
            line.heard = clock.monotonic()
            line.pinged = False
        for answer in answers:
            if isinstance(answer, Refused):
                self._deaf_until = clock.monotonic() + DEAF_FOR
                self._lose()
                return
            if isinstance(answer, list) and answer[0] == b"message":
                self._tell(answer)
            elif isinstance(answer, list) and answer[0] == b"subscribe":
                line.confirmed += 1

    def _tell(self, answer: list[Any]) -> None:
        state = told_state(answer[2])
        if state is not None and state not in states.READY_STATES:
            return
        task_id = answer[1][self._channel_size :].decode("utf-8", "surrogatepass")
        self._quiet.discard(task_id)
        for wish in self._wishes:
            if task_id in wish.ids:
                wish.news[task_id] = answer[2]

    def _tick(self) -> None:
        now = clock.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        self._turn += 1
        self._quiet.clear()
        line = self._line
        if line is None or now - line.heard < QUIET:
            return
        if line.pinged and now - line.heard > 2 * QUIET:
            self._lose()
        elif not line.pinged:
            line.pinged = True
            try:
                line.session.send(b"*1\r\n$4\r\nPING\r\n", 1.0)
            except Broken:
                self._lose()

    def _lose(self) -> None:
        line, self._line = self._line, None
        self._quiet.clear()
        if line is None:
            return
        if self._reading:
            self._graves.append(line.session)
            self._wake()
        else:
            line.session.close()

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._reading:
            try:
                self._waker.send(b"!")
            except BlockingIOError:  # full: awake already
                pass

    def _drain_pipe(self) -> None:
        try:
            self._pipe.recv(4096)
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        for end in (getattr(self, "_pipe", None), getattr(self, "_waker", None)):
            if end is not None:
                end.close()


def _readable(descriptors: Sequence[int], seconds: float) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(max(0, math.ceil(seconds * 1000))))
    return bool(select.select(descriptors, [], [], max(0.0, seconds))[0])  # under eventlet's patches, and on Windows
