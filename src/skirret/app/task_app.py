"""What tasks need of their app; it is what ``self.app`` in a task is typed as."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from skirret.app.protocol import ConnectedApp
from skirret.app.publisher import Publisher
from skirret.app.queues import Queues


class TaskApp(ConnectedApp, Protocol):
    """An app that tasks belong to and send through."""

    publisher: Publisher
    strict_typing: bool
    finalized: bool
    duplicates: set[str]

    @property
    def queues(self) -> Queues:
        """The declared queues by name."""
        ...

    @property
    def signature(self) -> Any:
        """Makes signatures of calls."""
        ...

    @property
    def GroupResult(self) -> Any:  # noqa: N802  Celery's public name
        """Makes handles of groups' results."""
        ...

    @property
    def ResultSet(self) -> Any:  # noqa: N802  Celery's public name
        """Makes handles of several results."""
        ...

    def send_many(self, calls: Iterable[Any]) -> list[Any]:
        """Send many calls with as few round trips as possible."""
        ...

    def gen_task_name(self, name: str, module: str | None) -> str:
        """What a function of that name in that module is called as a task."""
        ...

    def task_class(self) -> type[Any]:
        """The class that this app's tasks are made of."""
        ...

    def annotate(self, task: Any) -> None:
        """Apply ``task_annotations`` to a task."""
        ...

    def finalize(self, auto: bool = False) -> None:
        """Take in shared tasks and annotations."""
        ...

    def now(self) -> datetime:
        """The present moment in the app's time zone."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
