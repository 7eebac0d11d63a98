"""From publications to confirmed messages: where each goes, through which exchange, and what if no queue wants it."""

from __future__ import annotations

from collections.abc import Sequence

from skirret import clock
from skirret.brokers.amqp import ladder, letter
from skirret.brokers.amqp.letter import Letter
from skirret.brokers.amqp.topology import Topology, dead_exchange
from skirret.brokers.exchanges import Exchange
from skirret.errors import EncodeError, QueueNotFound
from skirret.message import Publication, Route
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.faults import NOT_FOUND, Refused, in_words
from skirret.stores.amqp.line import FRAME_MAX
from skirret.stores.amqp.publishing import Outgoing, Unroutable
from skirret.stores.amqp.store import Store
from skirret.stores.amqp.tables import short_text

TOO_LARGE = frozenset({311, 406, 501})
"""What servers answer to a message over their limit; nothing else of a publish is answered so."""


class Sending:
    """Publishes through one server.

    Args:
        store: the server.
        topology: what is known to exist there.
    """

    def __init__(self, store: Store, topology: Topology) -> None:
        self._store = store
        self._topology = topology

    def of(self, publication: Publication, number: int = 0) -> Outgoing:
        """A publication in bytes, its queue made if there is none.

        Args:
            publication: the message and its route.
            number: its place among those of one call.

        Raises:
            EncodeError: AMQP cannot hold it.
            OperationalError: the server cannot be reached.
        """
        route = publication.route
        content = letter.content_of(publication, number)
        body = publication.envelope.body
        if not route.exchange:
            return self.to(route.queue, content, body, publication.due)
        return self._through(route, content, body, publication.due)

    def _through(self, route: Route, content: Content, body: bytes, due: float | None) -> Outgoing:
        """A message that an exchange gives to whichever queues are bound to it."""
        home = self._topology.planned(route.queue)
        if home.auto_delete:  # each worker has its own, and ours is for nobody
            self._topology.ensure_exchange(Exchange(route.exchange, route.exchange_type))
        elif any(way.exchange.name == route.exchange for way in home.ways):
            self._topology.ensure(route.queue)
        delay = 0 if due is None else ladder.seconds_until(due, clock.wall())
        exchange, key = route.exchange, route.routing_key or route.queue
        if delay and route.exchange_type == "direct":
            return self.to(route.queue, content, body, due)
        if delay:
            # Which key it has does not matter to other exchanges than those of topics, and it shall be no queue's.
            key = key if route.exchange_type == "topic" else f"exchange.{exchange}"
            self._topology.ensure_delays_to(exchange, key)
            exchange, key = ladder.ENTRY, ladder.key(delay, key)
        made = letter.outgoing(content, body, exchange, key, FRAME_MAX)
        return made._replace(mandatory=False) if home.auto_delete else made

    def to(self, queue: str, content: Content, body: bytes, due: float | None = None) -> Outgoing:
        """A message for a queue in bytes.

        Args:
            queue: its home, made if there is none.
            content, body: the message.
            due: seconds since the epoch; in the future it goes by the ladder.
        """
        self._topology.ensure(queue)
        delay = 0 if due is None else ladder.seconds_until(due, clock.wall())
        if delay:
            self._topology.ensure_delays(queue)
            return letter.outgoing(content, body, ladder.ENTRY, ladder.key(delay, queue), FRAME_MAX)
        return letter.outgoing(content, body, "", queue, FRAME_MAX)

    def again(self, queue: str, found: Letter) -> Outgoing | None:
        """A message as a new one at the end of its queue, in bytes; None if it cannot be written with its counters."""
        try:
            return self.to(queue, letter.counted(found), found.body)
        except EncodeError:
            return None

    def to_dead(self, queue: str, found: Letter, reason: str) -> Outgoing:
        """A message for the dead letters of a queue in bytes, with the reason why it is there."""
        home = self._topology.home(queue)
        self._topology.ensure_dead(home)
        counts = {"reason": reason, "died": clock.wall(), "home": home}
        try:
            return letter.outgoing(letter.counted(found, **counts), found.body, dead_exchange(home), home, FRAME_MAX)
        except EncodeError:  # its own headers leave no room for ours
            bare = letter.counted(letter.bare(found), **counts)
            return letter.outgoing(bare, found.body, dead_exchange(home), home, FRAME_MAX)

    def from_dead(self, home: str, content: Content, body: bytes) -> Outgoing:
        """A dead letter's way back in bytes: to its queue, or to all who hear its broadcast."""
        queue = self._topology.planned(home)
        if queue.name == home:
            return self.to(home, content, body)
        route = Route(queue=queue.name, exchange=queue.exchange, exchange_type=queue.exchange_type)
        return self._through(route, content, body, None)

    def send(self, waiting: list[Outgoing]) -> None:
        """Store messages, all confirmed.

        Args:
            waiting: the messages; what is stored is taken out, whatever happens to the others.

        Raises:
            OperationalError: not all could be confirmed; trying again later may help.
            QueueNotFound: no queue wants some of them.
            EncodeError: one is larger than the server takes.
        """
        for is_last in (False, True):
            if not waiting:
                return
            messages = list(waiting)
            try:
                lost = self._store.publish(waiting)
            except Refused as exc:
                if exc.code == NOT_FOUND and not is_last:
                    self._topology.doubt_all()  # somebody deleted an exchange behind our back
                    self._mend(waiting)
                    continue
                raise self._in_words(exc) from exc
            waiting += _same(lost, messages)
            if waiting and is_last:
                raise QueueNotFound(
                    f"{len(lost)} messages were not stored: no queue of the {self._store.address} is bound to exchange "
                    f"{lost[0].exchange!r} with the routing key {lost[0].routing_key!r} ({lost[0].reason}). Declare "
                    "the queue in task_queues and start a worker for it, or mend the route"
                )
            for one in lost:
                self._topology.forget(one.routing_key)
                if one.exchange == dead_exchange(one.routing_key):
                    self._topology.doubt_dead(one.routing_key)
            self._mend(waiting)

    def _mend(self, messages: Sequence[Outgoing]) -> None:
        """Make again what these messages need and somebody deleted."""
        for exchange, key in {(one.exchange[1:].decode(), one.routing_key[1:].decode()) for one in messages}:
            if exchange == ladder.ENTRY:
                self._topology.ensure(ladder.plain(key))
                self._topology.ensure_delays(ladder.plain(key))
            elif exchange == dead_exchange(key):
                self._topology.ensure_dead(key)
            elif not exchange:
                self._topology.ensure(key)
            else:
                self._topology.remake(exchange)

    def _in_words(self, exc: Refused) -> Exception:
        told = in_words(exc, self._store.address)
        if exc.code == NOT_FOUND:
            return QueueNotFound(str(told))
        return EncodeError(str(told)) if exc.code in TOO_LARGE else told


def _same(lost: Sequence[Unroutable], messages: Sequence[Outgoing]) -> list[Outgoing]:
    """Which of our messages the server gave back."""
    left = list(messages)
    found: list[Outgoing] = []
    for one in lost:
        place = short_text(one.exchange), short_text(one.routing_key)
        same = next((m for m in left if (m.exchange, m.routing_key) == place and m.body == one.body), None)
        if same is not None:
            left.remove(same)
            found.append(same)
    return found
