"""Skirret as a backend of Django's own tasks: ``TASKS = {"default": {"BACKEND": ".....SkirretBackend"}}``."""

from __future__ import annotations

from functools import partial
from inspect import iscoroutinefunction
from typing import Any
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from skirret.app.current import app_or_default
from skirret.integrations.django import records, running
from skirret.integrations.django.records import TaskRecord, kept
from skirret.integrations.django.tasks_api import BaseTaskBackend, TaskResultDoesNotExist, task_enqueued
from skirret.meta import ResultMeta
from skirret.plugins import import_object

DEFAULT_QUEUE = "default"


class SkirretBackend(BaseTaskBackend):
    """Sends Django's tasks to Skirret's workers.

    ``OPTIONS``: ``app``, the path of the app that sends them (by default the project's); ``enqueue_on_commit``,
    whether a task is sent only when the transaction of the default database is committed. The queue ``default`` is
    the app's default queue; others are Skirret's by the same names. Priorities from -100 to 100 become those from 0
    to 9.
    """

    supports_defer = True
    supports_async_task = True
    supports_priority = True

    @property
    def supports_get_result(self) -> bool:
        """Whether results are kept: the app needs a result store, and one that everybody reads."""
        return records.kept_by(self.app)

    @property
    def app(self) -> Any:
        """The app that sends."""
        path = self.options.get("app")
        return import_object(path) if path else app_or_default()

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Send a call.

        Raises:
            InvalidTask: this backend cannot run it.
            OperationalError: the broker did not accept it; with ``enqueue_on_commit`` the commit raises that.
        """
        self.validate_task(task)
        record, result = self._new(task, args, kwargs)
        if self.options.get("enqueue_on_commit"):
            transaction.on_commit(partial(self._send, task, record, result))
        else:
            self._send(task, record, result)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """`enqueue` without blocking the event loop."""
        if self.options.get("enqueue_on_commit"):
            return await sync_to_async(self.enqueue, thread_sensitive=True)(task, args, kwargs)
        self.validate_task(task)
        record, result = self._new(task, args, kwargs)
        app = self.app
        if records.kept_by(app):
            await sync_to_async(record.keep, thread_sensitive=False)(app)
        await self._runner(task).aapply_async(**self._call(task, record))
        await sync_to_async(task_enqueued.send, thread_sensitive=True)(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """The state of an enqueued task.

        Raises:
            TaskResultDoesNotExist: none with this id is known, or it expired.
        """
        app = self.app
        record = kept(app, str(result_id)) if records.kept_by(app) else None
        if record is None:
            raise TaskResultDoesNotExist(result_id)
        return record.result(app.reader.meta(record.id))

    def _new(self, task: Any, args: Any, kwargs: Any) -> tuple[TaskRecord, Any]:
        record = TaskRecord(
            id=str(uuid4()),
            path=task.module_path,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            priority=task.priority,
            queue_name=task.queue_name,
            run_after=None if task.run_after is None else task.run_after.isoformat(),
            enqueued_at=timezone.now().isoformat(),
        )
        result = record.result(ResultMeta(task_id=record.id))
        record.args, record.kwargs = result.args, result.kwargs  # as JSON carries them
        return record, result

    def _send(self, task: Any, record: TaskRecord, result: Any) -> None:
        app = self.app
        if records.kept_by(app):
            record.keep(app)
        self._runner(task).apply_async(**self._call(task, record))
        task_enqueued.send(type(self), task_result=result)

    def _runner(self, task: Any) -> Any:
        name = running.ASYNC_RUNNER if iscoroutinefunction(task.func) else running.RUNNER
        return self.app.tasks[name]

    def _call(self, task: Any, record: TaskRecord) -> dict[str, Any]:
        options: dict[str, Any] = {
            "args": (record.path, record.backend, record.args, record.kwargs),
            "task_id": record.id,
            "shadow": record.path,
            "priority": (record.priority + 100) * 9 // 200,
        }
        if record.queue_name != DEFAULT_QUEUE:
            options["queue"] = record.queue_name
        if task.run_after is not None:
            options["eta"] = task.run_after
        return options
