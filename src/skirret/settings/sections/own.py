"""What Celery does not have."""

from __future__ import annotations

from skirret.settings import kinds
from skirret.settings.option import Section, option


class OwnSettings(Section):
    """What Celery does not have."""

    priority_order: str = option(
        "guide",
        "Which priority is taken first on Redis: `guide` takes 9 first, `celery` takes 0 first.",
        choices=("guide", "celery"),
    )
    security: str = option(
        "celery",
        "How much is refused for safety: `celery` works as Celery does, `strict` follows the stricter profile.",
        choices=("celery", "strict"),
    )
    coordination_url: str | None = option(
        None, "Address of the server that keeps revokes, limits, unique keys and leases, where the broker cannot."
    )
    task_default_rate_limit_scope: str = option(
        "worker",
        "Whom rate limits are counted for: `worker`, each worker for itself, or `fleet`, all workers together.",
        choices=("worker", "fleet"),
    )
    broker_publish_timeout: float = option(
        5.0, "How long publishing may take in all before OperationalError is raised.", unit="seconds", minimum=0
    )
    message_max_bytes: int = option(
        16777216,
        "Largest message that is published or decoded, also after it is decompressed.",
        kind=kinds.size,
        unit="bytes",
        minimum=1,
    )
    worker_processes: int = option(1, "How many child processes the threads and asyncio pools spread over.", minimum=1)
    worker_grace: float | None = option(
        None,
        "How long running tasks may go on after a signal for a warm shutdown; unset waits for them without end.",
        unit="seconds",
        minimum=0,
    )
    worker_memory_cap_per_child: int | None = option(
        None,
        "Resident memory at which a child process is killed while a task runs; the task counts as crashed.",
        unit="KiB",
        minimum=0,
    )
    worker_lease: float = option(
        30.0, "How long a worker may be silent before others take its tasks over.", unit="seconds", minimum=1
    )
    worker_progress_timeout: float = option(
        30.0,
        "How long a worker may take nothing, although slots are free and messages wait, before it reconnects; 0 never.",
        unit="seconds",
        minimum=0,
    )
    worker_crash_limit: int = option(3, "After how many lost processes a task goes to the dead letters.", minimum=1)
    worker_delivery_limit: int = option(
        10, "After how many deliveries in all a task goes to the dead letters.", minimum=1
    )
    middleware: tuple[str, ...] = option((), "Middleware of the app, in order, as paths such as `proj.hooks:Tracing`.")
    worker_blocked_loop_warning: float | None = option(
        0.5,
        "How long a task may block the event loop of the asyncio pool before the log names it; 0 never does.",
        unit="seconds",
        minimum=0,
    )
    worker_log_json: bool = option(False, "Whether the worker's log is one JSON object a line.")
    unknown_task_patience: float = option(
        60.0,
        "How long a task that no worker knows is tried again before it goes to the dead letters.",
        unit="seconds",
        minimum=0,
    )
    embedded_path: str | None = option(
        None, "File of the embedded broker; a file in the project's directory if unset.", kind=kinds.path
    )
