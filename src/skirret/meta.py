"""A task's result as it is told to others: Celery's "result meta", in Python values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class ResultMeta:
    """The state of one task and what it left.

    `result` is the return value, an exception (states in ``EXCEPTION_STATES``) or any custom meta. `children` are
    result tuples as ``AsyncResult.as_tuple`` makes them. The fields from `name` on are those of ``result_extended``.
    """

    task_id: str
    status: str = "PENDING"
    result: Any = None
    traceback: str | None = None
    children: list[Any] | None = None
    date_done: str | None = None
    group_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    args: Any = None
    kwargs: Any = None
    worker: str | None = None
    retries: int | None = None
    queue: str | None = None
    stamps: dict[str, Any] = field(default_factory=dict)
