"""One worker incarnation's hold on queues of RabbitMQ."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pamqp import commands

from skirret import clock
from skirret.brokers.amqp import letter as letters
from skirret.brokers.amqp.feed import Feed, Sent, Tap
from skirret.brokers.amqp.letter import Letter
from skirret.brokers.amqp.sending import Sending
from skirret.brokers.amqp.topology import Topology
from skirret.brokers.base import Consumer, Limits
from skirret.errors import OperationalError
from skirret.message import Delivery, Publication
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.stores.amqp import frames
from skirret.stores.amqp.faults import Broken, Refused, in_words
from skirret.stores.amqp.publishing import CHANNEL, Outgoing
from skirret.stores.amqp.pulse import let_go
from skirret.stores.amqp.session import Session
from skirret.stores.amqp.store import Store

ADOPTION = 0.7
"""Seconds that a settlement waits for a message that a broken line gave back to its queue."""

WIDE_FOR = 1.0
"""Seconds between two looks whether a window is wider than its need."""

Answer = TypeVar("Answer")
_taps = itertools.count(1)


@dataclass(slots=True, eq=False)
class Held:
    """A message that the worker has. `tag` is the channel's; 0 if its line broke and it went back to the queue."""

    queue: str
    tag: int
    letter: Letter
    tap: Tap | None
    followed: bool = False
    """Whether what follows from its settlement is published already."""


class AmqpConsumer(Consumer):
    """See ``Consumer``. A line that breaks is replaced by a whole new session; work in hand goes on meanwhile.

    What was held then is back in its queue. If the server sends it here again, it is recognised by its content and is
    held as before, without a second run; if it goes to another worker, its settlement here says False.

    Args:
        store, topology, sending: the server.
        queues, cid, limits: as of ``Broker.consumer``.
    """

    def __init__(
        self, store: Store, topology: Topology, sending: Sending, queues: Sequence[str], cid: str, limits: Limits
    ) -> None:
        self.cid = cid
        self._store = store
        self._topology = topology
        self._sending = sending
        self._limits = limits
        self._session: Session | None = None
        self._feeds: dict[str, Feed] = {}
        self._by_tap: dict[str, tuple[Feed, Tap]] = {}
        self._turns: deque[str] = deque()
        self._held: dict[int, Held] = {}
        self._lost: dict[tuple[str, bytes], deque[Held]] = {}
        self._open_tags: set[int] = set()
        self._tags = itertools.count(1)
        self._narrow_at = 0.0
        self._interrupted = False
        self._closed = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._set(queues)
        self._on_line(lambda _: None)
        self.identity = store.identity

    # -- the line --------------------------------------------------------------------------------------------------

    def _on_line(self, work: Callable[[Session], Answer]) -> Answer:
        """Do something on a session that stands.

        Raises:
            OperationalError: the line broke, or no other can be had; what was held is back in its queue.
        """
        try:
            session = self._session
            if session is None:
                session = self._session = self._store.open(listens=True)
            answer = work(session)
            closed = session.refusal(CHANNEL)
            if closed is not None:
                raise closed
            if session.cancelled:
                self._forget_taps(session)
        except (Broken, Refused) as exc:
            self._drop_line()
            raise in_words(exc, self._store.address) from exc
        return answer

    def _drop_line(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            let_go(session.line)
            session.close(kindly=False)
        for held in self._held.values():
            if held.tag:
                held.tag, held.tap = 0, None
                self._lost.setdefault((held.queue, held.letter.raw), deque()).append(held)
        for feed in self._feeds.values():
            feed.taps.clear()
            feed.drain()
        self._by_tap.clear()
        self._open_tags.clear()

    def _forget_taps(self, session: Session) -> None:
        """The server ended consumers: their queue was deleted, or its node went. They begin anew with the next take."""
        for name in session.cancelled:
            feed, tap = self._by_tap.pop(name, (None, None))
            if feed is not None and tap is not None:
                feed.taps.remove(tap)
                self._topology.forget(feed.queue)
        session.cancelled.clear()

    # -- taking ----------------------------------------------------------------------------------------------------

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Take what the server sent, else wait for it. Order is by priority, then the queues take turns."""
        if self._session is not None:
            with contextlib.suppress(OperationalError):  # a line that broke meanwhile is replaced, if that can be
                self._on_line(_all_that_came)
        deadline = clock.Deadline(timeout)
        grown = self._widen(limit)
        is_sure = False  # that the server has nothing for us
        while True:
            self._hear_interrupt()
            if grown or (deadline.passed() and not is_sure):
                self._on_line(lambda session: session.settle(CHANNEL, b"", self._store.address.deadline))
                grown, is_sure = False, True
            self._on_line(_all_that_came)
            self._sort()
            waiting = sum(feed.count for feed in self._feeds.values())
            if waiting < limit and self._is_starved():
                grown = self._widen(limit, share=False)
                if grown:
                    continue
            if waiting or self._interrupted or (deadline.passed() and is_sure):
                break
            left = deadline.left()
            self._on_line(lambda session, left=left: session.pump(min(1.0, left or 0.0), self._read))  # type: ignore[misc]
        self._interrupted = False
        return [self._hold(feed, feed.take(priority)) for feed, priority in self._next(limit)]

    def _next(self, limit: int) -> Any:
        for _ in range(limit):
            priority = max((feed.best() for feed in self._feeds.values()), default=-1)
            if priority < 0:
                return
            name = next(name for name in self._turns if self._feeds[name].best() == priority)
            self._turns.remove(name)  # who was served goes to the end of the row
            self._turns.append(name)
            yield self._feeds[name], priority

    def _hold(self, feed: Feed, sent: Sent) -> Delivery:
        tag = next(self._tags)
        found = sent.letter
        found.first_delivered = found.first_delivered or clock.wall()
        self._held[tag] = Held(feed.queue, sent.tag, found, sent.tap)
        return Delivery(
            tag=tag, queue=feed.queue, raw=found.raw, deliveries=found.deliveries, crashes=found.crashes,
            first_delivered=found.first_delivered,
        )  # fmt: skip

    def _sort(self) -> None:
        """Put what came where it belongs: to its queue's supply, to who held it before, or to the dead letters."""
        session = self._session
        if session is None:
            return
        doomed: list[tuple[str, Sent]] = []
        arrived = session.arrived
        while arrived:
            came = arrived.popleft()
            feed, tap = self._by_tap[came.consumer]
            tap.open += 1
            self._open_tags.add(came.tag)
            sent = Sent(came.tag, letters.read(came), tap)
            if came.redelivered and self._adopt(feed.queue, sent):
                continue
            if sent.letter.deliveries >= self._limits.deliveries:
                doomed.append((feed.queue, sent))
            else:
                feed.add(sent)
        if doomed:
            self._bury(doomed)

    def _adopt(self, queue: str, sent: Sent) -> bool:
        key = (queue, sent.letter.raw)
        waiting = self._lost.get(key)
        if not waiting:
            return False
        held = waiting.popleft()
        if not waiting:
            del self._lost[key]
        held.tag, held.tap = sent.tag, sent.tap
        return True

    def _bury(self, doomed: list[tuple[str, Sent]]) -> None:
        gone = []
        for queue, sent in doomed:
            reason = f"its worker vanished; that was counted delivery {sent.letter.deliveries} of it"
            content = letters.counted(sent.letter, reason=reason, died=clock.wall(), home=queue)
            gone.append(self._sending.to_dead(queue, content, sent.letter.body))
        self._sending.send(gone)
        self._done([(sent.tag, sent.tap) for _, sent in doomed], [])

    # -- the window ------------------------------------------------------------------------------------------------

    def _widen(self, limit: int, *, share: bool = True) -> bool:
        """Let the server send as much as there is room for; whether that needed another consumer.

        Each queue may send its share; one that has nothing left to send of it is not starved by the others' silence.
        """
        room = limit - sum(feed.count for feed in self._feeds.values())
        if room <= 0 or not self._feeds:
            return False
        if self._session is None:
            self._on_line(lambda _: None)
        part = -(-room // len(self._feeds)) if share else room
        grown = False
        for feed in self._feeds.values():
            if not share and feed.credit:
                continue
            missing = feed.missing(part)
            if missing:
                self._on_line(lambda session, feed=feed, missing=missing: self._open_tap(session, feed, missing))  # type: ignore[misc]
                grown = True
        now = clock.monotonic()
        if now >= self._narrow_at:
            self._narrow_at = now + WIDE_FOR
            for feed in self._feeds.values():
                self._narrow(feed, 2 * part)
        return grown

    def _is_starved(self) -> bool:
        return any(not feed.credit for feed in self._feeds.values())

    def _open_tap(self, session: Session, feed: Feed, prefetch: int) -> None:
        self._topology.ensure(feed.queue)
        seconds = self._store.address.deadline
        tap = Tap(f"skirret.{self.cid[:8]}.{next(_taps)}", prefetch)
        # Known before the server answers: its first messages may come with the answer.
        self._by_tap[tap.name] = (feed, tap)
        consume = commands.Basic.Consume(queue=feed.queue, consumer_tag=tap.name, arguments={})
        qos = frames.method(CHANNEL, commands.Basic.Qos(0, prefetch, False))
        session.ask(CHANNEL, qos + frames.method(CHANNEL, consume), commands.Basic.ConsumeOk, seconds=seconds)
        feed.taps.append(tap)

    def _narrow(self, feed: Feed, room: int) -> None:
        for tap in feed.superfluous(room):
            self._on_line(lambda session, tap=tap: self._close_tap(session, tap))  # type: ignore[misc]
            if tap in feed.taps:
                feed.taps.remove(tap)

    def _close_tap(self, session: Session, tap: Tap) -> None:
        cancel = commands.Basic.Cancel(consumer_tag=tap.name)
        session.call(CHANNEL, cancel, commands.Basic.CancelOk, seconds=self._store.address.deadline)

    def rest(self) -> None:
        """Give back what was sent ahead, and let nothing more come: somebody else has room for it."""
        if self._session is None:
            return
        for feed in self._feeds.values():
            self._narrow(feed, 0)
        self._on_line(_all_that_came)
        self._sort()
        self._return([sent for feed in self._feeds.values() for sent in feed.drain()])

    def _return(self, unwanted: list[Sent]) -> None:
        if unwanted:
            self._done([], [(sent.tag, sent.tap) for sent in unwanted])

    # -- settling --------------------------------------------------------------------------------------------------

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Publish what follows, confirmed; then acknowledge, and wait until the server has seen it."""
        follow = [self._follow(settlement) for settlement in settlements]
        self._on_line(_all_that_came)
        self._sort()
        self._find_lost(settlements)
        first = {one.tag: one for one in reversed(settlements)}  # who settles a message twice has settled it once
        ours = [
            (one, then, self._held.get(one.tag) if first[one.tag] is one else None)
            for one, then in zip(settlements, follow, strict=True)
        ]
        held = [(one, then, found) for one, then, found in ours if found is not None and found.tag]
        self._sending.send([message for _, then, found in held if not found.followed for message in then])
        for _, then, found in held:
            found.followed = found.followed or bool(then)
        back = [(found.tag, found.tap) for one, _, found in held if isinstance(one, Release)]
        gone = [(found.tag, found.tap) for one, _, found in held if not isinstance(one, Release)]
        self._done(gone, back)
        for one, _, mine in ours:
            if mine is not None:
                self._give_up(one.tag, mine)
        settled = {id(one) for one, _, _ in held}
        return [id(one) in settled for one in settlements]

    def _give_up(self, tag: int, found: Held) -> None:
        del self._held[tag]
        if not found.tag:
            waiting = self._lost.get((found.queue, found.letter.raw))
            if waiting and found in waiting:
                waiting.remove(found)

    def _follow(self, settlement: Settlement) -> list[Outgoing]:
        """The messages that a settlement brings, in bytes: nothing is changed before all are known to be fit."""
        held = self._held.get(settlement.tag)
        if held is None or held.followed:
            return []
        found = held.letter
        match settlement:
            case Ack():
                return self._publications(settlement.successors)
            case Retry():
                return self._publications([settlement.publication])
            case Defer():
                content = letters.counted(
                    found,
                    deliveries=found.deliveries + (settlement.counted == "delivery"),
                    crashes=found.crashes + (settlement.counted == "crash"),
                )
                return [self._sending.to(held.queue, content, found.body, settlement.due)]
            case DeadLetter():
                content = letters.counted(found, reason=settlement.reason, died=clock.wall(), home=held.queue)
                dead = self._sending.to_dead(held.queue, content, found.body)
                return [dead, *self._publications(settlement.successors)]
        return []

    def _publications(self, publications: Sequence[Publication]) -> list[Outgoing]:
        return [self._sending.of(one) for one in publications]

    def _find_lost(self, settlements: Sequence[Settlement]) -> None:
        """Wait a moment for messages that a broken line gave back: most likely they come here again."""
        lost = [found for one in settlements if (found := self._held.get(one.tag)) is not None and not found.tag]
        if not lost:
            return
        deadline = clock.Deadline(ADOPTION)
        self._widen(len(self._lost) + sum(feed.count for feed in self._feeds.values()) + 1)
        while any(not found.tag for found in lost) and not deadline.passed():
            self._on_line(lambda session: session.pump(deadline.left() or 0.0))
            self._sort()

    def _done(self, gone: list[tuple[int, Tap | None]], back: list[tuple[int, Tap | None]]) -> None:
        """Tell the server what is settled, in as few frames as can be, and wait until it has heard."""
        if not gone and not back:
            return
        tags = {tag for tag, _ in gone}
        kept = min(self._open_tags - tags, default=None)
        data: list[bytes] = []
        together = {tag for tag in tags if kept is None or tag < kept}
        if together:
            data.append(frames.ack(CHANNEL, max(together), multiple=True))
        data += [frames.ack(CHANNEL, tag) for tag in sorted(tags - together)]
        # The last one first: each goes to the front of its queue, so that they stand there in their order.
        data += [frames.nack(CHANNEL, tag) for tag in sorted((tag for tag, _ in back), reverse=True)]
        self._on_line(lambda session: session.settle(CHANNEL, b"".join(data), self._store.address.deadline))
        for tag, tap in (*gone, *back):
            self._open_tags.discard(tag)
            if tap is not None:
                tap.open -= 1

    # -- the rest --------------------------------------------------------------------------------------------------

    def beat(self) -> bool:
        """Ask the server for a sign; True, because it takes nothing from who answers."""
        self._on_line(lambda session: session.settle(CHANNEL, b"", self._store.address.deadline))
        return True

    def reap(self) -> int:
        """Nothing to do: the server gives back what a broken line held. 0, once it has answered."""
        self.beat()
        return 0

    def counts(self, queue: str) -> tuple[int, int]:
        """How many messages of a queue wait here untaken, and how many are held; for ``size``, from any thread."""
        feed = self._feeds.get(queue)
        held = sum(found.queue == queue and found.tag > 0 for found in list(self._held.values()))
        return (feed.count if feed is not None else 0), held

    def interrupt(self) -> None:
        """Make the take that waits, or else the next one, return at once."""
        with contextlib.suppress(OSError):
            os.write(self._write, b"!")

    def _hear_interrupt(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(self._read, 4096):
                self._interrupted = True

    def queues(self, names: Sequence[str]) -> None:
        """Consume exactly these from now on; what was sent ahead from others goes back."""
        dropped = [feed for name, feed in self._feeds.items() if name not in names]
        if self._session is not None:
            for feed in dropped:
                for tap in list(feed.taps):
                    self._on_line(lambda session, tap=tap: self._close_tap(session, tap))  # type: ignore[misc]
                    feed.taps.remove(tap)
            self._on_line(_all_that_came)
            self._sort()
            self._return([sent for feed in dropped for sent in feed.drain()])
        self._set(names)

    def _set(self, names: Sequence[str]) -> None:
        self._feeds = {name: self._feeds.get(name) or Feed(name) for name in names}
        self._turns = deque(names)

    def close(self) -> None:
        """Give back what is held and what was sent ahead, and hang up."""
        if self._closed:
            return
        self._closed = True
        session, self._session = self._session, None
        try:
            if session is not None:
                let_go(session.line)
                tags = sorted(self._open_tags, reverse=True)
                with contextlib.suppress(Broken, Refused):
                    # Consumers first, or what goes back would be sent here again.
                    for name in self._by_tap:
                        cancel = commands.Basic.Cancel(consumer_tag=name)
                        session.call(CHANNEL, cancel, commands.Basic.CancelOk, seconds=1.0)
                    tags = sorted({*tags, *(one.tag for one in session.arrived)}, reverse=True)
                    session.settle(CHANNEL, b"".join(frames.nack(CHANNEL, tag) for tag in tags), 1.0)
                session.close()
        finally:
            self._held.clear()
            self._lost.clear()
            self._feeds.clear()
            os.close(self._read)
            os.close(self._write)


def _all_that_came(session: Session) -> None:
    while session.pump(0.0):
        pass
