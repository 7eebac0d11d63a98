"""Runs a task in the caller's process as a worker would: real serialisation, hooks, signals, retries, callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skirret import context, states
from skirret.app.calling import checked
from skirret.app.lineage import hostname
from skirret.app.links import call_errbacks, call_links
from skirret.app.requests import request_of
from skirret.clock import monotonic
from skirret.coroutines import run_coroutine
from skirret.errors import ContentDisallowed, Ignore, Reject, Retry
from skirret.excinfo import ExceptionInfo
from skirret.message import Malformed
from skirret.request import Context
from skirret.results import EagerResult
from skirret.wire import task as wire


@dataclass(slots=True)
class Ending:
    """How a run ended: its state, what it left, and the error if there is one."""

    state: str
    value: Any
    error: ExceptionInfo | None = None
    seconds: float = 0.0


def apply(task: Any, args: Any, kwargs: Any, *, throw: bool | None, options: dict[str, Any]) -> EagerResult[Any]:
    """See ``Task.apply``."""
    app = task.app
    app.tasks  # noqa: B018  finalises the app, so that annotations count
    args, kwargs = checked(task, args, kwargs, options)
    throw = bool(app.conf.get("task_eager_propagates")) if throw is None else throw
    while True:
        request = _received(task, args, kwargs, options)
        ending = _run(task, request)
        if not isinstance(ending.value, Retry) or ending.value.sig is None:
            break
        # The next run, at once: a caller who waits here does not want to wait for a countdown too.
        signature = ending.value.sig
        args, kwargs = signature.args or (), signature.kwargs or {}
        options = dict(signature.options)
    if ending.error is not None and throw:
        raise ending.error.exception
    return EagerResult(
        request.id or "", ending.value, ending.state,
        traceback=None if ending.error is None else ending.error.traceback, name=task.name,
    )  # fmt: skip


def _received(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Any) -> Context:
    """The request as a worker would see it, after the message's way through the serializer."""
    app = task.app
    publisher = app.publisher
    composed, planned = publisher.compose(task.name, args, kwargs, task=task, options=options)
    envelope = publisher.encoded(composed, planned)
    message = wire.decode(envelope, accept=app.conf.get("accept_content"))
    if isinstance(message, Malformed):
        raise ContentDisallowed(f"a worker would refuse this message: {message.reason}")
    return request_of(
        message,
        delivery_info={
            "is_eager": True, "exchange": planned.route.exchange, "routing_key": planned.route.routing_key,
            "priority": message.priority, "redelivered": False,
        },
        hostname=hostname(),
        is_eager=True,
        loglevel=options.get("loglevel", 0),
        logfile=options.get("logfile"),
    )  # fmt: skip


def _run(task: Any, request: Context) -> Ending:
    args, kwargs, task_id = request.args, request.kwargs, request.id or ""
    hooks = task.app.middleware
    context.push_task(task, request)
    try:
        ending = _attempt(task, request)
        _after(task, request, ending)
        if ending.state not in {states.IGNORED, states.REJECTED, states.RETRY}:
            task.after_return(ending.state, ending.value, task_id, args, kwargs, ending.error)
        hooks.tell(hooks.after_run, task, request, ending.state, ending.value)
    finally:
        context.pop_task()
    return ending


def _attempt(task: Any, request: Context) -> Ending:
    began = monotonic()
    try:
        hooks = task.app.middleware
        hooks.tell(hooks.before_run, task, request, veto=True)
        task.before_start(request.id or "", request.args, request.kwargs)
        value = task.enter(request)
        if asyncio.iscoroutine(value):
            value = run_coroutine(value)
        value = _travelled(task, request, value)
    except Retry as exc:
        return Ending(states.RETRY, exc, ExceptionInfo.of(exc))
    except Ignore as exc:
        return Ending(states.IGNORED, exc)
    except Reject as exc:
        return Ending(states.REJECTED, exc)
    except Exception as exc:  # noqa: BLE001  whatever the task raises is its result
        return Ending(states.FAILURE, exc, ExceptionInfo.of(exc))
    return Ending(states.SUCCESS, value, seconds=monotonic() - began)


def _travelled(task: Any, request: Context, value: Any) -> Any:
    """The return value after its way through the result serializer, where results are kept."""
    if request.ignore_result:
        return value
    from skirret.serializers import dumps, loads

    name = task.app.conf.get("result_serializer") or "json"
    body_type, encoding, body = dumps(value, name, accept=[name])  # as a worker writes it: readers decide
    return loads(body, body_type, encoding, [body_type])


def _after(task: Any, request: Context, ending: Ending) -> None:
    args, kwargs, task_id = request.args, request.kwargs, request.id or ""
    hooks = task.app.middleware
    if ending.state == states.SUCCESS:
        call_links(task.app, request, ending.value)
        _store(task, request, ending)
        task.on_success(ending.value, task_id, args, kwargs)
        hooks.tell(hooks.succeeded, task, request, ending.value, ending.seconds)
    elif ending.state == states.RETRY and ending.error is not None:
        cause = ending.value.exc or ending.value
        task.on_retry(cause, task_id, args, kwargs, ending.error)
        hooks.tell(hooks.retried, task, request, ending.value, ending.error)
    elif ending.state == states.FAILURE and ending.error is not None:
        _store(task, request, ending)
        call_errbacks(task.app, request, ending.value, ending.error)
        task.on_failure(ending.value, task_id, args, kwargs, ending.error)
        hooks.tell(hooks.failed, task, request, ending.error, ending.seconds)


def _store(task: Any, request: Context, ending: Ending) -> None:
    kept = not request.ignore_result or (ending.error is not None and task.store_errors_even_if_ignored)
    if not task.store_eager_result or not kept:
        return
    from skirret.app.storing import meta_of, record

    traceback = None if ending.error is None else ending.error.traceback
    backend = task.app.backend
    backend.expect()
    meta = meta_of(request, request.id or "", ending.state, ending.value, traceback=traceback)
    backend.store([record(task.app, meta, backend.reply_to)])
