"""What the server sends ahead to one worker: from which queues, how much, and who of it is next."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

from pamqp import commands

from skirret import clock
from skirret.brokers.amqp.feed import Feed, Sent, Tap, unread
from skirret.brokers.amqp.lane import Lane
from skirret.brokers.amqp.topology import Topology
from skirret.stores.amqp.publishing import CHANNEL
from skirret.stores.amqp.session import Arrived, Session

WIDE_FOR = 1.0
"""Seconds between two looks whether a window is wider than its need."""

_taps = itertools.count(1)


class Supply:
    """The feeds of one consumer, their taps opened and closed on its lane.

    Args:
        lane: the consumer's line.
        topology: sees to it that a queue exists.
        cid: the incarnation, for the names of taps.
        by_priority: whether messages have priorities: then each queue may send all that there is room for, since the
            most urgent may be in any of them.
    """

    def __init__(self, lane: Lane, topology: Topology, cid: str, *, by_priority: bool) -> None:
        self._lane = lane
        self._topology = topology
        self._cid = cid
        self._by_priority = by_priority
        self._feeds: dict[str, Feed] = {}
        self._by_tap: dict[str, tuple[Feed, Tap]] = {}
        self._turns: deque[str] = deque()
        self._closed: list[str] = []
        self._look_at = 0.0
        self.open: dict[int, Tap | None] = {}
        """The messages that the server waits to hear of, by their tags on the channel."""

    @property
    def count(self) -> int:
        """How many messages wait here."""
        return sum(feed.count for feed in self._feeds.values())

    def count_of(self, queue: str) -> int:
        """How many of one queue; from any thread."""
        feed = self._feeds.get(queue)
        return 0 if feed is None else feed.count

    @property
    def is_starved(self) -> bool:
        """Whether a queue may send nothing more."""
        return any(not feed.credit for feed in self._feeds.values())

    # -- in --------------------------------------------------------------------------------------------------------

    def arrive(self, arrived: Sequence[Arrived]) -> list[tuple[Feed, Sent]]:
        """Note all that came since the last call: its feed, and the message, which waits nowhere yet."""
        found: list[tuple[Feed, Sent]] = []
        for came in arrived:
            feed, tap = self._by_tap[came.consumer]
            tap.open += 1
            self.open[came.tag] = tap
            found.append((feed, unread(came)))
        for name in self._closed:  # what they sent last came before the server said that they are closed
            self._by_tap.pop(name, None)
        self._closed.clear()
        return found

    def done(self, tags: Sequence[int]) -> None:
        """Messages that the server was told of: their places in the window are free."""
        for tag in tags:
            tap = self.open.pop(tag, None)
            if tap is not None:
                tap.open -= 1

    def next(self, limit: int) -> Iterator[tuple[str, Sent]]:
        """The next messages with their queues: by priority, and within it the queues take turns."""
        while limit > 0:
            priority = max((feed.best() for feed in self._feeds.values()), default=-1)
            if priority < 0:
                return
            names = [name for name in self._turns if self._feeds[name].best() == priority][:limit]
            for name in names:
                self._turns.remove(name)  # who was served goes to the end of the row
                self._turns.append(name)
                served = self._feeds[name].take(priority, limit if len(names) == 1 else 1)
                limit -= len(served)
                for sent in served:
                    yield name, sent

    # -- the window ------------------------------------------------------------------------------------------------

    def widen(self, limit: int, *, starved: bool = False) -> bool:
        """Let the server send as much as there is room for; whether that needed another tap.

        Each queue may send its share. Where that did not fill the room, those that are `starved`, which have sent all
        that they might, may send all of it.
        """
        room = limit - self.count
        share = -(-room // max(1, len(self._feeds)))
        grown = False
        for feed in self._feeds.values():
            wanted = limit - feed.count if self._by_priority else room if starved else share
            if wanted <= 0 or (starved and feed.credit):
                continue
            missing = feed.missing(wanted)
            if missing:
                self._open(feed, missing)
                grown = True
        now = clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + WIDE_FOR
            for feed in self._feeds.values():
                self._narrow(feed, 2 * limit)
        return grown

    def _open(self, feed: Feed, prefetch: int) -> None:
        if not feed.taps:  # nobody here would have heard of its end, and to be refused would cost the whole session
            self._topology.doubt(feed.queue)
        self._topology.ensure(feed.queue)
        tap = Tap(f"skirret.{self._cid[:8]}.{next(_taps)}", prefetch)
        # Known before the server answers: its first messages may come with the answer.
        self._by_tap[tap.name] = (feed, tap)
        arguments = self._topology.planned(feed.queue).consumer_arguments
        consume = commands.Basic.Consume(queue=feed.queue, consumer_tag=tap.name, arguments=dict(arguments))
        self._lane.do(lambda session, seconds: session.consume(CHANNEL, consume, prefetch, seconds))
        feed.taps.append(tap)

    def _close(self, feed: Feed, tap: Tap) -> None:
        cancel = commands.Basic.Cancel(consumer_tag=tap.name)
        self._lane.do(lambda session, seconds: session.call(CHANNEL, cancel, commands.Basic.CancelOk, seconds=seconds))
        if tap in feed.taps:
            feed.taps.remove(tap)
        self._closed.append(tap.name)

    def _narrow(self, feed: Feed, room: int) -> None:
        for tap in feed.superfluous(room):
            self._close(feed, tap)

    def rest(self) -> list[str]:
        """Let nothing more come from the queues that are shared, also not in place of what goes back; their names.

        Those that are this worker's own stay as they are: nobody else has room for what is in them.
        """
        shared = [feed for feed in self._feeds.values() if not self._topology.planned(feed.queue).auto_delete]
        for feed in shared:
            if feed.count:
                self.shut(feed.queue)
            else:
                self._narrow(feed, 0)
        return [feed.queue for feed in shared]

    def shut(self, queue: str) -> None:
        """Let nothing more come from one queue, whatever of it is settled."""
        feed = self._feeds.get(queue)
        if feed is not None:
            for tap in list(feed.taps):
                self._close(feed, tap)

    def drain(self, *queues: str) -> list[tuple[str, Sent]]:
        """All that waits here (of these queues, if any are named), which it then does no more."""
        feeds = [feed for name, feed in self._feeds.items() if not queues or name in queues]
        return [(feed.queue, sent) for feed in feeds for sent in feed.drain()]

    def keep(self, messages: Sequence[tuple[str, Sent]]) -> None:
        """Let messages wait here again that could not be given back, unless the server has heard of them."""
        for queue, sent in messages:
            if queue in self._feeds and sent.tag in self.open:
                self._feeds[queue].add(sent)

    # -- changes ---------------------------------------------------------------------------------------------------

    @property
    def queues(self) -> list[str]:
        """The names of the queues."""
        return list(self._feeds)

    def set(self, names: Sequence[str]) -> None:
        """Be fed by exactly these queues; the others were shut and drained before."""
        self._feeds = {name: self._feeds.get(name) or Feed(name) for name in names}
        self._turns = deque(names)

    def lost(self) -> None:
        """The line broke: no tap is open, and all that waited here is back in its queue."""
        for feed in self._feeds.values():
            feed.taps.clear()
            feed.drain()
        self._topology.doubt_all()  # what answers next may be another server, or a new one
        self._by_tap.clear()
        self._closed.clear()
        self.open.clear()

    def ended(self, name: str) -> None:
        """The server ended a tap: its queue was deleted, or its node went. It is opened anew when there is need."""
        feed, tap = self._by_tap.get(name, (None, None))
        if feed is not None and tap in feed.taps:
            feed.taps.remove(tap)
            self._closed.append(name)
            self._topology.forget(feed.queue)

    def cancel_all(self, session: Session, seconds: float) -> None:
        """Close every tap on a session that is about to end."""
        for feed in self._feeds.values():
            for tap in feed.taps:
                cancel = commands.Basic.Cancel(consumer_tag=tap.name)
                session.call(CHANNEL, cancel, commands.Basic.CancelOk, seconds=seconds)
