"""Which app is meant where none is named: the current one, else a default one that is made on first use."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skirret import context

_lock = threading.Lock()
_make: Callable[[], Any] | None = None
_living: weakref.WeakSet[Any] = weakref.WeakSet()


def living_apps() -> list[Any]:
    """All apps of this process."""
    return list(_living)


def add_app(app: Any) -> None:
    """Remember an app for as long as it lives."""
    _living.add(app)


def make_default_by(make: Callable[[], Any]) -> None:
    """Say how the default app is made where one is needed before any was made."""
    global _make
    _make = make


def app_or_default(app: Any = None) -> Any:
    """`app`, else the current app, else the process's default app (made now if there is none)."""
    found = app or context.current_app()
    if found is None:
        with _lock:
            found = context.current_app()
            if found is None and _make is not None:
                found = _make()
                context.set_default_app(found)
    return found


def task_by_name(name: str) -> Any:
    """The current app's task of that name: how a pickled task finds itself again."""
    return app_or_default().tasks[name]


class Proxy:
    """Stands for an object that is looked up at each use, such as the current app."""

    __slots__ = ("_find", "_label")

    def __init__(self, find: Any, label: str) -> None:
        object.__setattr__(self, "_find", find)
        object.__setattr__(self, "_label", label)

    def _get_current_object(self) -> Any:
        return object.__getattribute__(self, "_find")()

    def __getattr__(self, name: str) -> Any:
        found = self._get_current_object()
        if found is None:
            label = object.__getattribute__(self, "_label")
            raise AttributeError(f"there is no {label} here, so it has no {name!r}")
        return getattr(found, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._get_current_object(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._get_current_object()(*args, **kwargs)

    def __bool__(self) -> bool:
        return self._get_current_object() is not None

    def __eq__(self, other: object) -> bool:
        return bool(self._get_current_object() == other)

    def __hash__(self) -> int:
        return hash(self._get_current_object())

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> Any:  # isinstance() asks the object that is stood for
            return type(self._get_current_object())

    def __reduce__(self) -> Any:
        return self._get_current_object().__reduce__()

    def __repr__(self) -> str:
        return repr(self._get_current_object())


current_app: Any = Proxy(app_or_default, "current app")
"""The app of this context."""

current_task: Any = Proxy(context.current_task, "current task")
"""The task that runs here; false if none does."""
