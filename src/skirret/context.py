"""Which app and which task this thread or coroutine is in. State without opinions, so that every floor may look."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any

from skirret.request import Context

_current_app: ContextVar[Any] = ContextVar("skirret_current_app", default=None)
_default_app: Any = None
# One tuple per level: (task, request). Coroutines copy the variable, so that tasks on one loop do not mix.
_stack: ContextVar[tuple[tuple[Any, Any], ...]] = ContextVar("skirret_task_stack", default=())

_shared_tasks: list[Any] = []
"""Callables of ``shared_task``, called with each app when it is finalised."""

# None where nobody said anything: then it is refused inside tasks.
_join_allowed: ContextVar[bool | None] = ContextVar("skirret_join_allowed", default=None)


def set_default_app(app: Any) -> None:
    """Make `app` the one that ``current_app`` means where nothing else was set."""
    global _default_app
    _default_app = app


def default_app() -> Any:
    """The process's app, or None."""
    return _default_app


def set_current_app(app: Any) -> None:
    """Make `app` current in this context."""
    _current_app.set(app)


def current_app() -> Any:
    """The app of this context, else the process's, else None."""
    return _current_app.get() or _default_app


def push_task(task: Any, request: Context) -> None:
    """Enter a task."""
    _stack.set((*_stack.get(), (task, request)))


def pop_task() -> None:
    """Leave the task entered last."""
    _stack.set(_stack.get()[:-1])


def current_task() -> Any:
    """The task that runs here, or None."""
    stack = _stack.get()
    return stack[-1][0] if stack else None


def current_request() -> Context | None:
    """The request of the task that runs here, or None."""
    stack = _stack.get()
    return stack[-1][1] if stack else None


def task_stack() -> tuple[tuple[Any, Any], ...]:
    """All tasks entered here, the innermost last."""
    return _stack.get()


def add_shared_task(register: Any) -> None:
    """Remember a ``shared_task`` for apps still to come."""
    _shared_tasks.append(register)


def shared_tasks() -> list[Any]:
    """The remembered ``shared_task`` callables."""
    return list(_shared_tasks)


def join_allowed() -> bool:
    """Whether this context may wait for the result of another task: what was said last, else not inside a task's run.

    A task that is called like a function does not count; it holds no worker's slot.
    """
    said = _join_allowed.get()
    return all(request.called_directly for _, request in _stack.get()) if said is None else said


def allow_join(allowed: bool | None) -> bool | None:
    """Say whether this context may wait for the result of another task (None: as `join_allowed` finds).

    Returns:
        What was said before.
    """
    before = _join_allowed.get()
    _join_allowed.set(allowed)
    return before


def process() -> int:
    """The process id that client state is keyed by; a fork changes it."""
    return os.getpid()
