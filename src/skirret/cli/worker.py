"""``skirret worker``: read the flags, hand them to the supervisor. The app is not imported here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from skirret.cli.completing import complete_queues
from skirret.cli.parameters import Choice, CommaList, MaxMin, PoolName, daemon_options, option
from skirret.cli.session import Session, pass_session
from skirret.errors import ImproperlyConfigured

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")
POOLS = ("prefork", "processes", "threads", "asyncio", "gevent", "eventlet", "solo")


@click.command(short_help="Run a worker.")
@option(
    "-n",
    "--hostname",
    env="WORKER_HOSTNAME",
    metavar="NAME",
    help="The node's name, such as w1@%h; %h is this host, %n its first part, %d its domain.",
)
@option(
    "-Q",
    "--queues",
    setting="task_queues",
    env="WORKER_QUEUES",
    type=CommaList(),
    shell_complete=complete_queues,
    help="Consume these queues only.",
)
@option(
    "-X",
    "--exclude-queues",
    "exclude",
    env="WORKER_EXCLUDE_QUEUES",
    type=CommaList(),
    shell_complete=complete_queues,
    help="Consume all of the app's queues but these.",
)
@option("-I", "--include", setting="include", env="WORKER_INCLUDE", type=CommaList(), help="Import these modules too.")
@option(
    "-c",
    "--concurrency",
    setting="worker_concurrency",
    env="WORKER_CONCURRENCY",
    metavar="N",
    help="Slots: tasks that run at the same time (default: the number of CPUs).",
)
@option(
    "-P",
    "--pool",
    setting="worker_pool",
    env="WORKER_POOL",
    type=PoolName(POOLS, case_sensitive=False),
    help="What runs tasks: processes, threads, coroutines, greenlets, or this process alone (solo, for debugging).",
)
@option(
    "--processes",
    setting="worker_processes",
    env="WORKER_PROCESSES",
    type=click.IntRange(1),
    help="Child processes of the pools with many slots each.",
)
@option(
    "-l",
    "--loglevel",
    env="WORKER_LOGLEVEL",
    type=Choice(LEVELS, case_sensitive=False),
    metavar="LEVEL",
    default="WARNING",
    show_default=True,
    help="Log what is at least this grave: debug, info, warning, error or critical.",
)
@option(
    "-f",
    "--logfile",
    env="WORKER_LOGFILE",
    type=click.Path(dir_okay=False),
    help="Log to this file instead of stderr; %n is the node's name, %h its host, %i and %I the child's number.",
)
@option(
    "--log-json", setting="worker_log_json", env="WORKER_LOG_JSON", is_flag=True, help="Log one JSON object a line."
)
@option(
    "-E",
    "--task-events",
    "--events",
    "task_events",
    setting="worker_send_task_events",
    env="WORKER_SEND_TASK_EVENTS",
    is_flag=True,
    default=None,
    help="Send events that monitors read, such as `skirret events` and Flower.",
)
@option(
    "--time-limit",
    setting="task_time_limit",
    env="WORKER_TIME_LIMIT",
    type=click.FloatRange(0, min_open=True),
    help="Seconds after which a task has failed and is ended, by force.",
)
@option(
    "--soft-time-limit",
    setting="task_soft_time_limit",
    env="WORKER_SOFT_TIME_LIMIT",
    type=click.FloatRange(0, min_open=True),
    help="Seconds after which a task is told to stop by SoftTimeLimitExceeded.",
)
@option(
    "--max-tasks-per-child",
    setting="worker_max_tasks_per_child",
    env="WORKER_MAX_TASKS_PER_CHILD",
    type=click.IntRange(1),
    help="Replace a child after this many tasks.",
)
@option(
    "--prefetch-multiplier",
    setting="worker_prefetch_multiplier",
    env="WORKER_PREFETCH_MULTIPLIER",
    type=click.IntRange(0),
    help="Hold at most this many slow tasks a slot.",
)
@option(
    "--grace",
    setting="worker_grace",
    env="WORKER_GRACE",
    type=click.FloatRange(0),
    help="Seconds that running tasks get at a warm stop (default: no end).",
)
@option(
    "--purge",
    "--discard",
    "purge",
    env="WORKER_PURGE",
    is_flag=True,
    help="Drop what waits in the consumed queues before starting.",
)
@option(
    "--disable-prefetch",
    setting="worker_disable_prefetch",
    env="WORKER_DISABLE_PREFETCH",
    is_flag=True,
    default=None,
    help="Take a task only when a slot is free for it.",
)
@option(
    "--max-memory-per-child",
    setting="worker_max_memory_per_child",
    env="WORKER_MAX_MEMORY_PER_CHILD",
    type=click.IntRange(1),
    metavar="KIB",
    help="Replace a child that is larger than this after a task.",
)
@option(
    "--memory-cap-per-child",
    setting="worker_memory_cap_per_child",
    env="WORKER_MEMORY_CAP_PER_CHILD",
    type=click.IntRange(1),
    metavar="KIB",
    help="Kill a child that is larger than this while a task runs.",
)
@option(
    "--autoscale",
    env="WORKER_AUTOSCALE",
    type=MaxMin(),
    help="Grow and shrink the pool between these numbers of children, by load.",
)
@option(
    "--pool-start-method",
    setting="worker_pool_start_method",
    env="WORKER_POOL_START_METHOD",
    type=Choice(("fork", "spawn"), case_sensitive=False),
    help="How children begin: forked from a process that has imported the app, or started afresh.",
)
@option(
    "--without-heartbeat",
    env="WORKER_WITHOUT_HEARTBEAT",
    is_flag=True,
    help="Send no heartbeat events to monitors (the lease's own beat does not depend on them).",
)
@option(
    "--heartbeat-interval",
    env="WORKER_HEARTBEAT_INTERVAL",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Seconds between two heartbeat events (default: 2).",
)
@option(
    "--health",
    env="WORKER_HEALTH",
    metavar="HOST:PORT",
    help="Serve /livez, /readyz and /metrics here; the host is 127.0.0.1 if only a port is given.",
)
@option(
    "--reload",
    env="WORKER_RELOAD",
    is_flag=True,
    help="For development: serve new code when a source file of the app changes; what cannot be imported is shown.",
)
@option("-B", "--beat", env="WORKER_BEAT", is_flag=True, help="Run the scheduler inside too (it is still to come).")
@option(
    "-s",
    "--schedule",
    "--schedule-filename",
    "schedule",
    setting="beat_schedule_filename",
    env="WORKER_SCHEDULE",
    type=click.Path(dir_okay=False),
    help="With -B: the scheduler's file.",
)
@option("--scheduler", setting="beat_scheduler", env="WORKER_SCHEDULER", metavar="CLASS", help="With -B: its class.")
@option(
    "-S",
    "--statedb",
    setting="worker_state_db",
    env="WORKER_STATEDB",
    type=click.Path(dir_okay=False),
    help="Accepted; what this file is for, revoked tasks, is kept in the broker and outlives the worker.",
)
@daemon_options
# What these three ask for is how Skirret always works; start scripts made for Celery pass them.
@click.option("-O", "--optimization", type=click.Choice(["default", "fair"]), hidden=True, expose_value=False)
@click.option("--without-gossip", is_flag=True, hidden=True, expose_value=False)
@click.option("--without-mingle", is_flag=True, hidden=True, expose_value=False)
@click.option("-D", "--detach", is_flag=True, help="Run in the background, once it has started.")
@pass_session
def command(session: Session, /, detach: bool, executable: str | None, **flags: Any) -> int:
    """Run a worker.

    TERM or INT stops it when running tasks are done; a second one stops it at once, and what was interrupted runs
    again elsewhere. The app of -A is imported by the worker's children only.
    """
    from skirret.cli import daemon, exits
    from skirret.worker import run
    from skirret.worker.options import WorkerOptions

    options = WorkerOptions(**arguments(session, flags))
    watcher = daemon.watcher()
    if not detach or watcher.waited_for or daemon.stays():
        code = daemon.serve(partial(run, options), watcher)
    else:
        if options.logfile is None:  # what it says must be found somewhere
            options.logfile = str(Path("%n.log").absolute())
        code = daemon.detach(options, executable=executable)
    if code == exits.USAGE:
        _suggest_options(session.user_args)
    return code


def arguments(session: Session, flags: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``WorkerOptions`` that the command line decides.

    Args:
        session: the global options.
        flags: this command's options by name.

    Raises:
        ImproperlyConfigured: no app was named.
    """
    if not session.app_path:
        raise ImproperlyConfigured(f"a worker needs an app, and no -A was given.{_suggest_app()}")
    from skirret.nodes import node_name

    fields = dict(flags)
    fields["concurrency"] = _slots(flags["concurrency"])
    fields["loglevel"] = str(flags["loglevel"]).upper()
    if flags["pool"] == "processes":  # Celery's other name of the same pool
        fields["pool"] = "prefork"
    fields["hostname"] = node_name(flags["hostname"]) if flags["hostname"] else None
    for file in ("logfile", "pidfile"):
        if flags[file]:
            fields[file] = str(Path(flags[file]).absolute())
    fields.update(
        app=session.app_path,
        workdir=session.workdir,
        config=session.config,
        broker=session.broker,
        result_backend=session.result_backend,
        quiet=session.quiet,
        color=session.color,
        user_args=session.user_args,
    )
    return fields


def _slots(text: str | None) -> int | None:
    if text is None or text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise click.BadParameter(
            f"{text!r} is not a number of slots (1 or more) nor 'auto'.", param_hint="--concurrency"
        )
    return int(text)


def _suggest_options(unknown: Sequence[str]) -> None:
    """Name the options of a worker that are near to those which neither it nor the app has."""
    from difflib import get_close_matches

    known = [spelling for param in command.params if isinstance(param, click.Option) for spelling in param.opts]
    for word in unknown:
        near = get_close_matches(word.partition("=")[0], known, n=2) if word.startswith("--") else []
        if near:
            click.echo(f"Did you mean {' or '.join(near)}?", err=True)


def _suggest_app() -> str:
    """The start of a working command line, if this directory holds something that looks like an app."""
    for name in ("tasks", "celery_app", "celeryapp", "app", "celery", "main"):
        if Path(f"{name}.py").is_file():
            return f" There is a {name}.py here; try: skirret -A {name} worker"
    return " Name its module, as in: skirret -A proj.tasks worker (or make one: skirret init)"
