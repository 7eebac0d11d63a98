"""Celery's event messages: what monitors such as Flower hear, in both directions.

Source of the format: messages captured from Celery 5.7 on Redis. One message holds one event (an object) or several
(a list, under the routing key ``task.multi``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from skirret.message import Envelope, Malformed, Publication, Route
from skirret.saferepr import saferepr
from skirret.serializers.limits import DEFAULT, MAX_BYTES, Limits
from skirret.serializers.registry import dumps
from skirret.wire import envelope as wire_envelope
from skirret.wire.fields import malformed
from skirret.wire.received import contents

EXCHANGE: Final = "celeryev"
"""The exchange's default name."""

_WRITE = msgspec.json.Encoder().encode


def routing_key(kind: str) -> str:
    """The routing key of one event by its type: ``task-sent`` goes under ``task.sent``."""
    return kind.replace("-", ".")


def group_key(group: str) -> str:
    """The routing key of several events whose types begin with `group`, such as ``task``."""
    return f"{group}.multi"


def encode(
    events: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    key: str,
    hostname: str,
    *,
    exchange: str = EXCHANGE,
    serializer: str = "json",
    flat: bool = False,
) -> bytes:
    """One message of one event, or of a list of events, as kombu's envelope.

    Args:
        events: what to tell.
        key: the routing key.
        hostname: the node that tells it.
        exchange: where it goes.
        serializer: ``event_serializer``.
        flat: the fields are known to be plain scalars, or short lists of them.

    Raises:
        EncodeError: a field cannot be written; see `plain`.
    """
    content_type, content_encoding, body = _body(events, serializer, flat)
    carried = Envelope(
        headers={"hostname": hostname},
        body=body,
        content_type=content_type,
        content_encoding=content_encoding,
        delivery_mode=1,
    )
    route = Route(queue="", exchange=exchange, routing_key=key)
    return wire_envelope.encode(Publication(envelope=carried, route=route, task_id=""))


def _body(events: Any, serializer: str, flat: bool) -> tuple[str, str, bytes]:
    # The road of nearly all events, and half the time of it: msgspec writes them if they hold nothing but JSON's types.
    if serializer == "json" and (flat or _is_flat(events)):
        try:
            return "application/json", "utf-8", _WRITE(events)
        except (msgspec.MsgspecError, ValueError):  # a lone surrogate, a large number: the dialect knows how
            pass
    return dumps(events, serializer, accept=(serializer,))


_FLAT: Final = frozenset({str, int, bool, type(None)})


def _is_flat(events: Any) -> bool:
    """Whether events hold plain scalars only, and short lists of them such as ``loadavg``."""
    for event in (events,) if isinstance(events, Mapping) else events:
        for value in event.values():
            kind = type(value)
            if kind in _FLAT or (kind is float and math.isfinite(value)):
                continue
            if kind is list and all(type(one) in _FLAT or (type(one) is float and one - one == 0) for one in value):
                continue
            return False
    return True


def plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with every field that no serializer need know replaced by its repr."""
    scalars = (str, int, float, bool, type(None))
    return {str(name): value if isinstance(value, scalars) else saferepr(value) for name, value in event.items()}


def decode(
    raw: bytes,
    *,
    accept: Collection[str] | None = None,
    max_bytes: int = MAX_BYTES,
    limits: Limits = DEFAULT,
) -> list[dict[str, Any]] | Malformed:
    """The events of a message; never raises.

    Args:
        raw: kombu's envelope.
        accept: serializers that may be read; None is JSON alone.
        max_bytes: the largest `raw`.
        limits: bounds of envelope and body.

    Returns:
        Events in their order. What is no event (no mapping, no type) is left out; ``hostname``, ``timestamp``,
        ``clock``, ``utcoffset`` and ``pid`` have the right types in those that are returned.
    """
    found = contents(raw, accept, max_bytes=max_bytes, limits=limits)
    if isinstance(found, Malformed):
        return found
    told, headers = found
    if isinstance(told, Mapping):
        told = [told]
    if not isinstance(told, (list, tuple)):
        return malformed("the body is neither an event nor a list of events", raw)
    host = headers.get("hostname")
    return [_clean(one, host if isinstance(host, str) else "") for one in told if _is_event(one)]


def _is_event(told: Any) -> bool:
    return isinstance(told, Mapping) and isinstance(told.get("type"), str) and all(isinstance(key, str) for key in told)


def _clean(told: Mapping[str, Any], host: str) -> dict[str, Any]:
    event = dict(told)
    if not isinstance(event.get("hostname"), str):
        event["hostname"] = host
    for name, kind in (("timestamp", float), ("utcoffset", float), ("clock", int), ("pid", int)):
        value = event.get(name)
        if value is None:
            if name in {"timestamp", "clock"}:
                event[name] = kind(0)
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
            event[name] = kind(0)
    return event
