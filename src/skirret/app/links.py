"""What follows an eager run: its callbacks, the next step of its chain, or its errbacks."""

from __future__ import annotations

from typing import Any

from skirret.app.arguments import signature_of
from skirret.app.protocol import ConnectedApp
from skirret.excinfo import ExceptionInfo
from skirret.request import Context


def call_links(app: ConnectedApp, request: Context, value: Any) -> None:
    """Send the callbacks, and the next step of the chain with the steps that remain."""
    from skirret.canvas import maybe_signature

    lineage = {"root_id": request.root_id or request.id, "parent_id": request.id}
    for callback in request.callbacks or ():
        maybe_signature(callback, app=app).apply_async((value,), **lineage)
    if request.chain:
        from skirret.canvas.steps import pop_next

        step, rest = pop_next(list(request.chain))
        maybe_signature(step, app=app).apply_async((value,), chain=rest or None, **lineage)


def call_errbacks(app: ConnectedApp, request: Context, exc: BaseException, einfo: ExceptionInfo) -> None:
    """Call errbacks: here as ``errback(request, exc, traceback)`` where they take that much, else as a task.

    Celery's rule: an errback whose task is registered here and accepts more than one argument is called in place.
    """
    from skirret.canvas import maybe_signature

    for errback in request.errbacks or ():
        signature = maybe_signature(errback, app=app)
        task = app.tasks.get(signature["task"])
        if task is not None and accepts_error(task, signature):
            task(request, exc, einfo.traceback, *(signature.get("args") or ()), **(signature.get("kwargs") or {}))
        else:
            signature.apply_async((request.id,), root_id=request.root_id or request.id, parent_id=request.id)


def accepts_error(task: Any, signature: Any) -> bool:
    """Whether an errback takes (request, exc, traceback) beside its own arguments, rather than a task id alone."""
    try:
        parameters = signature_of(task.run).parameters.values()
    except (TypeError, ValueError):
        return False
    given = len(signature.get("args") or ())
    own = set(signature.get("kwargs") or {})
    room = 0
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return True
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) and parameter.name not in own:
            room += 1
    return room - given > 1
