"""Writes a task's state into the result store, as it is to be read by others."""

from __future__ import annotations

import traceback as tracebacks
from datetime import timedelta
from typing import Any

from skirret import states
from skirret.app.protocol import ConnectedApp
from skirret.clock import utc_now
from skirret.message import Record
from skirret.meta import ResultMeta
from skirret.request import Context


def lifetime(app: ConnectedApp, state: str) -> float | None:
    """Seconds for which a result in `state` is kept (``result_expires``, ``result_failure_expires``); None: no end."""
    conf = app.conf
    value = conf.get("result_expires")
    if state in states.PROPAGATE_STATES and conf.get("result_failure_expires") is not None:
        value = conf.get("result_failure_expires")
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return float(value) if value else None


def record(app: ConnectedApp, meta: ResultMeta, reply_to: str | None = None) -> Record:
    """A result as the store keeps it, encoded by the app's result settings.

    Args:
        app: whose settings count.
        meta: the result.
        reply_to: where the task's sender waits for it.

    Raises:
        EncodeError: the result cannot be serialised.
    """
    from skirret.wire import results as wire

    conf = app.conf
    payload = wire.encode(
        meta,
        serializer=conf.get("result_serializer") or "json",
        compression=conf.get("result_compression"),
        extended=bool(conf.get("result_extended")),
    )
    return Record(
        task_id=meta.task_id, state=meta.status, payload=payload, ttl=lifetime(app, meta.status), reply_to=reply_to
    )


def meta_of(
    request: Context | None, task_id: str, state: str, result: Any, *, traceback: str | None = None
) -> ResultMeta:
    """The result meta of a call in `state`, with what `request` knows of it."""
    if isinstance(result, BaseException) and traceback is None and result.__traceback__ is not None:
        traceback = "".join(tracebacks.format_exception(result))
    meta = ResultMeta(
        task_id=task_id,
        status=state,
        result=result,
        traceback=traceback,
        date_done=utc_now().isoformat() if state in states.READY_STATES else None,
    )
    if request is not None:
        meta.children = [child.as_tuple() if hasattr(child, "as_tuple") else child for child in request.children]
        meta.group_id, meta.parent_id = request.group, request.parent_id
        meta.name, meta.args, meta.kwargs = request.task, request.args, request.kwargs
        meta.worker, meta.retries = request.hostname, request.retries
        meta.queue = (request.delivery_info or {}).get("routing_key")
        meta.stamps = dict(request.stamps or {})
    return meta


def store_state(app: ConnectedApp, request: Context, task_id: str | None, state: str, meta: Any, **_: Any) -> None:
    """Store a state now.

    Raises:
        ValueError: no task runs here and no id was given.
        BackendError: the store cannot be written.
    """
    if not task_id:
        raise ValueError("update_state() needs a task_id outside of a running task")
    if not state:
        raise ValueError("update_state() needs a state, such as 'PROGRESS'")
    known = request if request.id == task_id else None
    app.backend.store([record(app, meta_of(known, task_id, state, meta), known.reply_to if known else None)])
