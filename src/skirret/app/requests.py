"""From a task message back to ``self.request``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skirret.message import TaskMessage
from skirret.request import Context


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
