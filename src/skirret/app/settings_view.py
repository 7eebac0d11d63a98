"""What publishing needs of the settings, read once and read again when a setting changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from skirret.app.lineage import thread_oid
from skirret.app.queues import Queues
from skirret.app.routing import Router
from skirret.settings import Conf
from skirret.settings.transports import replies


@dataclass(slots=True)
class RetryPolicy:
    """How often and how patiently a publish is repeated (kombu's meaning of the fields; seconds)."""

    max_retries: int | None = 3
    interval_start: float = 0.0
    interval_step: float = 0.2
    interval_max: float = 1.0

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> RetryPolicy:
        """A policy from ``retry_policy``; names that are not fields are kombu's and ignored."""
        given = given or {}
        return cls(**{name: given[name] for name in cls.__dataclass_fields__ if name in given})

    def pause(self, attempt: int) -> float:
        """Seconds to wait before repetition number `attempt` (0 first)."""
        return min(self.interval_max, self.interval_start + attempt * self.interval_step)


def mode_number(mode: Any) -> int:
    """AMQP's delivery mode: 1 or "transient", 2 or "persistent" (also where nothing is said)."""
    return 1 if mode in (1, "transient") else 2


NO_RETRY = RetryPolicy(max_retries=0)


@dataclass(slots=True)
class SettingsView:
    """The settings that publishing reads, resolved."""

    revision: Any
    router: Router
    always_eager: bool
    serializer: str
    compression: str | None
    priority: int | None
    ignore_result: bool
    inherit_priority: bool
    delivery_mode: int
    retry: RetryPolicy
    deadline: float | None
    max_bytes: int
    accept: Any
    send_sent_event: bool
    expects: bool
    """Whether results come as messages to where `reply_to` says."""
    reply_to: Callable[[], str]

    @classmethod
    def of(cls, conf: Conf, revision: Any, address: Callable[[], str]) -> SettingsView:
        """Read `conf`.

        Args:
            conf: the settings.
            revision: of them.
            address: where results come to, if they are messages.
        """
        expects = replies(conf)
        queues = Queues(
            conf.get("task_queues"),
            default=conf.get("task_default_queue") or "celery",
            create_missing=bool(conf.get("task_create_missing_queues", True)),
            max_priority=conf.get("task_queue_max_priority"),
            exchange=conf.get("task_default_exchange"),
            exchange_type=conf.get("task_default_exchange_type") or "direct",
            routing_key=conf.get("task_default_routing_key"),
            queue_type=conf.get("task_default_queue_type"),
            missing_exchange_type=conf.get("task_create_missing_queue_exchange_type"),
        )
        router = Router(
            queues,
            conf.get("task_routes"),
            default_exchange=conf.get("task_default_exchange"),
            default_routing_key=conf.get("task_default_routing_key"),
        )
        return cls(
            revision=revision,
            router=router,
            always_eager=bool(conf.get("task_always_eager")),
            serializer=conf.get("task_serializer") or "json",
            compression=conf.get("task_compression"),
            priority=conf.get("task_default_priority"),
            ignore_result=bool(conf.get("task_ignore_result")),
            inherit_priority=bool(conf.get("task_inherit_parent_priority")),
            delivery_mode=mode_number(conf.get("task_default_delivery_mode")),
            retry=RetryPolicy.of(conf.get("task_publish_retry_policy")) if conf.get("task_publish_retry") else NO_RETRY,
            deadline=conf.get("broker_publish_timeout"),
            accept=conf.get("accept_content"),
            send_sent_event=bool(conf.get("task_send_sent_event")),
            max_bytes=conf.get("message_max_bytes") or 16 * 1024 * 1024,
            expects=expects,
            reply_to=address if expects else thread_oid,
        )


def revision_of(conf: Conf) -> Any:
    """An object that is another one after each change of a setting; loads the settings on first use."""
    values = conf._values  # noqa: SLF001  replaced as a whole at each change
    return values or conf._load()  # noqa: SLF001
