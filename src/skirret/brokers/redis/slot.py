"""What one script can touch at once: the whole server, or in a cluster one queue."""

from __future__ import annotations

from collections.abc import Sequence

from skirret.brokers.redis.options import Options
from skirret.errors import ImproperlyConfigured
from skirret.message import Publication
from skirret.stores.redis.keys import Keys
from skirret.stores.redis.store import Store
from skirret.wire import envelope as wire
from skirret.wire import redis_keys

Draft = tuple[str, str, str, str, bytes]
"""One message for a script: nonce, due, priority step, queue, the message; "" where there is none."""


class Slot:
    """Names within one slot, as scripts want them.

    Args:
        store: the server.
        options: the broker's.
        queue: in a cluster, the queue of this slot; "" elsewhere.
    """

    __slots__ = ("head", "keys", "options", "order", "queue", "steps", "store")

    def __init__(self, store: Store, options: Options, queue: str = "") -> None:
        if queue and ("{" in queue or "}" in queue):
            raise ImproperlyConfigured(
                f"the queue {queue!r} cannot be kept in a Redis Cluster, where braces in a name say which node keeps "
                "it. Name it without them."
            )
        self.store = store
        self.options = options
        self.queue = queue
        self.keys = Keys(store.prefix, queue)
        left, right = (f"{store.prefix}{{", "}") if queue else (store.prefix, "")
        self.head = (self.keys.base, self.keys.wake(""), left, right, options.separator)
        """The first arguments of every script (see ``queue.lua``)."""
        self.steps = tuple(str(step) for step in options.steps)
        self.order = tuple(str(step) for step in options.order)

    def list_of(self, queue: str, step: str) -> str:
        """The key of the ready list of a priority step."""
        _, _, left, right, separator = self.head
        return f"{left}{queue}{right}{separator}{step}" if step != "0" else f"{left}{queue}{right}"

    def lists(self, queue: str) -> list[str]:
        """The keys of a queue's ready lists."""
        _, _, left, right, separator = self.head
        return redis_keys.ready_lists(f"{left}{queue}{right}", self.options.steps, separator)


def draft(publication: Publication, options: Options) -> Draft:
    """A publication as scripts want it.

    Raises:
        EncodeError: it cannot be written as JSON.
    """
    priority = publication.envelope.priority
    step = next((step for step in reversed(options.steps) if step <= priority), options.steps[0])
    due = "" if publication.due is None else f"{publication.due:.6f}"
    return publication.nonce, due, str(step), publication.route.queue, wire.encode(publication)


def told_apart(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts of one call, in which publications that share a nonce get one of their own each."""
    seen: dict[str, int] = {}
    apart = []
    for one in drafts:
        nonce = one[0]
        if nonce:
            times = seen[nonce] = seen.get(nonce, -1) + 1
            if times:
                one = (f"{nonce}#{times}", *one[1:])
        apart.append(one)
    return apart
