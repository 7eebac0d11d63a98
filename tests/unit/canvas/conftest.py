"""An app and a task, as far as signatures need them."""

from __future__ import annotations

from typing import Any

import pytest

from skirret import context
from skirret.errors import NotRegistered
from skirret.results import AsyncResult, EagerResult


class Tasks(dict):
    def __missing__(self, name):
        raise NotRegistered(name)


class Task:
    """Remembers how it was called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[tuple[Any, Any, dict[str, Any]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def apply(self, args: Any, kwargs: Any, **options: Any) -> EagerResult[Any]:
        return EagerResult(options.get("task_id", "eager"), (args, kwargs, options), "SUCCESS")

    def apply_async(self, args: Any, kwargs: Any, **options: Any) -> AsyncResult[Any]:
        self.sent.append((args, kwargs, options))
        return AsyncResult(options.get("task_id", "sent"))

    async def aapply_async(self, args: Any, kwargs: Any, **options: Any) -> AsyncResult[Any]:
        return self.apply_async(args, kwargs, **options)

    def AsyncResult(self, task_id: str) -> AsyncResult[Any]:  # noqa: N802
        return AsyncResult(task_id)


class App:
    thread_oid = "oid"

    def __init__(self) -> None:
        self.tasks = Tasks({"t.add": Task("t.add")})
        self.sent: list[Any] = []

    AsyncResult = AsyncResult

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult[Any]:
        self.sent.append((name, args, kwargs, options))
        return AsyncResult("named")

    async def asend_task(self, *args: Any, **options: Any) -> AsyncResult[Any]:
        return self.send_task(*args, **options)


@pytest.fixture
def app():
    return App()


@pytest.fixture
def add(app):
    return app.tasks["t.add"]


@pytest.fixture(autouse=True)
def _no_app(monkeypatch: pytest.MonkeyPatch):
    """No app is current, whatever other tests left behind."""
    before = context._current_app.get()
    monkeypatch.setattr(context, "_default_app", None)
    context.set_current_app(None)
    yield
    context.set_current_app(before)
