"""What a worker's template tells its supervisor about the app, so that the supervisor never imports it."""

from __future__ import annotations

from typing import Any

import msgspec

from skirret.brokers.base import Queue


class TaskTraits(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the supervisor must know of a task to hold its messages well.

    Args:
        acks_late: acknowledge after the run (True) or as a slot starts it.
        ignore_result: nothing is stored for it.
        store_errors_even_if_ignored: but failures are.
        acks_on_failure, acks_on_timeout: False sends a failed task to the dead letters, and a late one back.
        reject_on_worker_lost: False records a failure at once when the task's process dies.
        retry_on_worker_lost: such a death is one of the task's own retries.
        max_retries: how many there are; None is without end.
        time_limit, soft_time_limit: seconds.
        stall_limit: seconds that it may run without a heartbeat.
        rate_limit: such as ``10/m``.
        rate_limit_scope: ``worker``, each for itself, or ``fleet``, all together.
        max_concurrency: how many may run at a time in the whole fleet; None is no limit.
        send_events: monitors may hear of it.
        shown: further attributes by name, as text, for who asks about the task; those that are None are left out.
    """

    acks_late: bool = True
    ignore_result: bool = False
    store_errors_even_if_ignored: bool = False
    acks_on_failure: bool = True
    acks_on_timeout: bool = True
    reject_on_worker_lost: bool = True
    retry_on_worker_lost: bool = False
    max_retries: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    stall_limit: float | None = None
    rate_limit: str | None = None
    rate_limit_scope: str = "worker"
    max_concurrency: int | None = None
    send_events: bool = True
    shown: dict[str, str] = {}


class Manifest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The app in plain values.

    Args:
        app: the app's name.
        settings: ``Conf.plain()``.
        broker_url, backend_url: the addresses in use (with passwords); `backend_url` may be ``disabled://``.
        coordination_url: where workers share state, or None.
        tasks: traits by task name.
        queues: the queues that the app declares, the default queue first.
        commands: names of the app's own remote commands, older names too.
        hooks: names of the hooks of the worker (not of single runs) that somebody listens to.
        logs: whether the app has receivers that set up logging, so that its handlers want the supervisor's records too.
        threads: names of threads that the import left running; they make fork unsafe.
        seconds: how long the import took.
        sources: the app's own source files, if they are to be watched.
    """

    app: str
    settings: dict[str, Any]
    broker_url: str
    backend_url: str
    coordination_url: str | None = None
    tasks: dict[str, TaskTraits]
    queues: list[Queue]
    commands: list[str] = []
    hooks: list[str] = []
    logs: bool = False
    threads: list[str] = []
    seconds: float = 0.0
    sources: list[str] = []
