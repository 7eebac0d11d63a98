"""How a task is told to those who ask about it: the dict that Celery's nodes reply with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from skirret import clock
from skirret.brokers.base import Waiting
from skirret.message import Malformed
from skirret.wire import envelope as wire
from skirret.wire import task as wire_task
from skirret.wire.envelope import Head
from skirret.worker.job import Job

MAX_BODY = 16 * 1024
"""Bytes of a message whose arguments are told; of a larger one only what its caller wrote for people."""

ETA_PRIORITY = 6
"""What Celery's nodes tell of every task that waits for its time."""


def told(job: Job, node: str, *, pid: int | None = None, began: float | None = None) -> dict[str, Any]:
    """What is known of a job.

    Args:
        job: which.
        node: the name of the node that holds it.
        pid: the process that runs it, if it runs.
        began: the moment (monotonic) at which it began.
    """
    start = None if began is None else clock.wall() - (clock.monotonic() - began)
    delivery = job.delivery
    found = _told(job.head, delivery.raw, delivery.queue, node, redelivered=delivery.deliveries > 0)
    found.update(time_start=start, acknowledged=job.acked, worker_pid=pid)
    return found


def told_waiting(message: Waiting, node: str) -> dict[str, Any] | None:
    """What is known of a message that waits for its time, as an entry of ``scheduled``; None if it cannot be read."""
    head = wire.head(message.raw)
    if isinstance(head, Malformed):
        return None
    eta = datetime.fromtimestamp(message.due or 0.0, UTC).isoformat()
    request = _told(head, message.raw, message.queue, node, redelivered=message.deliveries > 0)
    return {"eta": eta, "priority": ETA_PRIORITY, "request": request}


def _told(head: Head, raw: bytes, queue: str, node: str, *, redelivered: bool) -> dict[str, Any]:
    args, kwargs = _arguments(head, raw)
    return {
        "id": head.id,
        "name": head.task,
        "args": args,
        "kwargs": kwargs,
        "type": head.task,
        "hostname": node,
        "time_start": None,
        "acknowledged": False,
        "delivery_info": {
            "exchange": "",
            "routing_key": queue,
            "priority": head.priority,
            "redelivered": redelivered,
        },
        "worker_pid": None,
    }


def _arguments(head: Head, raw: bytes) -> tuple[Any, Any]:
    """A task's arguments: as they are where JSON tells them and they are small, else as their caller wrote them."""
    if len(raw) <= MAX_BODY and head.content_type == "application/json" and not head.legacy:
        received = wire.decode(raw)
        if not isinstance(received, Malformed):
            message = wire_task.decode(received.envelope, accept=["json"])
            if not isinstance(message, Malformed):
                args, kwargs = list(message.args), dict(message.kwargs)
                if _is_plain([args, kwargs]):
                    return args, kwargs
    return head.argsrepr, head.kwargsrepr


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
