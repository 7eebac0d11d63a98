"""From publications to confirmed messages: where each goes, through which exchange, and what if no queue wants it."""

from __future__ import annotations

from collections.abc import Sequence

from skirret import clock
from skirret.brokers.amqp import ladder, letter
from skirret.brokers.amqp.topology import Topology, dead_exchange
from skirret.brokers.exchanges import Exchange
from skirret.errors import OperationalError
from skirret.message import Publication, Route
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.line import FRAME_MAX
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.store import Store
from skirret.stores.amqp.tables import short_text


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

    def to_dead(self, queue: str, content: Content, body: bytes) -> Outgoing:
        """A message for the dead letters of a queue in bytes."""
        self._topology.ensure_dead(queue)
        return letter.outgoing(content, body, dead_exchange(queue), queue, FRAME_MAX)

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Store messages, all confirmed.

        Raises:
            OperationalError: not all could be confirmed, or some have no queue.
        """
        if not messages:
            return
        lost = self._store.publish(messages)
        if not lost:
            return
        # A queue was deleted behind our back: it is made again, and what was meant for it sent once more.
        for one in lost:
            if not one.exchange:
                self._topology.forget(one.routing_key)
                self._topology.ensure(one.routing_key)
        again = [Outgoing(short_text(one.exchange), short_text(one.routing_key), one.header, one.body) for one in lost]
        still = self._store.publish(again)
        if still:
            one = still[0]
            raise OperationalError(
                f"{len(still)} messages were not stored: no queue of the {self._store.address} is bound to exchange "
                f"{one.exchange!r} with the routing key {one.routing_key!r} ({one.reason}). Declare the queue in "
                "task_queues and start a worker for it, or mend the route"
            )
