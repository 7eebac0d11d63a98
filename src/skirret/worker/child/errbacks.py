"""Error callbacks: called in place where they take more than a task id, else sent as tasks of their own.

Celery's contract: an errback that is registered here and that, beside its own arguments, takes more than one is
called as ``errback(request, exc, traceback)``; any other becomes a message with the failed task's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skirret import loggers
from skirret.app.links import accepts_error
from skirret.excinfo import ExceptionInfo
from skirret.message import Publication
from skirret.request import Context

if TYPE_CHECKING:
    from skirret.app import Skirret

logger = loggers.own("skirret.worker.task")


def run_errbacks(app: Skirret, request: Context, info: ExceptionInfo) -> list[Publication]:
    """Call the errbacks of `request` that are called in place; the messages of those that are sent.

    An errback that fails is logged and does not keep the others from running.
    """
    sent: list[Publication] = []
    for errback in request.errbacks or ():
        try:
            task = app.tasks.get(errback["task"])
            if task is not None and accepts_error(task, errback):
                task(request, info.exception, info.traceback, *errback.get("args", ()), **errback.get("kwargs", {}))
            else:
                sent.append(app.publisher.successor(errback, (request.id,), request))
        except BaseException:
            logger.exception("The error callback %r of task %s[%s] failed", errback, request.task, request.id)
    return sent
