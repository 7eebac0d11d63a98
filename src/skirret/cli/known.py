"""What an app and its broker know by name: queues and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skirret.app import Skirret


def declared_queues(app: Skirret) -> list[str]:
    """Queues that the app's settings name: ``task_queues``, else the default one."""
    queues: Any = app.conf.task_queues
    names: list[str] = []
    if isinstance(queues, dict):
        names = list(queues)
    elif queues:
        names = [queue if isinstance(queue, str) else queue.name for queue in queues]
    return names or [str(app.conf.task_default_queue)]


def queue_names(app: Skirret) -> list[str]:
    """Queues that the app declares or that the broker holds, sorted."""
    return sorted({*declared_queues(app), *app.broker.names()})


def task_names(app: Skirret) -> list[str]:
    """Tasks that the app has, after importing its modules, sorted."""
    app.import_modules()
    app.finalize()
    return sorted(app.tasks)
