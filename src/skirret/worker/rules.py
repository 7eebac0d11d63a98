"""The numbers and words that a supervisor works by, from the app's settings."""

from __future__ import annotations

from msgspec.structs import replace

from skirret import loggers
from skirret.brokers.base import Limits
from skirret.settings import Conf
from skirret.wire.envelope import Head
from skirret.worker.bounds import Bounds
from skirret.worker.manifest import Manifest, TaskTraits
from skirret.worker.times import Times

logger = loggers.own("skirret.worker")

BEATS_PER_LEASE = 6
"""A worker says that it lives so many times before its lease would run out."""


class Rules:
    """What a supervisor goes by.

    Args:
        tasks: traits by task name.
        conf: the app's settings.
        stores_results: whether there is a result store.
        grace: seconds that running tasks get at a warm stop, instead of ``worker_grace``.
    """

    def __init__(
        self, tasks: dict[str, TaskTraits], conf: Conf, *, stores_results: bool, grace: float | None = None
    ) -> None:
        self.tasks = tasks
        self.stores_results = stores_results
        self.times = Times(
            conf.worker_grace if grace is None else grace,
            float(conf.worker_soft_shutdown_timeout),
            bool(conf.worker_enable_soft_shutdown_on_idle),
        )
        self.cancels_on_loss = bool(conf.worker_cancel_long_running_tasks_on_connection_loss)
        multiplier = int(conf.worker_prefetch_multiplier) if conf.is_set("worker_prefetch_multiplier") else 0
        self.prefetch = multiplier or None  # as in Celery, 0 sets no bound
        self.lean = bool(conf.worker_disable_prefetch)
        self.rate_limits = not conf.worker_disable_rate_limits
        self.patience = float(conf.unknown_task_patience)
        self.crashes = int(conf.worker_crash_limit)
        self.max_bytes = int(conf.message_max_bytes)
        self.serializer = str(conf.result_serializer)
        self.ttl = _seconds(conf.result_expires)
        self.progress_timeout = float(conf.worker_progress_timeout)
        self.bounds = Bounds(
            conf.worker_max_tasks_per_child, conf.worker_max_memory_per_child, conf.worker_memory_cap_per_child
        )
        lease = float(conf.worker_lease)
        self.deliveries = int(conf.worker_delivery_limit)
        # One more for the reaper: a message at our limit is taken once more, so that its failure can be recorded.
        longest = max((traits.time_limit or 0.0 for traits in tasks.values()), default=0.0) or None
        beat = lease / BEATS_PER_LEASE
        self.limits = Limits(lease=lease, beat=beat, deliveries=self.deliveries + 1, hold=longest)

    @classmethod
    def of(cls, manifest: Manifest, *, stores_results: bool, grace: float | None = None) -> Rules:
        """The rules of an app that another process described."""
        conf = Conf.from_plain(manifest.settings)
        return cls(manifest.tasks, conf, stores_results=stores_results, grace=grace)

    def without_kills(self) -> None:
        """Heed nothing by which a running task would be killed, and say so of what was asked for."""
        asked = {
            "worker_memory_cap_per_child": self.bounds.cap,
            "worker_cancel_long_running_tasks_on_connection_loss": self.cancels_on_loss,
        }
        if names := [name for name, value in asked.items() if value]:
            logger.warning(
                "The pool solo has no child that could be killed; it does not heed %s. Any other pool does.",
                ", ".join(names),
            )
        self.bounds = replace(self.bounds, cap=None)
        self.cancels_on_loss = False

    def keeps_result(self, head: Head, *, failed: bool) -> bool:
        """Whether an outcome that never reached a child is stored."""
        if not self.stores_results:
            return False
        traits = self.tasks.get(head.task)
        ignored = head.ignore_result or (traits is not None and traits.ignore_result)
        return not ignored or (failed and traits is not None and traits.store_errors_even_if_ignored)


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    total = getattr(value, "total_seconds", None)
    return (float(total()) if total is not None else float(str(value))) or None
