"""The tasks of ours that run Django's tasks in a worker: one for plain functions, one for coroutines."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.utils import timezone

from skirret import states
from skirret.app.declaring import shared_task
from skirret.integrations.django.records import TaskRecord, ended, kept, kept_by
from skirret.integrations.django.tasks_api import (
    TaskContext,
    named,
    task_backends,
    task_finished,
    task_started,
)
from skirret.meta import ResultMeta

RUNNER = "skirret.django.run"
ASYNC_RUNNER = "skirret.django.run_async"


@shared_task(bind=True, name=RUNNER, track_started=True)
def run(self: Any, path: str, backend: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Run a plain function."""
    task = named(path)
    result = _begin(self, path, backend, args, kwargs)
    try:
        value = task.call(*_arguments(task, result), **result.kwargs)
    except BaseException as exc:
        _end(result, states.FAILURE, exc)
        raise
    _end(result, states.SUCCESS, value)
    return value


@shared_task(bind=True, name=ASYNC_RUNNER, track_started=True)
async def run_async(self: Any, path: str, backend: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Run a coroutine. Receivers of Django's signals may use its database, so they are called in a thread."""
    task = named(path)
    result = await sync_to_async(_begin, thread_sensitive=True)(self, path, backend, args, kwargs)
    try:
        value = await task.acall(*_arguments(task, result), **result.kwargs)
    except BaseException as exc:
        await sync_to_async(_end, thread_sensitive=True)(result, states.FAILURE, exc)
        raise
    await sync_to_async(_end, thread_sensitive=True)(result, states.SUCCESS, value)
    return value


def _begin(runner: Any, path: str, backend: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    app, request, now = runner.app, runner.request, timezone.now().isoformat()
    task = named(path)
    record = kept(app, request.id) if kept_by(app) else None
    if record is None:
        record = TaskRecord(
            id=request.id, path=path, args=args, kwargs=kwargs, backend=backend, priority=task.priority,
            queue_name=task.queue_name, run_after=None, enqueued_at=now,
        )  # fmt: skip
    record.started_at = record.started_at or now
    record.last_attempted_at = now
    record.workers.append(request.hostname or "")
    if kept_by(app):
        record.keep(app)
    result = record.result(ResultMeta(task_id=record.id, status=states.STARTED))
    task_started.send(type(task_backends[backend]), task_result=result)
    return result


def _arguments(task: Any, result: Any) -> list[Any]:
    return [TaskContext(task_result=result), *result.args] if task.takes_context else result.args


def _end(result: Any, status: str, value: Any) -> None:
    task_finished.send(type(task_backends[result.backend]), task_result=ended(result, status, value))
