"""What the parts of an app that talk to servers need of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from skirret.app.clients import Clients
from skirret.app.registry import TaskRegistry
from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker
from skirret.coordination.base import Coordination
from skirret.middleware import Stack
from skirret.results import ResultReader
from skirret.settings import Conf


class ConnectedApp(Protocol):
    """An app with its settings, its tasks and its connections."""

    main: str | None
    conf: Conf
    registry: TaskRegistry
    clients: Clients
    middleware: Stack

    @property
    def tasks(self) -> TaskRegistry:
        """All tasks by name; looking finalises the app."""
        ...

    @property
    def broker(self) -> Broker:
        """The broker of this process."""
        ...

    @property
    def backend(self) -> ResultBackend:
        """The result store of this process."""
        ...

    @property
    def coordination(self) -> Coordination:
        """The state that workers share."""
        ...

    @property
    def reader(self) -> ResultReader:
        """Reads the results of this process."""
        ...

    @property
    def events(self) -> Any:
        """Sending and hearing events."""
        ...

    @property
    def AsyncResult(self) -> Any:  # noqa: N802  Celery's public name
        """Makes handles of results."""
        ...

    def revoke(self, task_id: Any, **options: Any) -> Any:
        """Tell workers not to run tasks."""
        ...

    def broker_url_in_use(self) -> str:
        """The address that messages go to."""
        ...

    def send_task(self, name: str, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Send a call by the task's name."""
        ...
