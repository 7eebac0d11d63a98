"""Database and cache connections of tasks: stale ones are closed before and after a run, all of them at a fork.

Django does this at the borders of a request; a task is the worker's request. ``CONN_MAX_AGE`` and
``CONN_HEALTH_CHECKS`` count as they do there. Eager runs belong to the caller, whose connections and transactions are
left alone.
"""

from __future__ import annotations

import asyncio
import threading
from functools import wraps
from typing import Any

from skirret.middleware import Middleware
from skirret.request import Context


class Connections(Middleware):
    """What a worker's processes and runs do about the project's connections."""

    def before_run(self, task: Any, request: Context) -> None:
        """A connection that grew too old or broke while no task ran is not used again."""
        if not request.is_eager:
            _in_its_thread(task)

    def after_run(self, task: Any, request: Context, state: str, value: Any) -> None:
        """What is not to be kept is closed."""
        if not request.is_eager:
            _in_its_thread(task)

    def before_create_process(self, node: Any) -> None:
        """A child must not share a connection with its template."""
        close_all()

    def process_init(self, node: Any) -> None:
        """Whatever a forked child has inherited all the same is none of its business."""
        close_all()

    def process_shutdown(self, node: Any, pid: int, exitcode: int) -> None:
        """Say farewell to the servers."""
        close_all()


def close_stale() -> None:
    """Close this thread's connections that are too old or broken; not inside a transaction. All caches let go."""
    from django.core.cache import caches
    from django.db import close_old_connections, connections

    if _in_greenlet():  # its connections are its own, and nobody will use them again
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
    else:
        close_old_connections()
    caches.close_all()


def close_all() -> None:
    """Close all of this thread's connections, and pools of them."""
    from django.core.cache import caches
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
    caches.close_all()


def _in_its_thread(task: Any) -> None:
    """Have `close_stale` run where the task's queries run: connections belong to threads."""
    try:
        loop = asyncio.get_running_loop() if asyncio._get_running_loop() else None  # noqa: SLF001  cheap where none runs
    except RuntimeError:
        loop = None
    if task.is_async:
        from asgiref.sync import SyncToAsync

        SyncToAsync.single_thread_executor.submit(close_stale)  # where Django's asynchronous queries are made
    elif loop is None:
        close_stale()
    else:
        _close_around(task)


def _close_around(task: Any) -> None:
    """On a loop a plain task runs in some thread beside it: have it close there, each time."""
    if getattr(task.run, "closes_connections", False):
        return
    run = task.run

    @wraps(run)
    def around(*args: Any, **kwargs: Any) -> Any:
        close_stale()
        try:
            return run(*args, **kwargs)
        finally:
            close_stale()

    around.closes_connections = True  # type: ignore[attr-defined]
    task.run = around


def _in_greenlet() -> bool:
    return threading.local.__module__.partition(".")[0] in {"gevent", "eventlet"}
