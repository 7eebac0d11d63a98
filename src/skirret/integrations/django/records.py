"""What is known of one enqueued Django task beside its outcome: kept in the result store under an id of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from traceback import format_exception
from typing import Any

from django.utils import timezone

from skirret import states
from skirret.app.protocol import ConnectedApp
from skirret.app.storing import record
from skirret.integrations.django.tasks_api import TaskError, TaskResult, TaskResultStatus, named
from skirret.meta import ResultMeta

STATE = "ENQUEUED"

_STATUS = {
    states.STARTED: TaskResultStatus.RUNNING,
    states.SUCCESS: TaskResultStatus.SUCCESSFUL,
    states.FAILURE: TaskResultStatus.FAILED,
    states.REVOKED: TaskResultStatus.FAILED,
}
"""Our state -> Django's; all others are ready to run, for the first time or again."""


@dataclass(slots=True, kw_only=True)
class TaskRecord:
    """One enqueued task. Moments are ISO 8601 text.

    Args:
        path: ``module.name`` of the task.
        backend: alias of the backend in ``TASKS``.
        workers: node names, one for each attempt.
    """

    id: str
    path: str
    args: list[Any]
    kwargs: dict[str, Any]
    backend: str
    priority: int
    queue_name: str
    run_after: str | None
    enqueued_at: str
    started_at: str | None = None
    last_attempted_at: str | None = None
    workers: list[str] = field(default_factory=list)

    def keep(self, app: ConnectedApp) -> None:
        """Write it to the result store."""
        app.backend.store([record(app, ResultMeta(task_id=_key(self.id), status=STATE, result=asdict(self)))])

    def result(self, meta: ResultMeta) -> Any:
        """What Django shows of it, with the outcome in `meta`."""
        status = _STATUS.get(meta.status, TaskResultStatus.READY)
        finished = status in {TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED}
        task = named(self.path).using(
            priority=self.priority, queue_name=self.queue_name, run_after=_moment(self.run_after), backend=self.backend
        )
        made = TaskResult(
            task=task,
            id=self.id,
            status=status,
            enqueued_at=_moment(self.enqueued_at),
            started_at=_moment(self.started_at),
            last_attempted_at=_moment(self.last_attempted_at),
            finished_at=_moment(meta.date_done) if finished else None,
            args=self.args,
            kwargs=self.kwargs,
            backend=self.backend,
            errors=[error_of(meta.result, meta.traceback)] if status is TaskResultStatus.FAILED else [],
            worker_ids=list(self.workers),
        )
        if status is TaskResultStatus.SUCCESSFUL:
            object.__setattr__(made, "_return_value", meta.result)  # the way of Django's own backends
        return made


def kept_by(app: ConnectedApp) -> bool:
    """Whether records can be kept: in a result store that everybody reads, not in messages to who sent the task."""
    return bool(app.backend.enabled and app.backend.shared)


def kept(app: ConnectedApp, id: str) -> TaskRecord | None:
    """The record of an enqueued task; None if there is none, or it expired."""
    meta = app.reader.meta(_key(id))
    return TaskRecord(**meta.result) if meta.status == STATE else None


def ended(result: Any, status: str, value: Any) -> Any:
    """`result` with its outcome: the value that it returned or the exception that it raised; it is changed in place."""
    changes: dict[str, Any] = {"status": _STATUS[status], "finished_at": timezone.now()}
    if status == states.SUCCESS:
        changes["_return_value"] = value
    else:
        result.errors.append(error_of(value, "".join(format_exception(value))))
    for name, changed in changes.items():
        object.__setattr__(result, name, changed)
    return result


def error_of(error: Any, traceback: str | None) -> Any:
    """How Django tells of an exception."""
    kind = type(error)
    return TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=traceback or repr(error))


def _key(id: str) -> str:
    return f"{id}.django"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
