"""``self.request``: what a running task can know about its call. Field names are Celery's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from skirret.message import Publication


class Context(msgspec.Struct, kw_only=True):
    """One call of a task, seen from inside it.

    `outbox` holds messages that leave with the task's outcome, in one step with it. `awaits_call` says that a worker is
    about to enter the task through a ``__call__`` of the user's own: what reaches ``Task.__call__`` next is this call.
    """

    id: str | None = None
    task: str | None = None
    args: Any = None
    kwargs: Any = None
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: Any = None
    called_directly: bool = True
    correlation_id: str | None = None
    delivery_info: dict[str, Any] = msgspec.field(default_factory=dict)
    eta: str | None = None
    expires: str | None = None
    group: str | None = None
    group_index: int | None = None
    headers: dict[str, Any] | None = None
    hostname: str | None = None
    ignore_result: bool = False
    is_eager: bool = False
    logfile: str | None = None
    loglevel: int | None = None
    origin: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    properties: dict[str, Any] | None = None
    retries: int = 0
    reply_to: str | None = None
    replaced_task_nesting: int = 0
    shadow: str | None = None
    taskset: str | None = None
    timelimit: Any = None
    utc: bool = True
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] = msgspec.field(default_factory=dict)
    children: list[Any] = msgspec.field(default_factory=list)
    deliveries: int = 0
    worker_pid: int | None = None
    outbox: list[Publication] = msgspec.field(default_factory=list)
    awaits_call: bool = False
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        # Only for names that are not fields: the caller's own headers, as Celery's Context shows them.
        if name.startswith("__") or name == "extra":
            raise AttributeError(name)
        try:
            return self.extra[name]
        except KeyError:
            raise AttributeError(f"this request has no {name!r}") from None

    @property
    def time_limit(self) -> float | None:
        """The hard limit of this call in seconds, or None."""
        return self.timelimit[0] if self.timelimit else None

    @property
    def soft_time_limit(self) -> float | None:
        """The soft limit of this call in seconds, or None."""
        return self.timelimit[1] if self.timelimit else None

    def get(self, key: str, default: Any = None) -> Any:
        """The field or header `key`, else `default`."""
        return getattr(self, key, default)

    def update(self, *args: Mapping[str, Any], **kwargs: Any) -> None:
        """Set fields from mappings; unknown names become extra headers."""
        for key, value in dict(*args, **kwargs).items():
            if key in self.__struct_fields__:
                setattr(self, key, value)
            else:
                self.extra[key] = value

    def clear(self) -> None:
        """Back to an empty request."""
        blank = Context()
        for name in self.__struct_fields__:
            setattr(self, name, getattr(blank, name))

    def as_execution_options(self) -> dict[str, Any]:
        """The ``apply_async`` options that would repeat this call."""
        limit, soft = (self.timelimit or (None, None))[:2]
        info = self.delivery_info or {}
        return {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "chord": self.chord,
            "chain": self.chain,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "soft_time_limit": soft,
            "time_limit": limit,
            "headers": self.headers,
            "retries": self.retries,
            "reply_to": self.reply_to,
            "replaced_task_nesting": self.replaced_task_nesting,
            "origin": self.origin,
            "priority": info.get("priority"),
            "ignore_result": self.ignore_result,
        }
