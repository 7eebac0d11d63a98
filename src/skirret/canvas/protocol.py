"""What signatures need of an app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from skirret import context
from skirret.errors import ImproperlyConfigured


class CanvasApp(Protocol):
    """The part of an app that signatures use."""

    @property
    def tasks(self) -> Mapping[str, Any]:
        """The registered tasks by name; NotRegistered (a KeyError) for others."""
        ...

    @property
    def AsyncResult(self) -> Any:  # noqa: N802  Celery's public name
        """Makes handles of results."""

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send a call of a task that is known by name only."""


def app_in_use(app: CanvasApp | None, task: Any) -> CanvasApp:
    """`app`, else the current app.

    Args:
        app: the app that a signature is bound to.
        task: the task's name, for the message.

    Raises:
        ImproperlyConfigured: there is none.
    """
    found: CanvasApp | None = app if app is not None else context.current_app()
    if found is None:
        raise ImproperlyConfigured(
            f"The signature of {task} belongs to no app, and no app is current in this process. Import the module that "
            f"makes the app first, or bind it: signature(..., app=app)."
        )
    return found
