"""One server as this process sees it: lines that are shared by its threads, scripts, facts and deadlines."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from skirret import clock
from skirret.stores.redis.address import Address, address_of
from skirret.stores.redis.facts import Facts, read_facts
from skirret.stores.redis.faults import AGAIN, Broken, Refused, in_words
from skirret.stores.redis.nodes import ClusterNodes, Nodes, nodes_of
from skirret.stores.redis.script import Script
from skirret.stores.redis.session import Command, Session, pack
from skirret.stores.shared import Shared
from skirret.url import Url

PING = b"*1\r\n$4\r\nPING\r\n"

PING_AFTER = 15.0
"""A line that was idle for so many seconds is asked before it is trusted: the other end may be gone without a word."""

PING_SECONDS = 1.0

SIGN_SECONDS = 2.0
"""While a server is silent, a new line must give a sign within this, so that its return is not met by a long wait."""

MOVED = frozenset({"MOVED", "ASK"})
"""Answers of a cluster's node that does not serve a key any more."""

KEPT_IDLE = 32
"""Idle lines kept for the next call; more are closed."""


class Store:
    """The lines of this process to one server. Safe for threads and greenlets; a fork's child begins without lines.

    Get one by `store_at`, which gives all who agree on the address the same one.

    Args:
        address: where it is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.prefix = address.prefix
        self.is_cluster = address.kind == "cluster"
        self._nodes: Nodes = nodes_of(address)
        self._idle: dict[str, list[Session]] = {}
        self._facts: Facts | None = None
        self._is_silent = False
        self._pid = os.getpid()

    # -- calls -----------------------------------------------------------------------------------------------------

    def call(self, *words: Any, key: str | bytes | None = None, seconds: float | None = None) -> Any:
        """One command's answer.

        Args:
            *words: the command, such as ``"GET", "name"``: text, bytes and numbers, keys with their prefix.
            key: in a cluster, a key that says which node; else of no meaning.
            seconds: the deadline, if not the address's.

        Raises:
            OperationalError: no answer within the deadline, or the server refuses.
        """
        return self._raised(self.exchange(pack(words), 1, key=key, seconds=seconds))[0]

    def pipeline(
        self, commands: Iterable[Command], *, key: str | bytes | None = None, seconds: float | None = None
    ) -> list[Any]:
        """The answers of several commands, sent in one go; the first refusal is raised."""
        packed = [pack(tuple(command)) for command in commands]
        if not packed:
            return []
        return self._raised(self.exchange(b"".join(packed), len(packed), key=key, seconds=seconds))

    def run(
        self, script: Script, keys: Sequence[str | bytes], arguments: Sequence[Any], *, seconds: float | None = None
    ) -> Any:
        """A script's answer. All keys belong to one slot.

        Raises:
            OperationalError: as `call`; whether the script ran is then unknown.
        """
        return self.run_many(script, [(keys, arguments)], seconds=seconds)[0]

    def run_many(
        self,
        script: Script,
        calls: Sequence[tuple[Sequence[str | bytes], Sequence[Any]]],
        *,
        then: Sequence[Command] = (),
        seconds: float | None = None,
    ) -> list[Any]:
        """The answers of several runs of one script, sent in one go; all keys belong to one slot.

        Args:
            script: the script.
            calls: (keys, arguments) of each run.
            then: commands sent behind them on the same line, such as ``WAIT``; their answers come last.
            seconds: the deadline, if not the address's.
        """
        if not calls:
            return []
        sha, text = script.source(self.facts.major)
        packed = [pack(("EVALSHA", sha, len(keys), *keys, *arguments)) for keys, arguments in calls]
        behind = [pack(tuple(command)) for command in then]
        key = calls[0][0][0]
        answers = self.exchange(b"".join(packed + behind), len(packed) + len(behind), key=key, seconds=seconds)
        forgotten = [n for n, one in enumerate(answers) if isinstance(one, Refused) and one.code == "NOSCRIPT"]
        if forgotten:
            whole = [pack(("EVAL", text, len(calls[n][0]), *calls[n][0], *calls[n][1])) for n in forgotten]
            again = self.exchange(b"".join(whole + behind), len(whole) + len(behind), key=key, seconds=seconds)
            for n, answer in zip([*forgotten, *range(len(calls), len(answers))], again, strict=True):
                answers[n] = answer
        return self._raised(answers)

    def begin_many(
        self, script: Script, calls: Sequence[tuple[Sequence[str | bytes], Sequence[Any]]]
    ) -> Callable[[], list[Any]]:
        """Send runs of a script, at least one; what is returned waits for the answers, as `run_many` gives them.

        If the line breaks meanwhile, or something is refused, all of it is done once more; it must bear that.
        """
        sha, _ = script.source(self.facts.major)
        packed = b"".join(pack(("EVALSHA", sha, len(keys), *keys, *arguments)) for keys, arguments in calls)
        seconds = self.address.deadline
        session = self._borrow(calls[0][0][0], clock.monotonic() + seconds)
        broken: list[Broken] = []
        try:
            session.send(packed, seconds)
        except Broken as exc:
            broken.append(exc)  # told to whoever wants the answers

        def answers() -> list[Any]:
            try:
                if broken:
                    raise broken[0]
                found = session.read(len(calls), seconds)
            except Broken as exc:
                self.lost()
                if exc.timed_out:
                    self._is_silent = True
                    raise in_words(exc, self.address) from exc
                return self.run_many(script, calls)
            if any(isinstance(one, Refused) for one in found):
                session.close()
                return self.run_many(script, calls)
            self._give_back(session)
            return found

        return answers

    def exchange(
        self, packed: bytes, count: int, *, key: str | bytes | None = None, seconds: float | None = None
    ) -> list[Any]:
        """Send `count` packed commands; their answers, in which a refusal is a `Refused` that is not raised.

        A line that turns out to be dead is replaced once, so what is sent must bear being done twice.

        Raises:
            OperationalError: no answers within the deadline.
        """
        end = clock.monotonic() + (seconds or self.address.deadline)
        for last in (False, True):
            session = self._borrow(key, end)
            try:
                answers = session.exchange(packed, count, max(0.001, end - clock.monotonic()))
            except Broken as exc:
                self.lost()
                self._is_silent = self._is_silent or exc.timed_out
                if last or exc.timed_out:
                    raise in_words(exc, self.address) from exc
                time.sleep(random.uniform(0.0, 0.02))  # noqa: S311  not all at once, when all lines broke at once
                continue
            self._is_silent = False
            first = answers[0]
            if isinstance(first, Refused) and (first.code in AGAIN or first.code in MOVED):
                session.close()
                self.lost()
                if first.code in MOVED and not last:
                    continue
            else:
                self._give_back(session)
            return answers
        raise AssertionError

    def _raised(self, answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer, Refused):
                raise in_words(answer, self.address) from answer
        return answers

    # -- lines -----------------------------------------------------------------------------------------------------

    def open(self, key: str | bytes | None = None, seconds: float | None = None) -> Session:
        """A line of the caller's own, to be closed by the caller; for listening and for a consumer.

        Raises:
            OperationalError: the server cannot be reached.
        """
        limit = seconds or self.address.deadline
        try:
            session = self._nodes.open(self._nodes.node_of(key), limit)
            if self._is_silent:
                session.exchange(PING, 1, min(limit, SIGN_SECONDS))
            return session
        except (Broken, Refused) as exc:
            self.lost()
            raise in_words(exc, self.address) from exc

    def lost(self) -> None:
        """A line broke: the server may be another one by now, so whatever is known of it is learnt anew."""
        self.forget_idle()
        self._nodes.moved()
        self._facts = None

    def node_of(self, key: str | bytes | None) -> str:
        """Which node of a cluster serves a key; "" where there is only one server."""
        try:
            return self._nodes.node_of(key)
        except (Broken, Refused) as exc:
            raise in_words(exc, self.address) from exc

    def every_node(self) -> list[str]:
        """All masters of a cluster; [""] where there is only one server."""
        nodes = self._nodes
        try:
            return nodes.every_node() if isinstance(nodes, ClusterNodes) else [""]
        except (Broken, Refused) as exc:
            raise in_words(exc, self.address) from exc

    def _borrow(self, key: str | bytes | None, end: float) -> Session:
        if self._pid != os.getpid():
            self.after_fork()
        node = self.node_of(key) if self.is_cluster else ""
        stack = self._idle.get(node)
        while stack:
            try:
                session = stack.pop()
            except IndexError:
                break
            if clock.monotonic() - session.idle_since <= PING_AFTER or _answers(session):
                return session
            self.forget_idle()  # the others were idle for longer; to ask each of them would take a second each
            break
        # Half of what is left, because a name may stand for two addresses.
        return self.open(key, max(0.05, (end - clock.monotonic()) / 2))

    def _give_back(self, session: Session) -> None:
        stack = self._idle.setdefault(session.node, [])
        if len(stack) >= KEPT_IDLE:
            session.close()
            return
        session.idle_since = clock.monotonic()
        stack.append(session)

    def forget_idle(self) -> None:
        """Close the lines that nobody uses."""
        idle, self._idle = self._idle, {}
        for stack in idle.values():
            for session in stack:
                session.close()

    def close(self) -> None:
        """Close the lines that nobody uses; the store may be used again."""
        self.forget_idle()
        self._nodes.close()

    def after_fork(self) -> None:
        """Forget the parent's lines, which stay open on its side."""
        self.forget_idle()
        self._nodes = nodes_of(self.address)
        self._pid = os.getpid()

    # -- facts -----------------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        """What the server says of itself; asked once."""
        found = self._facts
        if found is None:
            found = self._facts = self.look()
        return found

    def look(self) -> Facts:
        """What the server says of itself now."""
        text = self.exchange(pack(("INFO",)), 1)[0]
        if isinstance(text, Refused) and text.code != "NOPERM":
            raise in_words(text, self.address) from text
        if self.is_cluster:
            nodes = self.call("CLUSTER", "NODES").decode()
            return read_facts(text, cluster=nodes)
        return read_facts(text)

    @property
    def identity(self) -> str:
        """Names the server, whichever of its databases is meant.

        Raises:
            OperationalError: it cannot be asked.
        """
        return f"redis:{self.facts.run_id}"


def _answers(session: Session) -> bool:
    try:
        return session.exchange(PING, 1, PING_SECONDS) == [b"PONG"]
    except Broken:
        return False


def store_at(url: Url, options: Mapping[str, Any]) -> Store:
    """The store at an address; all who agree on everything share one.

    Raises:
        ImproperlyConfigured: the address or an option makes no sense.
    """
    address = address_of(url, options)
    return _stores.at(address, lambda: Store(address))


_stores: Shared[Address, Store] = Shared(Store.after_fork)
