"""The types of events and their fields, as Celery's monitors know them; other types are a program's own."""

from __future__ import annotations

from typing import Final

from skirret import states

COMMON: Final = ("hostname", "utcoffset", "pid", "clock", "timestamp", "type")
"""Fields of every event: the node, its hours behind UTC, process, Lamport clock, seconds since the epoch, the type."""

_WORKER: Final = ("freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys")

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "task-sent": (
        "uuid", "root_id", "parent_id", "name", "args", "kwargs", "retries", "eta", "expires", "queue", "exchange",
        "routing_key",
    ),
    "task-received": ("uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires"),
    "task-started": ("uuid",),
    "task-succeeded": ("uuid", "result", "runtime"),
    "task-failed": ("uuid", "exception", "traceback"),
    "task-retried": ("uuid", "exception", "traceback"),
    "task-revoked": ("uuid", "terminated", "signum", "expired"),
    "task-rejected": ("uuid", "requeue"),
    "task-cancelled": ("uuid",),
    "worker-online": _WORKER,
    "worker-heartbeat": _WORKER,
    "worker-offline": _WORKER,
}  # fmt: skip
"""Fields beside the common ones, by type. Arguments, results and exceptions are their reprs, cut to a length."""

TASK_STATES: Final[dict[str, str]] = {
    "sent": states.PENDING,
    "received": states.RECEIVED,
    "started": states.STARTED,
    "failed": states.FAILURE,
    "retried": states.RETRY,
    "succeeded": states.SUCCESS,
    "revoked": states.REVOKED,
    "rejected": states.REJECTED,
}
"""The state that a task is in after an event ``task-<key>``; after another one it is the key in capitals."""

HEARTBEAT_SECONDS: Final = 2.0
"""Seconds between a worker's heartbeats."""

SW_IDENT: Final = "py-skirret"
"""How our workers name their software in their events."""
