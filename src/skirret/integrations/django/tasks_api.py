"""Django's own tasks: ``django.tasks`` of Django 6, or the package ``django-tasks`` with the same names before it."""

from __future__ import annotations

from typing import Any

try:
    from django.tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TaskError
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
except ModuleNotFoundError:
    from django_tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import TaskError
    from django_tasks.exceptions import TaskResultDoesNotExist
    from django_tasks.signals import task_enqueued, task_finished, task_started

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
