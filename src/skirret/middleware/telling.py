"""Calling hooks: in order, with vetoes only where they count, and coroutines awaited where a loop is at hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any, NamedTuple

from skirret import loggers
from skirret.coroutines import run_coroutine
from skirret.errors import SoftTimeLimitExceeded, TaskPredicate

logger = loggers.own("skirret.middleware")

Call = Callable[..., Any]


class Waiting(NamedTuple):
    """A call that waits behind a coroutine; one that is no `hook` may raise as it likes."""

    call: Call
    args: tuple[Any, ...]
    hook: bool = True
    veto: bool = False
    started: Coroutine[Any, Any, Any] | None = None


Waits = deque[Waiting]


def tell(calls: Sequence[Call], *args: Any, veto: bool = False) -> None:
    """Call hooks, and run those that are coroutines to their end.

    Args:
        calls: the hooks.
        *args: theirs.
        veto: whether a hook may raise a `TaskPredicate` to stop what is about to happen.

    Raises:
        TaskPredicate: a veto.
    """
    waits = begin(calls, args, veto=veto)
    if waits:
        run_coroutine(drain(waits))


async def atell(calls: Sequence[Call], *args: Any, veto: bool = False) -> None:
    """`tell` that awaits coroutines."""
    waits = begin(calls, args, veto=veto)
    if waits:
        await drain(waits)


def begin(
    calls: Sequence[Call], args: tuple[Any, ...], *, veto: bool = False, waits: Waits | None = None
) -> Waits | None:
    """Call hooks up to the first that is a coroutine; it and what follows waits for `drain`.

    Args:
        calls: the hooks.
        args: theirs.
        veto: as of `tell`.
        waits: what waits already; nothing may overtake it.

    Returns:
        What waits now; None or empty if nothing does.
    """
    for call in calls:
        if waits:
            waits.append(Waiting(call, args, veto=veto))
            continue
        try:
            answer = call(*args)
        except BaseException as exc:  # noqa: BLE001  a hook must not hurt anybody
            _judge(call, exc, veto)
            continue
        if isinstance(answer, CoroutineType):
            waits = deque([Waiting(call, args, veto=veto, started=answer)])
    return waits


async def drain(waits: Waits) -> None:
    """Carry out what waits, in order.

    Raises:
        BaseException: a veto, or whatever a call that is no hook raises; what still waits is dropped then.
    """
    try:
        while waits:
            waiting = waits.popleft()
            try:
                answer = waiting.started or waiting.call(*waiting.args)
                if isinstance(answer, CoroutineType):
                    await answer
            except BaseException as exc:
                if not waiting.hook:
                    raise
                _judge(waiting.call, exc, waiting.veto)
    finally:
        for waiting in waits:
            if waiting.started is not None:
                waiting.started.close()
        waits.clear()


def _judge(call: Call, exc: BaseException, veto: bool) -> None:
    """Raise what may count, log the rest."""
    if isinstance(exc, (KeyboardInterrupt, GeneratorExit)) or type(exc).__name__ == "CancelledError":
        raise exc
    if veto and isinstance(exc, (TaskPredicate, SoftTimeLimitExceeded)):
        raise exc
    logger.error("the hook %s raised %r; what it was told of goes on", _name(call), exc, exc_info=exc)


def _name(call: Call) -> str:
    owner = getattr(call, "__self__", None)
    name = getattr(call, "__name__", repr(call))
    return name if owner is None else f"{type(owner).__name__}.{name}"
