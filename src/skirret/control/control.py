"""Steering workers from afar: ``app.control``, with Celery's names and arguments."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from skirret.control import revoking
from skirret.control.inspect import Inspect
from skirret.control.mailbox import Callback, Mailbox
from skirret.control.protocol import ControlApp
from skirret.wire.commands import Request

Replies = list[dict[str, Any]] | None
"""``{node: {"ok": ...}}`` or ``{node: {"error": ...}}`` of each node, if replies were asked for."""


class Control:
    """Remote commands to the workers of an app.

    The methods take these options beside their own arguments: `destination` (node names; all nodes if none are named),
    `pattern` and `matcher` (nodes whose names match, by ``glob`` or ``pcre``), `reply` (wait for replies and return
    them), `timeout` (seconds, 1 unless said), `limit` (replies that are enough), `callback` (called with each).

    Args:
        app: whose workers.
    """

    def __init__(self, app: ControlApp) -> None:
        self.app = app

    @property
    def mailbox(self) -> Mailbox:
        """Through which workers are asked."""
        return Mailbox(self.app)

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Sequence[str] | str | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float | None = 1.0,
        limit: int | None = None,
        callback: Callback | None = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **extra_kwargs: Any,
    ) -> Replies:
        """Send any command, such as one of your own.

        Args:
            command: its name.
            arguments: by name; values that JSON can hold.
            destination: node names; None is all.
            connection, channel: accepted for Celery's sake.
            reply: wait for replies and return them.
            timeout: seconds to wait at most; it returns as soon as all who were asked have replied.
            limit: replies that are enough.
            callback: called with each reply as it comes.
            pattern, matcher: ask the nodes whose names match, by ``glob`` or ``pcre``.
            **extra_kwargs: further arguments.

        Returns:
            The replies, or None without `reply`.

        Raises:
            OperationalError: the broker cannot be reached.
            CapabilityError: the broker cannot send to all workers.
        """
        request = Request(
            method=command,
            arguments={**(arguments or {}), **extra_kwargs},
            destination=[destination] if isinstance(destination, str) else _listed(destination),
            pattern=pattern,
            matcher=matcher,
        )
        if reply:
            return self.mailbox.ask(request, timeout, limit, callback)
        self.mailbox.tell(request)
        return None

    def inspect(
        self,
        destination: Sequence[str] | str | None = None,
        timeout: float | None = 1.0,
        callback: Callback | None = None,
        connection: Any = None,
        app: Any = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> Inspect:
        """Look into workers; the arguments are those of `Inspect`."""
        control = self if app is None else Control(app)
        return Inspect(control.broadcast, destination, timeout, callback, limit, pattern, matcher)

    def ping(self, destination: Sequence[str] | None = None, timeout: float = 1.0, **kwargs: Any) -> Replies:
        """Who answers: ``[{node: {"ok": "pong"}}]``."""
        return self.broadcast("ping", {}, destination, reply=True, timeout=timeout, **kwargs)

    # -- tasks

    def revoke(
        self,
        task_id: str | Sequence[str],
        destination: Sequence[str] | None = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        **kwargs: Any,
    ) -> Replies:
        """Keep tasks from starting, also on workers that start later where there is a server that keeps shared state.

        Args:
            task_id: one id or several.
            destination: node names that are told; that the task is revoked holds for all.
            terminate: end those that run already.
            signal: by which signal.
            **kwargs: options of `broadcast`.

        Raises:
            OperationalError: the shared state or the broker cannot be reached.
        """
        ids = revoking.ids_of(task_id)
        if self._is_kept():
            revoking.revoke(self.app.coordination, ids)
        arguments = {"task_id": task_id if isinstance(task_id, str) else ids, "terminate": terminate, "signal": signal}
        return self.broadcast("revoke", arguments, destination, **kwargs)

    def _is_kept(self) -> bool:
        """Whether a revoke outlives the workers that hear it; a warning if not."""
        if self.app.coordination_url_in_use() is not None:
            return True
        warnings.warn(
            "neither the broker nor the result store keeps state that workers share, so this revoke holds for the "
            "workers that run now, until they end. Set coordination_url to a server that keeps it, such as "
            "redis://localhost/0",
            RuntimeWarning,
            stacklevel=3,
        )
        return False

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: Sequence[str] | None = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        **kwargs: Any,
    ) -> Replies:
        """Keep tasks from starting that carry one of these stamps; as `revoke`.

        Args:
            headers: stamps to their values, one or a list.
            destination: node names that are told.
            terminate: end those that run already.
            signal: by which signal.
            **kwargs: options of `broadcast`.
        """
        if self._is_kept():
            revoking.revoke_stamps(self.app.coordination, headers)
        plain = {
            header: list(value) if isinstance(value, (set, frozenset, tuple)) else value
            for header, value in headers.items()
        }
        arguments = {"headers": plain, "terminate": terminate, "signal": signal}
        return self.broadcast("revoke_by_stamped_headers", arguments, destination, **kwargs)

    def terminate(
        self,
        task_id: str | Sequence[str],
        destination: Sequence[str] | None = None,
        signal: str | int = "SIGTERM",
        **kwargs: Any,
    ) -> Replies:
        """Revoke tasks, and end those that run."""
        return self.revoke(task_id, destination, terminate=True, signal=signal, **kwargs)

    def rate_limit(
        self, task_name: str, rate_limit: int | str, destination: Sequence[str] | None = None, **kwargs: Any
    ) -> Replies:
        """Limit how often tasks of a name start: a number a second, or ``5/s``, ``10/m``, ``100/h``; 0 is no limit."""
        arguments = {"task_name": task_name, "rate_limit": rate_limit}
        return self.broadcast("rate_limit", arguments, destination, **kwargs)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Replies:
        """Limit how long tasks of a name run, in seconds; for those that start from now on."""
        arguments = {"task_name": task_name, "hard": hard, "soft": soft}
        return self.broadcast("time_limit", arguments, destination, **kwargs)

    # -- queues

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        destination: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Replies:
        """Let workers consume a further queue.

        Args:
            queue: its name.
            exchange, exchange_type, routing_key: how it is bound, where it is new.
            options: further ones of the queue.
            destination: node names; None is all.
            **kwargs: options of `broadcast`.
        """
        arguments = {
            "queue": queue,
            "exchange": exchange,
            "exchange_type": exchange_type,
            "routing_key": routing_key,
            **(options or {}),
        }
        return self.broadcast("add_consumer", arguments, destination, **kwargs)

    def cancel_consumer(self, queue: str, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Let workers stop consuming a queue."""
        return self.broadcast("cancel_consumer", {"queue": queue}, destination, **kwargs)

    def purge(self, connection: Any = None) -> int:
        """Drop what waits in the app's queues; how many messages."""
        return sum(self.app.broker.purge(name) for name in self.app.queues)

    discard_all = purge

    # -- pools and nodes

    def autoscale(self, max: int, min: int, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Let pools grow and shrink by load, from `min` to `max` slots."""
        return self.broadcast("autoscale", {"max": max, "min": min}, destination, **kwargs)

    def pool_grow(self, n: int = 1, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Add `n` slots to each pool."""
        return self.broadcast("pool_grow", {"n": n}, destination, **kwargs)

    def pool_shrink(self, n: int = 1, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Take `n` slots from each pool; running tasks finish."""
        return self.broadcast("pool_shrink", {"n": n}, destination, **kwargs)

    def pool_restart(
        self,
        modules: Sequence[str] | None = None,
        reload: bool = False,
        reloader: Any = None,
        destination: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Replies:
        """Import the app anew and put new children in the place of the old ones; running tasks finish.

        Args:
            modules: to import beside the app's own.
            reload: accepted for Celery's sake: all modules are always loaded anew.
            reloader: accepted for Celery's sake.
            destination: node names; None is all.
            **kwargs: options of `broadcast`.
        """
        arguments = {"modules": _listed(modules), "reload": reload, "reloader": None}
        return self.broadcast("pool_restart", arguments, destination, **kwargs)

    def shutdown(self, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Stop workers when their running tasks are done."""
        return self.broadcast("shutdown", {}, destination, **kwargs)

    # -- events

    def enable_events(self, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Let workers send events about tasks."""
        return self.broadcast("enable_events", {}, destination, **kwargs)

    def disable_events(self, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Let workers stop sending events about tasks."""
        return self.broadcast("disable_events", {}, destination, **kwargs)

    def heartbeat(self, destination: Sequence[str] | None = None, **kwargs: Any) -> Replies:
        """Let workers send their heartbeat event now."""
        return self.broadcast("heartbeat", {}, destination, **kwargs)

    def election(self, id: str, topic: str, action: Any = None, connection: Any = None) -> None:
        """Accepted for the sake of Celery's nodes; Skirret's elect nobody."""
        self.broadcast("election", {"id": id, "topic": topic, "action": action})


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)
