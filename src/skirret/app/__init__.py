"""The app floor: apps, tasks, and how a call becomes a message."""

from __future__ import annotations

from skirret.app.app import Celery, Skirret
from skirret.app.current import app_or_default, current_app, current_task
from skirret.app.declaring import shared_task
from skirret.app.find import find_app
from skirret.app.lineage import uuid
from skirret.app.queues import Queues
from skirret.app.registry import TaskRegistry
from skirret.app.task import AsyncTask, Task
from skirret.context import default_app, pop_task, push_task

pop_current_task = pop_task
push_current_task = push_task

__all__ = [
    "AsyncTask",
    "Celery",
    "Queues",
    "Skirret",
    "Task",
    "TaskRegistry",
    "app_or_default",
    "current_app",
    "current_task",
    "default_app",
    "find_app",
    "pop_current_task",
    "push_current_task",
    "shared_task",
    "uuid",
]
