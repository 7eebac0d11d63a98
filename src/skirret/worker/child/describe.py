"""Finding the app that a worker serves, and telling its supervisor about it in plain values."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skirret import signals
from skirret.control.custom import registered
from skirret.middleware.stack import NODE_HOOKS
from skirret.worker.child.node import worker_node
from skirret.worker.manifest import Manifest, TaskTraits
from skirret.worker.options import WrongArguments

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.worker.options import WorkerOptions

SHOWN = (
    *("name", "serializer", "compression", "queue", "exchange", "exchange_type", "routing_key", "delivery_mode"),
    *("priority", "expires", "default_retry_delay", "retry_backoff", "retry_backoff_max", "retry_jitter"),
    *("autoretry_for", "track_started", "trail", "typing", "resultrepr_maxsize", "throws"),
)
"""Attributes of a task that its supervisor does not need, and tells those who ask: ``inspect registered ATTRIBUTE``."""


def load_app(options: WorkerOptions, hostname: str) -> Skirret:
    """Import the app, apply the command line's settings, import its task modules, tell its hooks, and finalise it.

    Args:
        options: the command line.
        hostname: the node's name, for the hooks.

    Raises:
        ImproperlyConfigured: there is no such app, or its settings are wrong.
        WrongArguments: the command line says something to the app's own options that it does not take.
    """
    from skirret.app.find import find_app

    if options.workdir:
        os.chdir(options.workdir)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    app = find_app(options.app)
    if options.config:
        app.config_from_object(options.config)
    app.conf.set_from_command_line(_overrides(options))
    told = _user_options(app, options)
    app.conf.validate()
    app.import_modules(serving=True)
    hooks, node = app.middleware, worker_node(app, hostname, options)
    node.options.update(told)
    hooks.tell(hooks.celeryd_init, node, app.conf, node.options)
    app.finalize()
    hooks.tell(hooks.worker_init, node)
    hooks.tell(hooks.celeryd_after_setup, node, app.conf)
    return app


def _user_options(app: Skirret, options: WorkerOptions) -> dict[str, Any]:
    # The command line has not imported the app, and so could not read these. An app without such options pays the
    # two truth tests here and nothing else: its worker starts as fast as if there were no such thing.
    if not (app.user_options or options.user_args):
        return {}
    import click

    from skirret.app.user_options import read_user_options

    try:
        return read_user_options(app, "worker", options.user_args)
    except click.UsageError as exc:
        raise WrongArguments(exc.format_message()) from exc


def describe(app: Skirret) -> Manifest:
    """The app in plain values."""
    return Manifest(
        app=app.main or "",
        settings=app.conf.plain(),
        broker_url=_read_url(app),
        backend_url=app.backend_url_in_use(),
        coordination_url=app.clients.coordination_url(),
        tasks={name: _traits(task) for name, task in app.tasks.items()},
        queues=list(app.queues.values()),
        commands=sorted(registered()),
        logs=bool(signals.setup_logging or signals.after_setup_logger),
        hooks=sorted(app.middleware.heard() & NODE_HOOKS),
    )


def _read_url(app: Skirret) -> str:
    """Where messages are taken from: ``broker_read_url`` if there is one, else where they are published to."""
    url = app.conf.broker_read_url
    if not url:
        return app.broker_url_in_use()
    return url if isinstance(url, str) else ";".join(map(str, url))


def acks_on_failure(task: Any) -> bool:
    """Whether a failed run of `task` is acknowledged; else it is a dead letter."""
    return _first(task.acks_on_failure, task.acks_on_failure_or_timeout, True)


def _first(*said: bool | None) -> bool:
    return bool(next(value for value in said if value is not None))


def _traits(task: Any) -> TaskTraits:
    return TaskTraits(
        acks_late=bool(task.acks_late),
        ignore_result=bool(task.ignore_result),
        store_errors_even_if_ignored=bool(task.store_errors_even_if_ignored),
        acks_on_failure=acks_on_failure(task),
        acks_on_timeout=_first(task.acks_on_timeout, task.acks_on_failure_or_timeout, True),
        reject_on_worker_lost=_first(task.reject_on_worker_lost, True),
        retry_on_worker_lost=bool(task.retry_on_worker_lost),
        max_retries=task.max_retries,
        time_limit=task.time_limit,
        soft_time_limit=task.soft_time_limit,
        stall_limit=task.stall_limit,
        rate_limit=None if task.rate_limit is None else str(task.rate_limit),
        rate_limit_scope=str(task.rate_limit_scope),
        max_concurrency=None if task.max_concurrency is None else int(task.max_concurrency),
        send_events=bool(task.send_events),
        shown={name: str(value) for name in SHOWN if (value := getattr(task, name, None)) is not None},
    )


def _overrides(options: WorkerOptions) -> dict[str, tuple[Any, str]]:
    named = {
        "broker_url": (options.broker, "--broker"),
        "result_backend": (options.result_backend, "--result-backend"),
        "worker_concurrency": (options.concurrency, "--concurrency"),
        "worker_pool": (options.pool, "--pool"),
        "worker_processes": (options.processes, "--processes"),
        "worker_grace": (options.grace, "--grace"),
        "task_time_limit": (options.time_limit, "--time-limit"),
        "task_soft_time_limit": (options.soft_time_limit, "--soft-time-limit"),
        "worker_max_tasks_per_child": (options.max_tasks_per_child, "--max-tasks-per-child"),
        "worker_prefetch_multiplier": (options.prefetch_multiplier, "--prefetch-multiplier"),
        "worker_send_task_events": (options.task_events, "--task-events"),
        "worker_max_memory_per_child": (options.max_memory_per_child, "--max-memory-per-child"),
        "worker_memory_cap_per_child": (options.memory_cap_per_child, "--memory-cap-per-child"),
        "worker_disable_prefetch": (options.disable_prefetch, "--disable-prefetch"),
        "worker_pool_start_method": (options.pool_start_method, "--pool-start-method"),
        "worker_state_db": (options.statedb, "--statedb"),
        "beat_schedule_filename": (options.schedule, "--schedule"),
        "beat_scheduler": (options.scheduler, "--scheduler"),
        "include": (options.include, "--include"),
    }
    return {key: (value, flag) for key, (value, flag) in named.items() if value is not None}
