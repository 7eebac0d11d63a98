"""Django's own tasks: ``django.tasks`` of Django 6, or the package ``django-tasks`` with the same names before it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

try:
    _found = import_module("django.tasks")
except ModuleNotFoundError:
    _found = import_module("django_tasks")


def _of(module: str, name: str) -> Any:
    return getattr(import_module(f"{_found.__name__}.{module}"), name)


TaskContext: Any = _found.TaskContext
TaskResult: Any = _found.TaskResult
TaskResultStatus: Any = _found.TaskResultStatus
task_backends: Any = _found.task_backends
BaseTaskBackend: Any = _of("backends.base", "BaseTaskBackend")
TaskError: Any = _of("base", "TaskError")
TaskResultDoesNotExist: Any = _of("exceptions", "TaskResultDoesNotExist")
task_enqueued: Any = _of("signals", "task_enqueued")
task_finished: Any = _of("signals", "task_finished")
task_started: Any = _of("signals", "task_started")

__all__ = [
    "BaseTaskBackend",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "named",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]


def named(path: str) -> Any:
    """The task at ``module.name``.

    Raises:
        ImportError: there is none.
    """
    from django.utils.module_loading import import_string

    found = import_string(path)
    if not hasattr(found, "module_path"):
        raise ImportError(f"{path} is no task any more: it was one when it was enqueued")
    return found
