"""The worker, its children and its logs."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class WorkerSettings(Section):
    """The worker, its children and its logs."""

    worker_concurrency: int | None = option(
        None,
        "How many tasks run at once; one a processor core if unset, 0 or `auto`.",
        kind=kinds.concurrency,
        minimum=0,
        old="CELERYD_CONCURRENCY",
    )
    worker_pool: str = option(
        "prefork",
        "What runs the tasks: prefork, processes, threads, asyncio, solo, gevent, eventlet or the name of an entry "
        "point of the group `skirret.pools`.",
        kind=kinds.pool,
        old="CELERYD_POOL",
    )
    worker_pool_start_method: str = option(
        "fork",
        "How child processes begin: fork or spawn.",
        kind=kinds.start_method,
        choices=("fork", "spawn"),
        old="CELERYD_POOL_START_METHOD",
    )
    worker_prefetch_multiplier: int = option(
        4,
        "How many tasks of over 10 ms a worker holds for each slot at most, 0 for no bound; unless set, Skirret adapts "
        "to how long tasks take.",
        minimum=0,
        old="CELERYD_PREFETCH_MULTIPLIER",
    )
    worker_disable_prefetch: bool = option(
        False, "Whether a worker takes a task only when a slot is free for it.", old="CELERYD_DISABLE_PREFETCH"
    )
    worker_eta_task_limit: int | None = option(
        None,
        "How many delayed tasks a worker holds in memory at most.",
        minimum=0,
        unused="delayed tasks wait in the broker, not in the worker's memory",
        old="CELERYD_ETA_TASK_LIMIT",
    )
    worker_max_tasks_per_child: int | None = option(
        None,
        "After how many tasks a child process is replaced by a fresh one.",
        minimum=0,
        old="CELERYD_MAX_TASKS_PER_CHILD",
    )
    worker_max_memory_per_child: int | None = option(
        None,
        "Resident memory from which a child process is replaced when its task is done.",
        unit="KiB",
        minimum=0,
        old="CELERYD_MAX_MEMORY_PER_CHILD",
    )
    worker_lost_wait: float = option(
        10.0,
        "How long to wait for the result of a child that died.",
        unit="seconds",
        minimum=0,
        unused="a lost child is seen at once, by its closed socket",
        old="CELERYD_WORKER_LOST_WAIT",
    )
    worker_cancel_long_running_tasks_on_connection_loss: bool = option(
        False,
        "Whether running late-acknowledged tasks are stopped when the broker is lost.",
        old="CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS",
    )
    worker_soft_shutdown_timeout: float = option(
        0.0,
        "How long running tasks may go on after a signal for a cold shutdown; 0 stops them at once.",
        unit="seconds",
        minimum=0,
        old="CELERYD_SOFT_SHUTDOWN_TIMEOUT",
    )
    worker_enable_soft_shutdown_on_idle: bool = option(
        False, "Whether the soft shutdown waits even when nothing runs.", old="CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE"
    )
    worker_deduplicate_successful_tasks: bool = option(
        False,
        "Whether a redelivered task that has already succeeded is acknowledged without a second run.",
        unused="where one server keeps queue and results, what succeeded does not come back; elsewhere a run left out "
        "could lose the next step of its chain",
        old="CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS",
    )
    worker_detect_quorum_queues: bool = option(
        True,
        "Whether the worker looks if its RabbitMQ queues are quorum queues, which need other settings.",
        unused="queues of all types are served alike: prefetch is each consumer's own, and delays are in the broker",
        old="CELERYD_DETECT_QUORUM_QUEUES",
    )
    worker_enable_prefetch_count_reduction: bool = option(
        True,
        "Whether fewer tasks are fetched after a reconnect until the running ones are done.",
        unused="how many tasks a worker holds adapts by itself, also after a reconnect",
        old="CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION",
    )
    worker_enable_remote_control: bool = option(
        True, "Whether the worker answers remote commands.", old="CELERY_ENABLE_REMOTE_CONTROL"
    )
    worker_send_task_events: bool = option(
        False, "Whether the worker sends events that monitors such as Flower read.", old="CELERY_SEND_EVENTS"
    )
    worker_hijack_root_logger: bool = option(
        True,
        "Whether the worker replaces the handlers of the root logger with its own.",
        old="CELERYD_HIJACK_ROOT_LOGGER",
    )
    worker_log_color: bool | None = option(
        None, "Whether the log is coloured; unset colours it on a terminal.", old="CELERYD_LOG_COLOR"
    )
    worker_log_format: str = option(
        "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s",
        "Format of the worker's log lines.",
        old="CELERYD_LOG_FORMAT",
    )
    worker_log_datefmt: str | None = option(
        None, "Format of the moment in the worker's log lines.", old="CELERYD_LOG_DATEFMT"
    )
    worker_task_log_format: str = option(
        "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s",
        "Format of log lines written by tasks.",
        old="CELERYD_TASK_LOG_FORMAT",
    )
    worker_task_log_datefmt: str | None = option(
        None, "Format of the moment in log lines written by tasks.", old="CELERYD_TASK_LOG_DATEFMT"
    )
    worker_state_db: str | None = option(
        None,
        "File in which a worker remembers revoked tasks across restarts, where the broker cannot.",
        kind=kinds.path,
        unused="revoked tasks are kept in the broker or `coordination_url`, for all workers and across restarts",
        old="CELERYD_STATE_DB",
    )
    worker_redirect_stdouts: bool = option(
        True, "Whether what tasks print goes to the log.", old="CELERY_REDIRECT_STDOUTS"
    )
    worker_redirect_stdouts_level: str | int = option(
        "WARNING", "Log level of what tasks print.", kind=kinds.loglevel, old="CELERY_REDIRECT_STDOUTS_LEVEL"
    )
    worker_disable_rate_limits: bool = option(
        False, "Whether rate limits are left aside.", old="CELERY_DISABLE_RATE_LIMITS"
    )
    worker_pool_restarts: bool = option(
        False,
        "Whether the `pool_restart` command may be used.",
        unused="the pool_restart command always works",
        old="CELERYD_POOL_RESTARTS",
    )
    worker_pool_putlocks: bool = option(
        True,
        "Whether handing a task to the pool waits for a free slot.",
        unused="the dispatcher waits for nothing when it hands out tasks",
        old="CELERYD_POOL_PUTLOCKS",
    )
    worker_proc_alive_timeout: float = option(
        4.0,
        "How long a child may take to report that it is ready; longer where many share a processor as they start.",
        unit="seconds",
        minimum=0,
        old="CELERYD_PROC_ALIVE_TIMEOUT",
    )
    worker_direct: bool = option(
        False, "Whether each worker also consumes a queue of its own, named after its node.", old="CELERY_WORKER_DIRECT"
    )
    worker_timer: Any = option(
        None,
        "Class of the worker's timer.",
        kind=kinds.importable,
        unused="the worker has one loop, which keeps its own time",
        old="CELERYD_TIMER",
    )
    worker_timer_precision: float = option(
        1.0,
        "Longest sleep of the worker's timer.",
        unit="seconds",
        minimum=0,
        unused="the worker's loop sleeps exactly until its next timer",
        old="CELERYD_TIMER_PRECISION",
    )
    worker_autoscaler: Any = option(
        None,
        "Class that grows and shrinks the pool.",
        kind=kinds.importable,
        celery="celery.worker.autoscale:Autoscaler",
        unused="growing and shrinking is part of the worker and cannot be replaced",
        old="CELERYD_AUTOSCALER",
    )
    worker_consumer: Any = option(
        None,
        "Class that consumes messages.",
        kind=kinds.importable,
        celery="celery.worker.consumer:Consumer",
        unused="the consumer is part of the broker and cannot be replaced",
        old="CELERYD_CONSUMER",
    )
    worker_agent: Any = option(
        None,
        "Class of an agent that runs beside the consumer.",
        kind=kinds.importable,
        unused="Skirret has no agents",
        old="CELERYD_AGENT",
    )
    worker_executable: str | None = option(
        None,
        "Python that runs a detached worker.",
        kind=kinds.path,
        unused="this is read by the Python that runs already; `worker --detach --executable` names another",
    )
    worker_gid: Any = option(None, "Group, by name or number, that a worker changes to (with `worker_uid`).")
    worker_logfile: str | None = option(None, "File that the worker logs to; standard error if unset.", kind=kinds.path)
    worker_pidfile: str | None = option(None, "File in which a worker keeps its process id.", kind=kinds.path)
    worker_uid: Any = option(None, "User, by name or number, that a worker changes to.")
    worker_umask: Any = option(None, "File mode mask of a worker, as octal text or a number.")
