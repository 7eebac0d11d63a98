"""What the handles of results need of an app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from skirret import context
from skirret.backends.base import ResultBackend
from skirret.errors import ImproperlyConfigured
from skirret.results.reader import ResultReader


class ResultApp(Protocol):
    """The part of an app that results use."""

    @property
    def reader(self) -> ResultReader:
        """Reads the results of this process."""
        ...

    @property
    def backend(self) -> ResultBackend:
        """Where results are stored."""
        ...

    @property
    def conf(self) -> Any:
        """The settings."""

    def revoke(self, task_id: str | Sequence[str], **options: Any) -> Any:
        """Tell all workers not to run the tasks; options `terminate`, `signal`, `wait`, `timeout`."""


def app_in_use(app: ResultApp | None) -> ResultApp:
    """`app`, else the current app.

    Raises:
        ImproperlyConfigured: there is none.
    """
    found: ResultApp | None = app if app is not None else context.current_app()
    if found is None:
        raise ImproperlyConfigured(
            "This result belongs to no app, and no app is current in this process, so its backend is not known. Import "
            "the module that makes the app first, or ask it: app.AsyncResult(task_id)."
        )
    return found
