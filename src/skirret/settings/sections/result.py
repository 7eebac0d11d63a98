"""Where results are kept, how and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class ResultSettings(Section):
    """Where results are kept, how and for how long."""

    result_backend: Any = option(
        None,
        "Address of the result store; unset keeps no results, except beside the embedded broker.",
        kind=kinds.address,
        old="CELERY_RESULT_BACKEND",
    )
    result_backend_transport_options: dict[str, Any] = option(
        {}, "Options of the result store's driver.", old="CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS"
    )
    result_expires: timedelta | float | None = option(
        timedelta(days=1),
        "How long a result is kept, and with `rpc://` the queue of a process that went; None or 0 keeps it for good.",
        kind=kinds.duration,
        unit="seconds",
        minimum=0,
        old="CELERY_TASK_RESULT_EXPIRES",
    )
    result_chord_expires: timedelta | float | None = option(
        None,
        "How long the parts of a chord are kept; as `result_expires` if unset.",
        kind=kinds.duration,
        unit="seconds",
        minimum=0,
        old="CELERY_RESULT_CHORD_EXPIRES",
    )
    result_failure_expires: timedelta | float | None = option(
        None,
        "How long a failure is kept; as `result_expires` if unset.",
        kind=kinds.duration,
        unit="seconds",
        minimum=0,
        old="CELERY_RESULT_FAILURE_EXPIRES",
    )
    result_extended: bool = option(
        False,
        "Whether a result also tells the task's name, arguments, worker, retries and queue.",
        old="CELERY_RESULT_EXTENDED",
    )
    result_serializer: str = option(
        "json",
        "How results are encoded: json, msgpack, yaml, pickle or a registered name.",
        old="CELERY_RESULT_SERIALIZER",
    )
    result_compression: str | None = option(
        None, "How results are compressed: gzip, bzip2, lzma, zstd or brotli.", old="CELERY_RESULT_COMPRESSION"
    )
    result_persistent: bool | None = option(
        None,
        "Whether messages of the rpc result store outlive a restart of the server.",
        old="CELERY_RESULT_PERSISTENT",
    )
    result_exchange: str = option(
        "celeryresults",
        "Exchange of the rpc result store.",
        unused="a result goes straight to the queue of who sent the task, through RabbitMQ's default exchange, as in "
        "Celery 5",
        old="CELERY_RESULT_EXCHANGE",
    )
    result_exchange_type: str = option(
        "direct",
        "Type of that exchange.",
        unused="a result goes straight to the queue of who sent the task, through RabbitMQ's default exchange, as in "
        "Celery 5",
        old="CELERY_RESULT_EXCHANGE_TYPE",
    )
    result_cache_max: int = option(
        -1,
        "How many finished results a process remembers: 0 without bound, -1 none (with `rpc://`, which has them "
        "nowhere else, 100,000).",
        minimum=-1,
        old="CELERY_MAX_CACHED_RESULTS",
    )
    result_chord_join_timeout: float | None = option(
        3.0,
        "How long collecting the results of a chord's header may take.",
        unit="seconds",
        minimum=0,
        old="CELERY_RESULT_CHORD_JOIN_TIMEOUT",
    )
    result_chord_retry_interval: float = option(
        1.0,
        "How often a chord is looked at on a result store that cannot count its parts.",
        unit="seconds",
        minimum=0,
        old="CELERY_RESULT_CHORD_RETRY_INTERVAL",
    )
    result_backend_always_retry: bool = option(
        False,
        "Whether a failing result store is tried again rather than reported at once.",
        unused="a worker keeps what its result store could not take, and tries again without end",
        old="CELERY_RESULT_BACKEND_ALWAYS_RETRY",
    )
    result_backend_max_retries: float = option(
        float("inf"),
        "How often a failing result store is tried again.",
        minimum=0,
        unused="a worker keeps what its result store could not take, and tries again without end",
        old="CELERY_RESULT_BACKEND_MAX_RETRIES",
    )
    result_backend_base_sleep_between_retries_ms: int = option(
        10,
        "First pause before the result store is tried again.",
        unit="milliseconds",
        minimum=0,
        unused="a worker keeps what its result store could not take, and tries again without end",
        old="CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS",
    )
    result_backend_max_sleep_between_retries_ms: int = option(
        10000,
        "Longest pause before the result store is tried again.",
        unit="milliseconds",
        minimum=0,
        unused="a worker keeps what its result store could not take, and tries again without end",
        old="CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS",
    )
    result_backend_thread_safe: bool = option(
        False,
        "Whether threads share one result store object.",
        unused="the result store is always shared safely between threads",
    )
