"""Which queue does a task go to? ``task_routes`` and the call's own options, as one answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from skirret.app.queue_forms import as_exchange, as_queue
from skirret.app.queues import Queues, glob, is_pattern
from skirret.brokers.base import Queue
from skirret.errors import ImproperlyConfigured
from skirret.message import Route
from skirret.plugins import import_object

Rule = Callable[[str, Any, Any, Mapping[str, Any], Any], Mapping[str, Any] | None]


class MapRule:
    """Routes by name: exact names first, then globs and regular expressions in their order."""

    def __init__(self, table: Any) -> None:
        items = table.items() if isinstance(table, Mapping) else table
        self._exact: dict[str, dict[str, Any]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Any]]] = []
        for key, value in items:
            options = _as_options(value)
            if isinstance(key, re.Pattern):
                self._patterns.append((key, options))
            elif is_pattern(key):
                self._patterns.append((glob(key), options))
            else:
                self._exact[key] = options

    def __call__(self, name: str, args: Any, kwargs: Any, options: Any, task: Any) -> dict[str, Any] | None:
        found = self._exact.get(name)
        if found is not None:
            return found
        return next((route for pattern, route in self._patterns if pattern.match(name)), None)


def _as_options(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return {"queue": value}
    raise ImproperlyConfigured(f"a route must be a queue's name or a mapping of options, not {value!r}")


def _function_rule(function: Callable[..., Any]) -> Rule:
    def ask(name: str, args: Any, kwargs: Any, options: Mapping[str, Any], task: Any) -> dict[str, Any] | None:
        answer = function(name, args, kwargs, options, task=task)
        return None if answer is None else _as_options(answer)

    return ask


def compile_rules(routes: Any) -> tuple[list[Rule], bool]:
    """The rules in ``task_routes``, and whether their answers depend on the name only.

    Raises:
        ImproperlyConfigured: a rule has no known form.
    """
    if routes is None:
        return [], True
    if not isinstance(routes, (list, tuple)):
        routes = [routes]
    rules: list[Rule] = []
    by_name_only = True
    for entry in routes:
        rule = import_object(entry) if isinstance(entry, str) else entry
        if isinstance(rule, type) and not isinstance(rule, Mapping):
            rule = rule()
        if isinstance(rule, (Mapping, list, tuple)):
            rules.append(MapRule(rule))
            continue
        function = getattr(rule, "route_for_task", rule)
        if not callable(function):
            raise ImproperlyConfigured(f"task_routes holds {entry!r}, which is neither a mapping nor a callable")
        rules.append(_function_rule(function))
        by_name_only = False
    return rules, by_name_only


class Router:
    """Answers where a call goes.

    Args:
        queues: the declared queues.
        routes: ``task_routes``.
        default_exchange, default_routing_key: the settings of these names.
    """

    def __init__(
        self,
        queues: Queues,
        routes: Any = None,
        *,
        default_exchange: str | None = None,
        default_routing_key: str | None = None,
    ) -> None:
        self.queues = queues
        self.rules, self.by_name_only = compile_rules(routes)
        self._default_exchange = default_exchange or ""
        self._default_routing_key = default_routing_key or ""

    def lookup(self, name: str, args: Any, kwargs: Any, options: Mapping[str, Any], task: Any) -> dict[str, Any]:
        """The options that the first matching rule gives, or {}."""
        for rule in self.rules:
            found = rule(name, args, kwargs, options, task)
            if found is not None:
                return dict(found)
        return {}

    def destination(self, options: Mapping[str, Any]) -> Route:
        """The home queue, exchange and routing key that merged `options` mean.

        With a queue only, the message goes to it directly (AMQP's nameless exchange). With an exchange and a routing
        key, its home is the declared queue that is bound so, else the one named, else the default one.

        Raises:
            QueueNotFound: the queue is unknown and may not be made.
        """
        exchange = options.get("exchange")
        exchange_name = as_exchange(exchange).name
        routing_key = str(options.get("routing_key") or "")
        queue = self._queue(options.get("queue"), exchange_name, routing_key)
        kind = options.get("exchange_type") or getattr(exchange, "type", None) or queue.exchange_type
        if kind == "direct" and not (exchange_name and routing_key):
            return Route(queue=queue.name, routing_key=queue.name)
        return Route(
            queue=queue.name,
            exchange=exchange_name or queue.exchange or self._default_exchange,
            routing_key=routing_key or queue.routing_key or self._default_routing_key or queue.name,
            exchange_type=str(kind),
        )

    def _queue(self, named: Any, exchange: str, routing_key: str) -> Queue:
        if named is not None:
            return self.queues[named] if isinstance(named, str) else as_queue(named)
        if exchange and routing_key:
            bound = self.queues.bound_to(exchange, routing_key)
            if bound is not None:
                return bound
        return self.queues[self.queues.default]
