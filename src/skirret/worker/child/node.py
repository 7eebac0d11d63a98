"""A worker as its hooks and signals see it: what Celery's receivers ask of ``sender`` and ``instance``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.worker.options import WorkerOptions


def worker_node(app: Skirret, hostname: str, options: WorkerOptions | None = None) -> WorkerNode:
    """The one node that hooks of `app` see in this process, whatever they keep on it."""
    found: WorkerNode | None = app.__dict__.get("_worker_node")
    if found is None:
        found = app.__dict__["_worker_node"] = WorkerNode(app, hostname, options)
    return found


class WorkerNode:
    """One worker.

    Args:
        app: its app.
        hostname: its name, such as ``celery@web1``.
        options: its command line.
    """

    def __init__(self, app: Skirret, hostname: str, options: WorkerOptions | None = None) -> None:
        self.app = app
        self.hostname = hostname
        self.options: dict[str, Any] = {} if options is None else msgspec.structs.asdict(options)
        """The options of the command line by name, those that the app adds too; None is "as the settings say"."""
        self.options.pop("user_args", None)  # what they say is here by the options' own names

    @property
    def conf(self) -> Any:
        """The app's settings."""
        return self.app.conf

    @property
    def pid(self) -> int:
        """The process that the hook runs in."""
        return os.getpid()

    @property
    def controller(self) -> WorkerNode:
        """Itself: Celery's receivers of ``worker_ready`` look here for the worker."""
        return self

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname}>"
