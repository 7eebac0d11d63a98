"""Looking into workers: ``app.control.inspect()``, with Celery's names and shapes of replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skirret.control.mailbox import Callback, merged

Replies = dict[str, Any]


class Inspect:
    """Asks workers and returns what they reply by node name, or None if nobody did.

    Args:
        broadcast: ``Control.broadcast``, through which they are asked.
        destination: the nodes to ask; of a single name, given as text, the reply itself is returned.
        timeout: seconds to wait for replies at most.
        callback: called with each reply as it comes.
        limit: replies that are enough.
        pattern, matcher: ask the nodes whose names match, by ``glob`` or ``pcre``.
    """

    def __init__(
        self,
        broadcast: Callable[..., list[dict[str, Any]] | None],
        destination: Sequence[str] | str | None = None,
        timeout: float | None = 1.0,
        callback: Callback | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        self._broadcast = broadcast
        self.destination = destination
        self.timeout = timeout
        self.callback = callback
        self.limit = limit
        self.pattern = pattern
        self.matcher = matcher

    def request(self, command: str, timeout: float | None = None, **arguments: Any) -> Any:
        """Ask with any command, such as one of your own.

        Args:
            command: its name.
            timeout: instead of this object's own.
            **arguments: its arguments.
        """
        replies = self._broadcast(
            command,
            arguments=arguments,
            destination=self.destination,
            reply=True,
            timeout=self.timeout if timeout is None else timeout,
            limit=self.limit,
            callback=self.callback,
            pattern=self.pattern,
            matcher=self.matcher,
        )
        if not replies:
            return None
        by_node = merged(replies)
        return by_node.get(self.destination) if isinstance(self.destination, str) else by_node

    _request = request

    def active(self, safe: bool | None = None) -> Replies | None:
        """The tasks that run now, a list of dicts a node."""
        return self._looked("active", safe=safe)

    def active_queues(self) -> Replies | None:
        """The queues that are consumed."""
        return self._looked("active_queues")

    def clock(self) -> Replies | None:
        """The logical clocks."""
        return self._looked("clock")

    def conf(self, with_defaults: bool = False) -> Replies | None:
        """The settings, secrets masked.

        Args:
            with_defaults: also those that nobody set.
        """
        return self._looked("conf", with_defaults=with_defaults)

    def hello(self, from_node: str, revoked: Any = None) -> Replies | None:
        """What a node tells another that starts: revoked ids and its clock."""
        return self._looked("hello", from_node=from_node, revoked=revoked)

    def memdump(self, samples: int = 10) -> Replies | None:
        """The samples that `memsample` took, as text."""
        return self._looked("memdump", samples=samples)

    def memsample(self) -> Replies | None:
        """Take a sample of the resident memory; what it is."""
        return self._looked("memsample")

    def objgraph(self, type: str = "Job", n: int = 200, max_depth: int = 10) -> Replies | None:
        """Counts of the objects in memory by type."""
        return self._looked("objgraph", num=n, max_depth=max_depth, type=type)

    def ping(self, destination: Sequence[str] | str | None = None) -> Replies | None:
        """Who answers."""
        if destination is not None:
            self.destination = destination
        return self._looked("ping")

    def query_task(self, *ids: Any) -> Replies | None:
        """What is known of tasks, by their ids: ``{id: [state, {...}]}`` a node."""
        # A list of ids may be given as the only argument, as in Celery.
        listed = list(ids[0]) if len(ids) == 1 and isinstance(ids[0], (list, tuple)) else list(ids)
        return self._looked("query_task", ids=listed)

    def registered(self, *taskinfoitems: str) -> Replies | None:
        """The names of the registered tasks, with the values of the attributes that are asked for."""
        return self._looked("registered", taskinfoitems=taskinfoitems)

    registered_tasks = registered

    def report(self) -> Replies | None:
        """What a bug report needs."""
        return self._looked("report")

    def reserved(self, safe: bool | None = None) -> Replies | None:
        """The tasks that were taken and have not begun."""
        return self._looked("reserved", safe=safe)

    def revoked(self) -> Replies | None:
        """The ids of revoked tasks."""
        return self._looked("revoked")

    def scheduled(self, safe: bool | None = None) -> Replies | None:
        """The tasks that wait for their time in the queues that a node consumes."""
        return self._looked("scheduled", safe=safe)

    def stack(self) -> Replies | None:
        """What each running task is doing now."""
        return self._looked("stack")

    def stats(self) -> Replies | None:
        """Counts, the pool, the broker, and the resources used."""
        return self._looked("stats")

    def _looked(self, command: str, **arguments: Any) -> Replies | None:
        found: Replies | None = self.request(command, **arguments)
        return found
