"""A task on its way: what the caller meant, what a broker carries, what a worker was handed. Values without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec


class TaskMessage(msgspec.Struct, kw_only=True):
    """One call of a task, in Python values. Field meanings are those of Celery's task protocol 2.

    `timelimit` is (hard, soft) seconds. `eta` and `expires` are aware. `headers` are the caller's own.
    """

    task: str
    id: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: Any = None
    eta: datetime | None = None
    expires: datetime | None = None
    retries: int = 0
    timelimit: tuple[float | None, float | None] = (None, None)
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    ignore_result: bool = False
    replaced_task_nesting: int = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, Any] = msgspec.field(default_factory=dict)
    correlation_id: str | None = None
    reply_to: str | None = None
    priority: int | None = None
    delivery_mode: int = 2


class Envelope(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message as a broker carries it: plain headers beside an opaque body.

    `headers` and `properties` hold JSON-plain values only. `body` is the serialised (and perhaps compressed) body,
    without base64. `expiration` is AMQP's property: milliseconds as text. `properties` are further ones of AMQP's and
    of the caller's own.
    """

    headers: dict[str, Any]
    body: bytes
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    correlation_id: str | None = None
    reply_to: str | None = None
    delivery_mode: int = 2
    priority: int = 0
    expiration: str | None = None
    properties: dict[str, Any] = msgspec.field(default_factory=dict)


class Route(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a message goes: `queue` is its home by name; exchange and routing key as AMQP means them."""

    queue: str
    exchange: str = ""
    routing_key: str = ""
    exchange_type: str = "direct"


class Publication(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One message ready for ``Broker.publish``.

    Args:
        envelope: what the broker carries.
        route: where it goes.
        task_id: the task's id (also in the envelope; here so that nobody must look inside).
        due: seconds since the epoch before which it must not be delivered; None is now.
        expires: seconds since the epoch after which it need not run; None is never.
        nonce: made once per publish call, kept by the same publisher's resends: a broker stores a nonce once.
    """

    envelope: Envelope
    route: Route
    task_id: str
    due: float | None = None
    expires: float | None = None
    nonce: str = ""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One task's result as a store keeps it.

    Args:
        task_id: free text.
        state: the task's state, in clear, so that stores can compare and set.
        payload: the encoded result meta (``wire.results``).
        ttl: seconds until the store may drop it; None is never.
        reply_to: where the sender of the task waits for it; only told where results are messages to him.
    """

    task_id: str
    state: str
    payload: bytes
    ttl: float | None = None
    reply_to: str | None = None


@dataclass(slots=True)
class Delivery:
    """One message that a consumer holds.

    Args:
        tag: the consumer's handle for ``settle``; unique within the consumer.
        queue: the home queue, by name.
        raw: kombu's envelope JSON, untouched.
        deliveries: how often it was delivered before and came back counted.
        crashes: how often a worker saw a child die while running it.
        first_delivered: seconds since the epoch of its first delivery, by the broker's clock.
    """

    tag: int
    queue: str
    raw: bytes
    deliveries: int = 0
    crashes: int = 0
    first_delivered: float = 0.0


@dataclass(slots=True, frozen=True)
class Malformed:
    """Bytes that are not a message, and why. `excerpt` is the first 512 bytes, escaped."""

    reason: str
    excerpt: str = ""
