"""One server as this process sees it: lines for calls and confirmed publishing, shared by its threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pamqp import commands

from skirret import clock
from skirret.stores.amqp.address import HEARTBEAT, Address, address_of
from skirret.stores.amqp.faults import NOT_FOUND, Broken, Refused, in_words
from skirret.stores.amqp.line import Line
from skirret.stores.amqp.publishing import CHANNEL, Outgoing, Unroutable, publish
from skirret.stores.amqp.pulse import keep_alive
from skirret.stores.amqp.session import Session
from skirret.stores.shared import Shared
from skirret.url import Url

Answer = TypeVar("Answer")

ASIDE = 2
"""The channel of calls that the server may refuse: it is opened for each of them."""

KEPT_IDLE = 8
"""Idle lines kept for the next call; more are closed."""

CLOSING = 320

LOOK_AFTER = 0.02
"""A line that was idle for so many seconds may have ended, which is seen without a question. Before that it is trusted:
if it did end, what is sent on it reaches nobody and is sent again on another."""

CHECK_AFTER = 15.0
"""A line that was idle for so many seconds is asked before it is trusted."""


class Store:
    """The lines of this process to one server or cluster. Safe for threads; a fork's child begins without lines.

    Get one by `store_at`, which gives all who agree on the address the same one.

    Args:
        address: where it is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._idle: list[Session] = []
        self._last: tuple[str, int] | None = None
        self._identity = ""
        self._version: tuple[int, ...] = ()
        self._pid = os.getpid()

    # -- lines -----------------------------------------------------------------------------------------------------

    def open(self, seconds: float | None = None, *, listens: bool = False) -> Session:
        """A session of the caller's own with channel 1 open, to be closed by the caller.

        Args:
            seconds: the deadline, if not the address's.
            listens: whether it will wait for what the server sends: it then gives signs of life.

        Raises:
            OperationalError: no node can be reached, or they do not let us in.
        """
        try:
            return self._open(seconds or self.address.deadline, listens)
        except (Broken, Refused) as exc:
            raise in_words(exc, self.address) from exc

    def _open(self, seconds: float, listens: bool) -> Session:
        deadline = clock.Deadline(seconds)
        nodes = self.address.order()
        if self._last in nodes:  # who answered last is asked first
            nodes.sort(key=lambda node: node != self._last)
        wanted = self.address.heartbeat
        heartbeat = min(wanted, HEARTBEAT) if listens else wanted
        for left, node in zip(range(len(nodes), 0, -1), nodes, strict=True):
            try:
                patience = min((deadline.left() or 0.0) / left, self.address.connecting)
                session = self._session_on(Line(self.address, node, patience, heartbeat), deadline)
            except (Broken, Refused) as exc:
                refused = isinstance(exc, Refused) and exc.code in {403, 530}  # no other node thinks otherwise
                if left == 1 or refused:
                    raise
                continue
            self._last = node
            self._version = session.line.version
            self._identity = str(session.line.properties.get("cluster_name") or "")
            if listens:
                keep_alive(session.line)
            return session
        raise AssertionError

    def _session_on(self, line: Line, deadline: clock.Deadline) -> Session:
        session = Session(line)
        try:
            session.open_channel(CHANNEL, max(0.05, deadline.left() or 0.0))
        except BaseException:
            session.close(kindly=False)
            raise
        return session

    def _borrow(self, deadline: clock.Deadline) -> Session:
        if self._pid != os.getpid():
            self.after_fork()
        while self._idle:
            try:
                session = self._idle.pop()
            except IndexError:
                break
            if _answers(session):
                return session
            session.close(kindly=False)
        return self._open(max(0.05, deadline.left() or 0.0), False)

    def _give_back(self, session: Session) -> None:
        if len(self._idle) >= KEPT_IDLE:
            session.close()
            return
        session.idle_since = clock.monotonic()
        self._idle.append(session)

    # -- calls -----------------------------------------------------------------------------------------------------

    def run(self, work: Callable[[Session, float], Answer], seconds: float | None = None) -> Answer:
        """Do something on a borrowed session; a line that turns out to be dead is replaced once.

        Args:
            work: gets the session and the seconds left; must bear being done twice.
            seconds: the deadline, if not the address's.

        Raises:
            Refused: the server refused it, and closed the channel that it was on (not the line, nor channel 1).
            OperationalError: it cannot be reached.
        """
        deadline = clock.Deadline(seconds or self.address.deadline)
        for last in (False, True):
            session = None
            try:
                session = self._borrow(deadline)
                answer = work(session, max(0.05, deadline.left() or 0.0))
            except (Broken, Refused) as exc:
                if session is not None:
                    if isinstance(exc, Refused) and not exc.whole:
                        self._give_back(session)
                        raise
                    session.close(kindly=False)
                    self.forget_idle()
                # 320 is a node that shuts down: the others of its cluster go on.
                if last or (exc.code != CLOSING if isinstance(exc, Refused) else exc.timed_out):
                    raise in_words(exc, self.address) from exc
                continue
            except BaseException:
                if session is not None:
                    session.close(kindly=False)
                raise
            self._give_back(session)
            return answer
        raise AssertionError

    def ask(self, *calls: tuple[Any, type[Any]], seconds: float | None = None) -> list[Any]:
        """Answers of calls that the server may refuse, on a channel of their own, in one go.

        Args:
            *calls: a command of pamqp and the kind of its answer.
            seconds: the deadline, if not the address's.

        Raises:
            OperationalError: it cannot be reached, or refuses one; what came before that is done.
        """
        try:
            return self._aside(calls, seconds)
        except Refused as exc:
            raise in_words(exc, self.address) from exc

    def find(self, call: tuple[Any, type[Any]]) -> Any:
        """`ask` about one queue or exchange; None if there is none of that name."""
        try:
            return self._aside([call], None)[0]
        except Refused as exc:
            if exc.code == NOT_FOUND:
                return None
            raise in_words(exc, self.address) from exc

    def _aside(self, calls: Sequence[tuple[Any, type[Any]]], seconds: float | None) -> list[Any]:

        def work(session: Session, left: float) -> list[Any]:
            session.open_channel(ASIDE, left)
            answers = [session.call(ASIDE, command, kind, seconds=left) for command, kind in calls]
            session.call(ASIDE, commands.Channel.Close(200, "", 0, 0), commands.Channel.CloseOk, seconds=left)
            return answers

        return self.run(work, seconds)

    def publish(self, waiting: list[Outgoing], seconds: float | None = None) -> list[Unroutable]:
        """Store messages, all confirmed; those that no queue wanted are returned.

        What was not confirmed when a line broke is sent again on another one: it may then be there twice.

        Args:
            waiting: the messages; what the server has answered for is taken out, whatever happens to the others.
            seconds: the deadline, if not the address's.

        Raises:
            OperationalError: not all could be confirmed.
            Refused: the server will not have one of them, such as for an exchange that is not there.
        """
        lost: list[Unroutable] = []

        def work(session: Session, left: float) -> None:
            publish(session, waiting, lost, left)

        self.run(work, seconds)
        return lost

    # -- facts -----------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """Names the cluster and the virtual host.

        Raises:
            OperationalError: it cannot be asked.
        """
        self._learn()
        return f"amqp:{self._identity}:{self.address.vhost}"

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version, such as (3, 10, 8).

        Raises:
            OperationalError: it cannot be asked.
        """
        self._learn()
        return self._version

    def _learn(self) -> None:
        if not self._version:
            try:
                self.run(_nothing)
            except Refused as exc:
                raise in_words(exc, self.address) from exc

    # -- ends ------------------------------------------------------------------------------------------------------

    def forget_idle(self) -> None:
        """Close the lines that nobody uses, without a word."""
        idle, self._idle = self._idle, []
        for session in idle:
            session.close(kindly=False)

    def close(self) -> None:
        """Close the lines that nobody uses; the store may be used again."""
        idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def after_fork(self) -> None:
        """Forget the parent's lines, which stay open on its side."""
        self.forget_idle()
        self._pid = os.getpid()


def _nothing(_session: Session, _left: float) -> None:
    """For its line alone."""


def _answers(session: Session) -> bool:
    """Whether an idle line can be trusted: its end is seen without a question, a silent death after some time."""
    idle = clock.monotonic() - session.idle_since
    if idle < LOOK_AFTER:
        return True
    try:
        while session.pump(0.0):
            pass
        if session.refusal(CHANNEL) is not None:
            return False
        if idle > CHECK_AFTER:
            session.settle(CHANNEL, b"", 1.0)
    except (Broken, Refused):
        return False
    return True


def store_at(url: Url, options: Mapping[str, Any]) -> Store:
    """The store at an address; all who agree on everything share one.

    Raises:
        ImproperlyConfigured: the address or an option makes no sense.
    """
    address = address_of(url, options)
    return _stores.at(address, lambda: Store(address))


_stores: Shared[Address, Store] = Shared(Store.after_fork)
