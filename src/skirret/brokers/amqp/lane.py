"""A consumer's own line: a broken one is replaced by a whole new session, and its waits can be interrupted."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from skirret import clock
from skirret.stores.amqp.faults import Broken, Refused, in_words
from skirret.stores.amqp.publishing import CHANNEL
from skirret.stores.amqp.session import Arrived, Session
from skirret.stores.amqp.store import Store

Answer = TypeVar("Answer")


class Lane:
    """One session at a time. All but `interrupt` belongs to one thread.

    Args:
        store: the server.
        lost: called when the session is gone: every tag of it is void, and what was held is back in its queue.
        ended: called with the tag of a consumer that the server ended.
    """

    def __init__(self, store: Store, lost: Callable[[], object], ended: Callable[[str], object]) -> None:
        self._store = store
        self._lost = lost
        self._ended = ended
        self._session: Session | None = None
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._is_open = True
        self._closing = threading.Lock()

    @property
    def stands(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    def do(self, work: Callable[[Session, float], Answer]) -> Answer:
        """Do something on a session that stands; it gets the seconds that it may take.

        Raises:
            OperationalError: the line broke, or none can be had.
        """
        try:
            session = self._session
            if session is None:
                session = self._session = self._store.open(listens=True)
            answer = work(session, self._store.address.deadline)
            closed = session.refusal(CHANNEL)
            if closed is not None:
                raise closed
        except (Broken, Refused) as exc:
            self.drop()
            raise in_words(exc, self._store.address) from exc
        except BaseException:
            self.drop()  # half of what came may be lost on the way: the server gives all of it back
            raise
        while session.cancelled:
            self._ended(session.cancelled.pop())
        return answer

    def tell(self, data: bytes) -> None:
        """Send frames that are not answered, and wait until the server has seen them."""
        self.do(lambda session, seconds: session.settle(CHANNEL, data, seconds))

    def begin(self, data: bytes) -> Callable[[], bool]:
        """Send frames that are not answered; what is returned waits until the server has seen them.

        It returns False if meanwhile another session took the place of the one on which they were sent.
        """

        def sent(session: Session, seconds: float) -> tuple[Session, int]:
            return session, session.tell(CHANNEL, data, seconds)

        begun, number = self.do(sent)

        def hear() -> bool:
            if self._session is not begun:
                return False
            self.do(lambda session, seconds: session.hear(CHANNEL, number, seconds))
            return True

        return hear

    def collect(self, seconds: float = 0.0) -> list[Arrived]:
        """What arrived, waiting for the first for so long, or until somebody interrupts."""
        return self.do(lambda session, _: _collected(session, seconds, self._read))

    def heard_within(self, seconds: float) -> bool:
        """Take in what came; whether the server was heard in the last so many seconds."""
        return self.do(lambda session, _: _pumped(session).line.heard_at > clock.monotonic() - seconds)

    def drop(self) -> None:
        """Give the session up."""
        session, self._session = self._session, None
        if session is not None:
            session.close(kindly=False)
            self._lost()

    def interrupt(self) -> None:
        """End the wait of `collect`, or else the next one."""
        with self._closing, contextlib.suppress(OSError):
            if self._is_open:  # else the number may be somebody else's by now
                os.write(self._write, b"!")

    def was_interrupted(self) -> bool:
        """Whether somebody interrupted since the last time that this was asked."""
        try:
            return bool(os.read(self._read, 4096))
        except BlockingIOError:
            return False

    def close(self, last: Callable[[Session], object]) -> None:
        """Hang up, after a `last` word that may fail."""
        with self._closing:
            if not self._is_open:
                return
            self._is_open = False
        session, self._session = self._session, None
        try:
            if session is not None:
                with contextlib.suppress(Broken, Refused):
                    last(session)
                session.close()
        finally:
            os.close(self._read)
            with self._closing:
                os.close(self._write)


def _collected(session: Session, seconds: float, wake: int) -> list[Arrived]:
    if not session.arrived:
        session.pump(seconds, wake)
    found = list(_pumped(session).arrived)
    session.arrived.clear()
    return found


def _pumped(session: Session) -> Session:
    while session.pump(0.0):
        pass
    return session
