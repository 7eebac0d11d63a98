"""From publications to confirmed messages: where each goes, through which exchange, and what if no queue wants it."""

from __future__ import annotations

from collections.abc import Sequence

from skirret import clock
from skirret.brokers.amqp import ladder, letter
from skirret.brokers.amqp.topology import Topology, dead_exchange
from skirret.errors import OperationalError
from skirret.message import Publication
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
        key = route.routing_key or route.queue
        return self.to(route.queue, content, publication.envelope.body, publication.due, route.exchange, key)

    def to(
        self, queue: str, content: Content, body: bytes, due: float | None = None, exchange: str = "", key: str = ""
    ) -> Outgoing:
        """A message for a queue in bytes.

        Args:
            queue: its home, made if there is none.
            content, body: the message.
            due: seconds since the epoch; in the future it goes by the ladder, straight to its home.
            exchange, key: the way to it; the default exchange leads to the queue by its name.
        """
        self._topology.ensure(queue)
        delay = 0 if due is None else ladder.seconds_until(due, clock.wall())
        if delay:
            self._topology.ensure_delays(queue)
            return letter.outgoing(content, body, ladder.ENTRY, ladder.key(delay, queue), FRAME_MAX)
        return letter.outgoing(content, body, exchange, key if exchange else queue, FRAME_MAX)

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
