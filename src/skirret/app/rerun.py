"""Carries out ``Task.retry``: the next run's message is made, and the present run ends with `Retry`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from skirret.app.moments import eta_of
from skirret.app.retry import Again, Autoretry, decide
from skirret.errors import ImproperlyConfigured, Retry, TaskPredicate
from skirret.saferepr import argsrepr, kwargsrepr


def rerun(
    task: Any,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    *,
    exc: BaseException | None,
    throw: bool,
    eta: datetime | None,
    countdown: float | None,
    limit: int | None,
    options: dict[str, Any],
) -> Retry:
    """See ``Task.retry``."""
    request = task.request
    if request.called_directly:
        _raise(exc or Retry("the task was called directly, so there is nothing to run again", None))
    decision = decide(
        request.retries,
        limit=task.max_retries if limit is None else limit,
        default_delay=task.default_retry_delay,
        countdown=countdown,
        eta=eta,
    )
    if not isinstance(decision, Again):
        if exc is not None:
            _raise(exc)
        raise task.MaxRetriesExceededError(
            f"task {task.name}[{request.id}] used up its {decision.retries} retries; "
            f"args: {argsrepr(request.args or ())} kwargs: {kwargsrepr(request.kwargs or {})}",
            task_args=request.args,
            task_kwargs=request.kwargs,
        )
    when = decision.eta if decision.countdown is None else decision.countdown
    if request.is_eager:
        signature = task.signature_from_request(request, args, kwargs, retries=decision.retries, **options)
        again = Retry(exc=exc, when=when, is_eager=True, sig=signature)
        if not throw:
            signature.apply()
    else:
        moment = eta_of(decision.countdown, decision.eta)
        publication = task.app.publisher.again(
            task, request, args=args, kwargs=kwargs, due=None if moment is None else moment.timestamp(), **options
        )
        again = Retry(exc=exc, when=when, publication=publication)
        if not throw:
            request.outbox.append(publication)
    if throw:
        raise again
    return again


def _raise(exc: BaseException) -> NoReturn:
    # Where the task is handling an error, that error stays visible as the cause.
    handled = sys.exc_info()[1]
    if handled is None or handled is exc:
        raise exc
    raise exc from handled


def autoretry_of(task: Any) -> Autoretry | None:
    """The task's ``autoretry_for`` and its sisters as one value, or None if it has none.

    Raises:
        ImproperlyConfigured: one of them has the wrong kind.
    """
    classes = _classes(task, "autoretry_for")
    if not classes:
        return None
    backoff = task.retry_backoff
    return Autoretry(
        on=classes,
        never=_classes(task, "dont_autoretry_for"),
        options=task.retry_kwargs,
        backoff=max(1.0, float(backoff)) if backoff else 0.0,
        maximum=float(task.retry_backoff_max),
        jitter=bool(task.retry_jitter),
    )


def _classes(task: Any, attribute: str) -> tuple[type[BaseException], ...]:
    given: Any = getattr(task, attribute) or ()
    found = tuple(given) if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    wrong = [entry for entry in found if not (isinstance(entry, type) and issubclass(entry, BaseException))]
    if wrong:
        raise ImproperlyConfigured(f"{attribute} of task {task.name!r} must list exception classes, not {wrong[0]!r}")
    return found


def with_autoretry(task: Any) -> None:
    """Wrap the task's ``run`` so that listed exceptions lead to a retry; once."""
    policy = autoretry_of(task)
    if policy is None or "_plain_run" in task.__dict__:
        return
    plain = task.run
    task.__dict__["_plain_run"] = plain
    task.__dict__["run"] = _wrapped(task, plain, policy)


def _wrapped(task: Any, plain: Callable[..., Any], policy: Autoretry) -> Callable[..., Any]:
    passing: tuple[type[BaseException], ...] = (TaskPredicate, *policy.never)

    def settle(exc: BaseException) -> NoReturn:
        raise task.retry(exc=exc, **policy.arguments(task.request.retries))

    if task.is_async:

        @functools.wraps(plain)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            try:
                return await plain(*args, **kwargs)
            except passing:
                raise
            except policy.on as exc:
                settle(exc)

        return arun

    @functools.wraps(plain)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return plain(*args, **kwargs)
        except passing:
            raise
        except policy.on as exc:
            settle(exc)

    return run
