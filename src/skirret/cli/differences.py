"""Where Skirret differs from Celery on purpose: the table that `report` prints, of what this version does."""

from __future__ import annotations

from typing import Final, NamedTuple


class Difference(NamedTuple):
    """One row: what it is about, what Celery does, what Skirret does."""

    about: str
    celery: str
    skirret: str


DIFFERENCES: Final = (
    Difference(
        "acknowledgement",
        "early",
        "late; the task of a lost worker is queued again, three crashes dead-letter it (worker_crash_limit)",
    ),
    Difference("broker unset", "amqp on localhost", "the embedded file of the project's directory, with one warning"),
    Difference("environment", "CELERY_BROKER_URL, ...", "SKIRRET_* for each setting; Celery's names are honoured"),
    Difference(
        "bounds of revokes",
        "CELERY_WORKER_REVOKES_MAX, CELERY_WORKER_REVOKE_EXPIRES, CELERY_WORKER_SUCCESSFUL_MAX, "
        "CELERY_WORKER_SUCCESSFUL_EXPIRES",
        "these variables are not read: revokes are kept beside the queues for three days, successes are not remembered",
    ),
    Difference("revoke of a delayed task", "recorded as REVOKED at once", "recorded as REVOKED when it comes due"),
    Difference(
        "pool_restart",
        "with worker_pool_restarts only; imports the modules that it is given again",
        "always; imports the app anew, new children take over, running tasks finish",
    ),
    Difference("priority=9", "lowest on Redis", "highest on every broker (priority_order)"),
    Difference("naive eta, expires", "UTC", "the system's local time"),
    Difference("delays", "in the worker's memory", "in the broker"),
    Difference("visibility timeout", "a clock", "a lease of the living worker (worker_lease)"),
    Difference("unknown setting", "ignored", "an error where a known one is near in spelling, else the user's own"),
    Difference("prefetch", "multiplier x concurrency", "adaptive; an explicit multiplier caps tasks slower than 10 ms"),
    Difference("publish, broker down", "may hang", "OperationalError within 5 s (broker_publish_timeout)"),
    Difference("unknown task", "discarded", "redelivered over 60 s (unknown_task_patience), then dead letters"),
    Difference("malformed message", "may stop the worker", "dead letters"),
    Difference("pickle, yaml", "when accepted", "when accepted; size, depth and bomb limits on all serializers"),
    Difference(
        "exceptions of results",
        "imported by name",
        "the class if its module is loaded and it is an exception, else a faithful stand-in",
    ),
    Difference("Redis eviction", "not looked at", "allkeys-* refused when a worker starts, volatile-* warned of"),
)
