"""What the command line (or a test) asks of one worker."""

from __future__ import annotations

import msgspec

from skirret.errors import SkirretError


class WrongArguments(SkirretError):
    """The command line says something to the app's own options that the app does not take."""


class WorkerOptions(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One worker's options; None means "as the settings say".

    Args:
        app: the ``-A`` path, such as ``proj.tasks`` or ``proj:app``.
        workdir: directory to change to before the app is imported.
        config: module to configure the app from.
        broker: overrides ``broker_url``.
        result_backend: overrides ``result_backend``.
        queues: consume only these.
        exclude: consume all but these.
        include: further modules to import.
        concurrency: slots in all; children for prefork, threads or coroutines elsewhere.
        pool: prefork, threads, asyncio, gevent, eventlet or solo.
        processes: children of a many-slot pool.
        hostname: the node's name; ``%h`` is the host, ``%n`` the part before its first dot, ``%d`` the rest.
        loglevel: a level's name.
        logfile: write logs here instead of to stderr; may hold the abbreviations of ``nodes.node_path``.
        log_json: one JSON object a line.
        color: None is "if a terminal".
        quiet: no banner.
        grace: seconds that running tasks get at a warm stop; None is without end.
        purge: drop waiting messages of the consumed queues first.
        autoscale: (most, fewest) children; None is a pool of a fixed size.
        without_heartbeat: send no heartbeat events.
        heartbeat_interval: seconds between heartbeat events.
        beat: a scheduler was asked for inside this worker.
        pidfile: keep the process id there.
        health: address of the health endpoints, see ``health.address``.
        reload: restart the children when a source file of the app changes.
        user_args: arguments that only the app knows; whoever imports it reads them (``app/user_options.py``).
        uid, gid, umask: user, group and file mode mask to change to before the app is imported.
        time_limit, soft_time_limit, max_tasks_per_child, max_memory_per_child, memory_cap_per_child,
            prefetch_multiplier, disable_prefetch, task_events, pool_start_method, schedule, scheduler, statedb:
            override settings.
    """

    app: str
    workdir: str | None = None
    config: str | None = None
    broker: str | None = None
    result_backend: str | None = None
    queues: list[str] | None = None
    exclude: list[str] | None = None
    include: list[str] | None = None
    concurrency: int | None = None
    pool: str | None = None
    processes: int | None = None
    hostname: str | None = None
    loglevel: str = "WARNING"
    logfile: str | None = None
    log_json: bool = False
    color: bool | None = None
    quiet: bool = False
    grace: float | None = None
    purge: bool = False
    time_limit: float | None = None
    soft_time_limit: float | None = None
    max_tasks_per_child: int | None = None
    prefetch_multiplier: int | None = None
    task_events: bool | None = None
    max_memory_per_child: int | None = None
    memory_cap_per_child: int | None = None
    disable_prefetch: bool | None = None
    pool_start_method: str | None = None
    autoscale: tuple[int, int] | None = None
    without_heartbeat: bool = False
    heartbeat_interval: float | None = None
    beat: bool = False
    schedule: str | None = None
    scheduler: str | None = None
    statedb: str | None = None
    pidfile: str | None = None
    uid: str | None = None
    gid: str | None = None
    umask: str | None = None
    health: str | None = None
    reload: bool = False
    user_args: list[str] = []
