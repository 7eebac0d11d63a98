"""How tasks are sent, routed, acknowledged and limited."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class TaskSettings(Section):
    """How tasks are sent, routed, acknowledged and limited."""

    task_acks_late: bool = option(
        True,
        "Whether a task's message is acknowledged after it ran, so that a lost worker loses no task.",
        celery=False,
        old="CELERY_ACKS_LATE",
    )
    task_acks_on_failure: bool | None = option(
        None,
        "Whether a task that raised is acknowledged, or a dead letter; as `task_acks_on_failure_or_timeout` if unset.",
        old="CELERY_ACKS_ON_FAILURE",
    )
    task_acks_on_timeout: bool | None = option(
        None,
        "Whether a task over its hard time limit is acknowledged, or runs again, counted; unset as the key above.",
        old="CELERY_ACKS_ON_TIMEOUT",
    )
    task_acks_on_failure_or_timeout: bool = option(
        True,
        "Both of the above at once, for keys that are unset.",
        old="CELERY_ACKS_ON_FAILURE_OR_TIMEOUT",
    )
    task_reject_on_worker_lost: bool | None = option(
        True,
        "Whether a late-acknowledged task goes back into its queue when the process that ran it died.",
        celery=None,
        old="CELERY_REJECT_ON_WORKER_LOST",
    )
    task_retry_on_worker_lost: bool = option(
        False, "Whether losing the process counts as one of the task's own retries.", old="CELERY_RETRY_ON_WORKER_LOST"
    )
    task_always_eager: bool = option(
        False,
        "Whether `delay` and `apply_async` run the task at once in the calling process, for tests.",
        old="CELERY_ALWAYS_EAGER",
    )
    task_eager_propagates: bool = option(
        False, "Whether a task that runs eagerly raises in the caller.", old="CELERY_EAGER_PROPAGATES_EXCEPTIONS"
    )
    task_store_eager_result: bool = option(
        False, "Whether results of tasks that run eagerly are stored.", old="CELERY_STORE_EAGER_RESULT"
    )
    task_annotations: Any = option(
        None, "Attributes to set on tasks by name, pattern or function, such as rate limits.", old="CELERY_ANNOTATIONS"
    )
    task_compression: str | None = option(
        None, "How message bodies are compressed: gzip, bzip2, lzma, zstd or brotli.", old="CELERY_MESSAGE_COMPRESSION"
    )
    task_serializer: str = option(
        "json",
        "How arguments are encoded: json, msgpack, yaml, pickle, auth or a registered name.",
        old="CELERY_TASK_SERIALIZER",
    )
    task_create_missing_queues: bool = option(
        True,
        "Whether a queue that `task_queues` does not name is made on first use.",
        old="CELERY_CREATE_MISSING_QUEUES",
    )
    task_create_missing_queue_type: str = option(
        "quorum",
        "RabbitMQ type of queues that are made on first use; those that exist are used as they are.",
        celery="classic",
        choices=("classic", "quorum"),
        old="CELERY_CREATE_MISSING_QUEUE_TYPE",
    )
    task_create_missing_queue_exchange_type: str | None = option(
        None,
        "Exchange type of queues that are made on first use; direct if unset.",
        old="CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE",
    )
    task_default_delivery_mode: int | str = option(
        2,
        "Whether messages outlive a restart of RabbitMQ: 2 or persistent, 1 or transient.",
        kind=kinds.delivery_mode,
        old="CELERY_DEFAULT_DELIVERY_MODE",
    )
    task_default_queue: str = option(
        "celery", "Queue of tasks that no route sends elsewhere.", old="CELERY_DEFAULT_QUEUE"
    )
    task_default_queue_type: str | None = option(
        None,
        "RabbitMQ type of the default queue; as `task_create_missing_queue_type` if unset.",
        celery="classic",
        choices=("classic", "quorum"),
        old="CELERY_DEFAULT_QUEUE_TYPE",
    )
    task_default_exchange: str | None = option(
        None,
        "Exchange of tasks without a route; named as `task_default_queue` if unset.",
        old="CELERY_DEFAULT_EXCHANGE",
    )
    task_default_exchange_type: str = option(
        "direct", "Type of the default exchange: direct, topic, fanout or headers.", old="CELERY_DEFAULT_EXCHANGE_TYPE"
    )
    task_default_routing_key: str | None = option(
        None,
        "Routing key of tasks without a route; as `task_default_queue` if unset.",
        old="CELERY_DEFAULT_ROUTING_KEY",
    )
    task_default_priority: int | None = option(
        None, "Priority of tasks that say none.", minimum=0, maximum=255, old="CELERY_DEFAULT_PRIORITY"
    )
    task_default_rate_limit: str | int | float | None = option(
        None,
        "How often a worker runs one kind of task at most, such as `10/s` or `100/m`, where the task says nothing.",
        kind=kinds.rate,
        old="CELERY_DEFAULT_RATE_LIMIT",
    )
    task_inherit_parent_priority: bool = option(
        False, "Whether a task sent by a running task takes its priority over.", old="CELERY_INHERIT_PARENT_PRIORITY"
    )
    task_queue_max_priority: int | None = option(
        None,
        "Highest priority that RabbitMQ queues are declared with.",
        minimum=0,
        maximum=255,
        old="CELERY_QUEUE_MAX_PRIORITY",
    )
    task_queues: Any = option(
        None,
        "Queues that workers consume from unless told otherwise: a list of them, a dict by name, or names.",
        kind=kinds.queues,
        old="CELERY_QUEUES",
    )
    task_routes: Any = option(
        None,
        "Which task goes to which queue: a dict of names and patterns, a function, or a list of them.",
        old="CELERY_ROUTES",
    )
    task_ignore_result: bool = option(
        False, "Whether results are thrown away unless a task says otherwise.", old="CELERY_IGNORE_RESULT"
    )
    task_store_errors_even_if_ignored: bool = option(
        False,
        "Whether failures are stored also of tasks whose results are ignored.",
        old="CELERY_STORE_ERRORS_EVEN_IF_IGNORED",
    )
    task_protocol: int = option(
        2,
        "Version of the task messages that are written; Skirret writes 2 and reads 1 and 2.",
        choices=(2,),
        unused="version 2 is the only one that is written",
        old="CELERY_TASK_PROTOCOL",
    )
    task_publish_retry: bool = option(
        True, "Whether publishing is tried again when the broker cannot be reached.", old="CELERY_TASK_PUBLISH_RETRY"
    )
    task_publish_retry_policy: dict[str, Any] = option(
        {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2},
        "How often and how soon publishing is tried again, in seconds.",
        old="CELERY_TASK_PUBLISH_RETRY_POLICY",
    )
    task_remote_tracebacks: bool = option(
        False,
        "Whether results carry tracebacks that can be raised again.",
        unused="tracebacks always travel with the result and need no extra library",
        old="CELERY_REMOTE_TRACEBACKS",
    )
    task_repr_maxlevels: int = option(
        3,
        "How many nested levels of arguments and results are shown in logs and events.",
        minimum=0,
        unused="these texts show four levels, and are bounded by their length",
        old="CELERY_REPR_MAXLEVELS",
    )
    task_send_sent_event: bool = option(
        False, "Whether publishing a task sends an event too.", old="CELERY_SEND_TASK_SENT_EVENT"
    )
    task_track_started: bool = option(
        False, "Whether the STARTED state is stored when a task begins.", old="CELERY_TRACK_STARTED"
    )
    task_time_limit: float | None = option(
        None,
        "How long a task may run before it is stopped by force.",
        unit="seconds",
        minimum=0,
        old="CELERYD_TASK_TIME_LIMIT",
    )
    task_soft_time_limit: float | None = option(
        None,
        "How long a task may run before SoftTimeLimitExceeded is raised inside it.",
        unit="seconds",
        minimum=0,
        old="CELERYD_TASK_SOFT_TIME_LIMIT",
    )
    task_allow_error_cb_on_chord_header: bool = option(
        False,
        "Whether `link_error` of a chord also applies to the tasks of its header.",
        old="CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER",
    )
