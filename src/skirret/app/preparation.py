"""From a call to a task message: options, lineage and moments become one value. Pure but for the clock and new ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skirret import options as option_rules
from skirret.app.lineage import origin, uuid, worker_call
from skirret.app.moments import eta_of, expires_of
from skirret.app.settings_view import SettingsView, mode_number
from skirret.message import Route, TaskMessage
from skirret.request import Context
from skirret.saferepr import argsrepr, kwargsrepr
from skirret.wire.marks import HEADER

HIGHEST_PRIORITY = 255

PROTOCOL_HEADERS = frozenset(
    {
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id",
        "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers",
        "stamps", "compression",
    }
)  # fmt: skip
"""Headers that task protocol 2 itself sets; what else is in a message's headers is the caller's own."""


@dataclass(slots=True)
class Plan:
    """How calls of one task travel when the call itself says nothing: its options merged and its route found."""

    options: dict[str, Any]
    route: Route
    serializer: str
    compression: str | None
    priority: int | None
    delivery_mode: int
    properties: dict[str, Any]
    concurrency_key: Any = None
    task: Any = None


def plan(view: SettingsView, name: str, args: Any, kwargs: Any, call: Mapping[str, Any], task: Any) -> Plan:
    """Merge the layers of options and find the route.

    Args:
        view: the settings.
        name: the task's name (``route_name`` of the call wins for routing).
        args, kwargs: shown to routing functions.
        call: the options of this call.
        task: the task, or None if this process does not know it.

    Raises:
        QueueNotFound: the route's queue is unknown.
        ValueError: the priority is no number from 0 to 255.
    """
    own: Mapping[str, Any] = task.sending_options() if task is not None else {}
    stronger = option_rules.merge(call, own)
    routed: dict[str, Any] = {}
    if view.router.rules:
        routed = view.router.lookup(stronger.get("route_name") or name, args, kwargs, stronger, task)
    merged = option_rules.merge(call, own, routed)
    priority = merged.get("priority", view.priority)
    if priority is not None and (
        isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= HIGHEST_PRIORITY
    ):
        raise ValueError(f"priority must be a number from 0 (lowest) to 9 (highest), not {priority!r}")
    return Plan(
        options=merged,
        route=view.router.destination(merged),
        serializer=merged.get("serializer") or view.serializer,
        compression=merged.get("compression") or view.compression,
        priority=priority,
        delivery_mode=mode_number(merged.get("delivery_mode") or view.delivery_mode),
        properties=option_rules.properties(merged),
        concurrency_key=merged.get("concurrency_key"),
        task=task,
    )


def listed(value: Any) -> list[Any] | None:
    """``link`` and its like as a list: None stays None, one signature becomes a list of it."""
    if value is None:
        return None
    found = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    return found or None


def message(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], planned: Plan, view: SettingsView
) -> TaskMessage:
    """The message of a call with its plan."""
    merged = planned.options
    task_id = merged.get("task_id") or uuid()
    root_id, parent_id, priority = merged.get("root_id"), merged.get("parent_id"), planned.priority
    if not root_id or not parent_id:
        running = worker_call()
        if running is not None:
            request = running[1]
            root_id = root_id or request.root_id or request.id
            parent_id = parent_id or request.id
            if view.inherit_priority and merged.get("priority") is None:
                priority = (request.delivery_info or {}).get("priority", priority)
    built = TaskMessage(task=name, id=task_id)  # field by field: thirty keywords take three times as long
    built.args = tuple(args)
    built.kwargs = dict(kwargs)
    built.root_id = root_id or task_id
    built.parent_id = parent_id
    built.argsrepr = merged.get("argsrepr") or argsrepr(args)
    built.kwargsrepr = merged.get("kwargsrepr") or kwargsrepr(kwargs)
    built.origin = merged.get("origin") or origin()
    built.correlation_id = task_id
    built.reply_to = merged.get("reply_to") or view.reply_to()
    built.priority = priority
    built.delivery_mode = planned.delivery_mode
    built.ignore_result = view.ignore_result
    if merged:
        _apply(built, merged)
    if planned.concurrency_key is not None:
        from skirret.app.keys import key_of  # it costs more to load than most programs that send tasks should pay

        spec, option = planned.concurrency_key, "concurrency_key"
        key = key_of(spec, name, planned.task, args, kwargs, option=option)
        if key is not None:
            built.headers[HEADER] = {**built.headers.get(HEADER, {}), "slots": key}
    return built


def _apply(built: TaskMessage, merged: Mapping[str, Any]) -> None:
    get = merged.get
    built.eta = eta_of(get("countdown"), get("eta"))
    built.expires = expires_of(get("expires"))
    built.timelimit = (get("time_limit"), get("soft_time_limit"))
    built.ignore_result = bool(get("ignore_result", built.ignore_result))
    built.retries = get("retries") or 0
    built.callbacks = listed(get("link"))
    built.errbacks = listed(get("link_error"))
    built.chain = listed(get("chain"))
    built.chord = get("chord")
    built.group = get("group_id")
    built.group_index = get("group_index")
    built.shadow = get("shadow")
    built.replaced_task_nesting = get("replaced_task_nesting") or 0
    built.headers = dict(get("headers") or {})
    stamped = listed(get("stamped_headers"))
    if stamped:
        built.stamped_headers = stamped
        built.stamps = {name: merged[name] for name in stamped if merged.get(name) is not None}


def repeat_options(request: Context, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options under which a request's call would run again, with `changes` on top."""
    repeated = request.as_execution_options()
    own = {name: value for name, value in (request.headers or {}).items() if name not in PROTOCOL_HEADERS}
    repeated["headers"] = own or None
    repeated["stamped_headers"] = request.stamped_headers
    repeated.update(request.stamps or {})
    given = dict(changes)
    info = request.delivery_info or {}
    if not given.get("queue"):
        exchange, routing_key = info.get("exchange"), info.get("routing_key")
        if info.get("queue"):
            repeated["queue"] = info["queue"]
        elif routing_key and not exchange:
            repeated["queue"] = routing_key
        if exchange:
            repeated.update(exchange=exchange, routing_key=routing_key)
    return option_rules.merge(given, repeated)
