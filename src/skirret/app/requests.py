"""From a task message back to ``self.request``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skirret.message import TaskMessage
from skirret.request import Context
from skirret.wire.usual import Usual


def request_of(
    message: TaskMessage, *, delivery_info: Mapping[str, Any], hostname: str | None = None, **fields: Any
) -> Context:
    """The request of a message that is about to run.

    Args:
        message: what arrived.
        delivery_info: ``exchange``, ``routing_key``, ``priority``, ``redelivered``, ``queue`` (the home by name).
        hostname: the node that runs it.
        **fields: further fields of `Context`.
    """
    return Context(
        id=message.id,
        task=message.task,
        args=list(message.args),
        kwargs=dict(message.kwargs),
        callbacks=message.callbacks,
        errbacks=message.errbacks,
        chain=message.chain,
        chord=message.chord,
        called_directly=False,
        correlation_id=message.correlation_id or message.id,
        delivery_info=dict(delivery_info),
        eta=None if message.eta is None else message.eta.isoformat(),
        expires=None if message.expires is None else message.expires.isoformat(),
        group=message.group,
        group_index=message.group_index,
        headers=dict(message.headers) or None,
        hostname=hostname,
        ignore_result=message.ignore_result,
        origin=message.origin,
        parent_id=message.parent_id,
        root_id=message.root_id,
        retries=message.retries,
        reply_to=message.reply_to,
        replaced_task_nesting=message.replaced_task_nesting,
        shadow=message.shadow,
        timelimit=list(message.timelimit),
        stamped_headers=message.stamped_headers,
        stamps=dict(message.stamps),
        extra=dict(message.headers),
        **fields,
    )


def request_of_usual(call: Usual, queue: str, deliveries: int, hostname: str, pid: int) -> Context:
    """The request of a usual message that a worker is about to run: what `request_of` would make of it.

    Fields are set one by one: a constructor with forty keywords takes ten times as long (7 us).

    Args:
        call: what arrived.
        queue: its home, by name.
        deliveries: counted deliveries before this one.
        hostname, pid: the node and the process that run it.
    """
    headers, properties, embed = call.headers, call.properties, call.embed
    priority = properties.priority or 0
    correlation_id, reply_to = properties.correlation_id, properties.reply_to
    request = Context()
    request.id = headers.id
    request.task = headers.task
    request.args = call.args
    request.kwargs = call.kwargs
    request.called_directly = False
    request.correlation_id = correlation_id or headers.id
    request.reply_to = reply_to or None
    request.delivery_info = {
        "exchange": "", "routing_key": queue, "priority": priority, "redelivered": deliveries > 0,
    }  # fmt: skip
    request.properties = {
        "correlation_id": correlation_id,
        "reply_to": reply_to,
        "delivery_mode": 1 if properties.delivery_mode == 1 else 2,
        "priority": priority,
    }
    request.callbacks = embed.callbacks
    request.errbacks = embed.errbacks
    request.chain = embed.chain
    request.chord = embed.chord
    request.group = headers.group
    request.group_index = headers.group_index
    request.hostname = hostname
    request.worker_pid = pid
    request.deliveries = deliveries
    request.ignore_result = bool(headers.ignore_result)
    request.origin = headers.origin
    request.parent_id = headers.parent_id
    request.root_id = headers.root_id
    request.retries = headers.retries
    request.replaced_task_nesting = headers.replaced_task_nesting
    request.shadow = headers.shadow
    request.timelimit = list(headers.timelimit)
    if headers.stamps:
        request.stamps = headers.stamps
    request.stamped_headers = headers.stamped_headers
    return request
