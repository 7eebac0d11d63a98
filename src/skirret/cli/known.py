"""What an app and its broker know by name: queues and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skirret.app import Skirret


def declared_queues(app: Skirret) -> list[str]:
    """Queues that the app's settings name, the default one first: ``task_queues``, else the default one alone."""
    return list(app.queues)


def queue_names(app: Skirret) -> list[str]:
    """Queues that the app declares or that the broker holds, sorted."""
    return sorted({*declared_queues(app), *app.broker.names()})


def task_names(app: Skirret) -> list[str]:
    """Tasks that the app has, after importing its modules, sorted."""
    app.import_modules()
    app.finalize()
    return sorted(app.tasks)
