"""Skirret in Flask programs: settings from ``app.config``, and the application context around every task."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from skirret.app import Skirret
from skirret.app.task import Task

if TYPE_CHECKING:
    from flask import Flask

KEYS = ("CELERY", "SKIRRET")
"""Where settings are looked for in ``app.config``; the later ones win."""

EXTENSION = "skirret"


class FlaskSkirret(Skirret):
    """An app that belongs to a Flask application, now or by `init_app`.

    Args:
        flask_app: the application; None for programs that make it in a function.
        **options: as of `Skirret`.
    """

    def __init__(self, flask_app: Flask | None = None, **options: Any) -> None:
        options.setdefault("task_cls", FlaskTask)
        super().__init__(options.pop("main", None) or (flask_app.import_name if flask_app else None), **options)
        self.flask_app: Flask | None = None
        if flask_app is not None:
            self.init_app(flask_app)

    def init_app(self, flask_app: Flask) -> None:
        """Take the settings of an application, and run tasks in its context from now on.

        Its ``config["CELERY"]`` and ``config["SKIRRET"]`` are mappings of settings by their lower-case names; so are
        single keys such as ``config["SKIRRET_BROKER_URL"]``. The app is ``flask_app.extensions["skirret"]`` then.
        """
        self.flask_app = flask_app
        self.main = self.main or flask_app.import_name
        settings = settings_of(flask_app.config)
        if settings:
            self.config_from_object(settings)
        flask_app.extensions[EXTENSION] = flask_app.extensions["celery"] = self
        self.set_default()


class FlaskTask(Task[..., Any]):
    """A task that runs in the context of the Flask application that its app belongs to.

    An eager run, and a plain call, inside of a context keep that one.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run with ``current_app`` and ``g`` at hand."""
        from flask import has_app_context

        flask_app = getattr(self.app, "flask_app", None)
        if flask_app is None or has_app_context():
            return super().__call__(*args, **kwargs)
        if self.is_async:
            return self._call_in(flask_app.app_context(), *args, **kwargs)
        with flask_app.app_context():
            return super().__call__(*args, **kwargs)

    async def _call_in(self, context: AbstractContextManager[Any], *args: Any, **kwargs: Any) -> Any:
        with context:
            return await super().__call__(*args, **kwargs)


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a Flask configuration, by their lower-case names."""
    found: dict[str, Any] = {}
    for key in KEYS:
        found.update(config.get(key) or {})
        prefix = f"{key}_"
        found.update({name[len(prefix) :].lower(): value for name, value in config.items() if name.startswith(prefix)})
    return found
