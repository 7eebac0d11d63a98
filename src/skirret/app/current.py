"""Which app is meant where none is named: the current one, else a default one that is made on first use."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

from skirret import context

if TYPE_CHECKING:
    from skirret.app.app import Skirret

_lock = threading.Lock()


def app_or_default(app: Skirret | None = None) -> Skirret:
    """`app`, else the current app, else the process's default app (made now if there is none)."""
    found = app or context.current_app()
    if found is None:
        with _lock:
            found = context.current_app()
            if found is None:
                from skirret.app.app import Skirret

                found = Skirret("default", set_as_current=False)
                context.set_default_app(found)
    return cast("Skirret", found)


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
