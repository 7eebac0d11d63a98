"""The tasks that an app knows, by name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from skirret.errors import NotRegistered


class TaskRegistry(MutableMapping[str, Any]):
    """Tasks by name. A name that is not there is an error that suggests near ones."""

    NotRegistered = NotRegistered

    def __init__(self) -> None:
        self._tasks: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        try:
            return self._tasks[name]
        except KeyError:
            import difflib  # only errors need it

            near = difflib.get_close_matches(str(name), self._tasks, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise NotRegistered(f"no task {name!r} is registered in this app{hint}") from None

    def __setitem__(self, name: str, task: Any) -> None:
        self._tasks[name] = task

    def __delitem__(self, name: str) -> None:
        del self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def get(self, name: str, default: Any = None) -> Any:
        """The task of that name, else `default`."""
        return self._tasks.get(name, default)

    def register(self, task: Any) -> None:
        """Add a task by its own name; an instance is made of a class."""
        instance = task() if isinstance(task, type) else task
        self._tasks[instance.name] = instance

    def unregister(self, name: Any) -> None:
        """Forget a task, by name or object.

        Raises:
            NotRegistered: it is not there.
        """
        key = getattr(name, "name", name)
        if key not in self._tasks:
            raise NotRegistered(f"no task {key!r} is registered in this app")
        del self._tasks[key]

    def __repr__(self) -> str:
        return f"<TaskRegistry: {', '.join(sorted(self._tasks))}>"
