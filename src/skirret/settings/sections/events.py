"""Events for monitors, and remote commands."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class EventSettings(Section):
    """Events for monitors, and remote commands."""

    event_queue_expires: float | None = option(
        60.0,
        "After how long without a reader a monitor's queue is deleted.",
        unit="seconds",
        minimum=0,
        old="CELERY_EVENT_QUEUE_EXPIRES",
    )
    event_queue_ttl: float | None = option(
        5.0, "How long an event may wait for its reader.", unit="seconds", minimum=0, old="CELERY_EVENT_QUEUE_TTL"
    )
    event_queue_prefix: str = option(
        "celeryev", "What the names of monitors' queues begin with.", old="CELERY_EVENT_QUEUE_PREFIX"
    )
    event_queue_exclusive: bool = option(
        True, "Whether a monitor's queue belongs to its connection alone.", old="CELERY_EVENT_QUEUE_EXCLUSIVE"
    )
    event_queue_durable: bool = option(
        False, "Whether a monitor's queue outlives a restart of RabbitMQ.", old="CELERY_EVENT_QUEUE_DURABLE"
    )
    event_serializer: str = option("json", "How events are encoded.", old="CELERY_EVENT_SERIALIZER")
    event_exchange: str = option("celeryev", "Exchange that events are published to.", old="CELERY_EVENT_EXCHANGE")
    control_queue_ttl: float | None = option(
        300.0, "How long a remote command may wait for a worker.", unit="seconds", minimum=0, old="CONTROL_QUEUE_TTL"
    )
    control_queue_expires: float | None = option(
        10.0,
        "After how long without its worker a queue of remote commands is deleted.",
        unit="seconds",
        minimum=0,
        old="CONTROL_QUEUE_EXPIRES",
    )
    control_queue_exclusive: bool = option(
        True, "Whether a queue of remote commands belongs to its connection alone.", old="CONTROL_QUEUE_EXCLUSIVE"
    )
    control_queue_durable: bool = option(
        False, "Whether a queue of remote commands outlives a restart of RabbitMQ.", old="CONTROL_QUEUE_DURABLE"
    )
    control_exchange: str = option(
        "celery", "What the names of the exchanges of remote commands begin with.", old="CONTROL_EXCHANGE"
    )
    events_executable: str | None = option(
        None,
        "Python that runs a detached monitor.",
        kind=kinds.path,
        unused="this is read by the Python that runs already; `events --detach --executable` names another",
    )
    events_gid: Any = option(None, "Group, by name or number, that a detached monitor changes to.")
    events_logfile: str | None = option(
        None, "File that the monitor logs to; standard error if unset.", kind=kinds.path
    )
    events_pidfile: str | None = option(None, "File in which a detached monitor keeps its process id.", kind=kinds.path)
    events_uid: Any = option(None, "User, by name or number, that a detached monitor changes to.")
    events_umask: Any = option(None, "File mode mask of a detached monitor, as octal text or a number.")
