"""The options of one call of a task, and the one rule by which they are merged.

The rule: layers are given strongest first (the call, the task, the route, the settings); the strongest layer that says
something wins; None says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

ROUTE: Final = frozenset({"queue", "exchange", "exchange_type", "routing_key"})
"""Where the message goes."""

DELIVERY: Final = frozenset({"priority", "delivery_mode", "serializer", "compression", "expires", "countdown", "eta"})
"""How it travels."""

RUN: Final = frozenset(
    {
        "time_limit", "soft_time_limit", "ignore_result", "shadow", "retries", "headers", "argsrepr", "kwargsrepr",
        "concurrency_key",
    }
)  # fmt: skip
"""How it runs, and how it is shown."""

LINEAGE: Final = frozenset(
    {
        "task_id", "root_id", "parent_id", "group_id", "group_index", "link", "link_error", "chain", "chord",
        "reply_to", "correlation_id", "replaced_task_nesting", "add_to_parent", "stamped_headers", "origin",
    }
)  # fmt: skip
"""What it belongs to."""

SENDING: Final = frozenset(
    {
        "retry", "retry_policy", "route_name", "result_cls", "task_type", "unique", "unique_for", "unique_until",
    }
)  # fmt: skip
"""How the publisher goes about it."""

CARRIED: Final = frozenset({"app_id", "cluster_id", "message_id", "timestamp", "type", "user_id"})
"""AMQP's own properties: they travel with the message and mean nothing to Skirret."""

PROPERTIES: Final = CARRIED | frozenset(
    {
        "content_encoding", "content_type", "expiration", "mandatory", "immediate", "timeout", "confirm_timeout",
        "declare", "producer", "publisher", "connection", "router",
    }
)  # fmt: skip
"""These, and options that steer kombu's own objects: accepted, and shown to ``before_task_publish``."""

KNOWN: Final = ROUTE | DELIVERY | RUN | LINEAGE | SENDING | PROPERTIES

TASK_ATTRIBUTES: Final = (
    "queue", "exchange", "exchange_type", "routing_key", "priority", "expires", "serializer", "delivery_mode",
    "compression", "time_limit", "soft_time_limit", "ignore_result", "concurrency_key",
)  # fmt: skip
"""Options that a task may carry as attributes."""


def merge(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """One set of options from several layers, the strongest first; what is None counts as not said."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        if layer:
            merged.update({name: value for name, value in layer.items() if value is not None})
    return merged


def properties(merged: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that merged options give a message beside those that every message has."""
    stamped = merged.get("stamped_headers") or ()
    return {
        name: value for name, value in merged.items() if (name in CARRIED or name not in KNOWN) and name not in stamped
    }


def check(names: Iterable[str], call: str = "apply_async") -> None:
    """Refuse an option that looks like a misspelt one.

    A name that is near to none is the caller's own, and travels as a property of the message.

    Raises:
        TypeError: a name is not an option, but nearly.
    """
    for name in names:
        if name in KNOWN:
            continue
        import difflib  # only errors need it

        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.75)
        if near:
            raise TypeError(f"{call}() got an unknown option {name!r}; did you mean {near[0]!r}?")
