"""The worker: a supervisor that holds messages, and children that run user code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skirret.worker.options import WorkerOptions

__all__ = ["RESTART", "run"]

RESTART = 79
"""The exit code of a worker that ended in order to be started anew by the same command line."""


def run(options: WorkerOptions, started: Callable[[], object] | None = None) -> int:
    """Run a worker in this process until it is told to stop.

    Args:
        options: what it is asked for.
        started: called once, when the app is imported and the children are ready for tasks.

    Returns:
        The exit code: 0 after a warm or cold stop, 2 if the app does not take what the command line says to its own
        options, 69 if a server refused what had to be done before the start (``--purge``), 78 if the app or its
        settings cannot be used, also when the app can no longer be imported later on, ``RESTART`` if it is to be run
        anew. A broker that is away is waited for.
    """
    from skirret.worker.template_process import begin_early

    template = begin_early(options)  # the app is imported there while the rest of the worker is imported here
    try:
        from skirret.worker.worker import run_worker
    except KeyboardInterrupt:  # nothing was taken yet
        return 0
    return run_worker(options, started, template)
