"""Skirret: a distributed task queue. Names are imported on first use, so that ``import skirret`` is cheap."""

from __future__ import annotations

__version__ = "0.1.0"
VERSION = (0, 1, 0)

TYPE_CHECKING = False  # as type checkers read it; `typing` itself takes a third of the time of `skirret health`
if TYPE_CHECKING:
    from typing import Any

    from skirret.app.app import Celery, Skirret
    from skirret.app.current import app_or_default, current_app, current_task
    from skirret.app.declaring import shared_task
    from skirret.app.lineage import uuid
    from skirret.app.task import Task
    from skirret.app.voice import heartbeat, progress
    from skirret.brokers.base import Queue
    from skirret.brokers.exchanges import Binding, Exchange
    from skirret.canvas.making import maybe_signature, signature, subtask
    from skirret.canvas.signature import Signature
    from skirret.middleware import Middleware
    from skirret.results import AsyncResult, EagerResult, GroupResult, ResultSet, allow_join_result

_WHERE = {
    "AsyncResult": "skirret.results",
    "Binding": "skirret.brokers.exchanges",
    "Celery": "skirret.app.app",
    "EagerResult": "skirret.results",
    "Exchange": "skirret.brokers.exchanges",
    "GroupResult": "skirret.results",
    "Middleware": "skirret.middleware",
    "Queue": "skirret.brokers.base",
    "ResultSet": "skirret.results",
    "Signature": "skirret.canvas",
    "Skirret": "skirret.app.app",
    "Task": "skirret.app.task",
    "allow_join_result": "skirret.results",
    "app_or_default": "skirret.app.current",
    "current_app": "skirret.app.current",
    "current_task": "skirret.app.current",
    "heartbeat": "skirret.app.voice",
    "maybe_signature": "skirret.canvas",
    "progress": "skirret.app.voice",
    "shared_task": "skirret.app.declaring",
    "signature": "skirret.canvas",
    "subtask": "skirret.canvas",
    "uuid": "skirret.app.lineage",
}

__all__ = [
    "VERSION",
    "AsyncResult",
    "Binding",
    "Celery",
    "EagerResult",
    "Exchange",
    "GroupResult",
    "Middleware",
    "Queue",
    "ResultSet",
    "Signature",
    "Skirret",
    "Task",
    "__version__",
    "allow_join_result",
    "app_or_default",
    "current_app",
    "current_task",
    "heartbeat",
    "maybe_signature",
    "progress",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'skirret' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
