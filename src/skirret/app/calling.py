"""Carries out ``apply_async``: checks, prepares, sends, and hands out the handle of the result."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from skirret.app.caller import user_frame
from skirret.app.lineage import worker_call
from skirret.errors import AlwaysEagerIgnored
from skirret.message import Publication
from skirret.results import AsyncResult

_SENDING = ("retry", "retry_policy")


def checked(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a call, looked over.

    Raises:
        TypeError: they do not fit the task's signature, or are no sequence and mapping.
    """
    if not task.app.finalized:
        task.app.finalize(auto=True)
    if args is None:
        args = ()
    elif not isinstance(args, (tuple, list)):
        if isinstance(args, (str, bytes, Mapping, AbstractSet)) or not hasattr(args, "__iter__"):
            raise TypeError(f"args must be a list or tuple of the task's arguments, not {args!r}")
        args = tuple(args)
    if kwargs is None:
        kwargs = {}
    elif not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs must be a mapping of the task's keyword arguments, not {kwargs!r}")
    if task.typing and task.app.strict_typing:
        task.check_arguments(args, kwargs)
    if task._pydantic is not None:  # noqa: SLF001
        args, kwargs = task._pydantic.dump_arguments(args, kwargs)  # noqa: SLF001
    if task.names_shadows and "shadow" not in options:
        options["shadow"] = task.shadow_name(args, kwargs, options)
    return args, kwargs


def call(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Send one call; the handle of its result."""
    args, kwargs = checked(task, args, kwargs, options)
    publisher = task.app.publisher
    if publisher.view.always_eager:
        return task.apply(args, kwargs, **options)
    if task.unique is not None or "unique" in options:
        return _call_once(task.app, task, task.name, args, kwargs, options)
    if options:
        publication = publisher.prepare(task.name, args, kwargs, task=task, **options)
        publisher.send((publication,), **_how(options))
    else:
        publication = publisher.prepare(task.name, args, kwargs, task=task)
        publisher.send((publication,))
    return handle(task.app, publication, task.name, options)


async def acall(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """`call` for coroutines."""
    args, kwargs = checked(task, args, kwargs, options)
    publisher = task.app.publisher
    if publisher.view.always_eager:
        import asyncio  # a heavy import that synchronous callers do not need

        return await asyncio.to_thread(task.apply, args, kwargs, **options)
    if is_unique(task, options):
        return await _acall_once(task, args, kwargs, options)
    publication = await publisher.aprepare(task.name, args, kwargs, task=task, **options)
    await publisher.asend((publication,), **_how(options))
    return handle(task.app, publication, task.name, options)


def is_unique(task: Any, options: Mapping[str, Any]) -> bool:
    """Whether a call is to be the only one of its key."""
    said = options["unique"] if "unique" in options else getattr(task, "unique", None)
    return said is not None and said is not False


def _call_once(app: Any, task: Any, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Send a call unless one with its key is under way."""
    if not is_unique(task, options):
        publication = app.publisher.prepare(name, args, kwargs, task=task, **options)
        app.publisher.send((publication,), **_how(options))
        return handle(app, publication, name, options)
    from skirret.app.uniqueness import claim  # only those need it who ask for it

    once = claim(app, task, name, args, kwargs, options)
    if not once.is_first:
        return AsyncResult(once.owner, app=app, task_name=name)
    try:
        publication = app.publisher.prepare(name, args, kwargs, task=task, **options)
        app.publisher.send((publication,), **_how(options))
    except Exception:  # whoever interrupts it, cannot know whether it was sent: then the key stays
        once.give_up()
        raise
    return handle(app, publication, name, options)


async def _acall_once(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    import asyncio

    from skirret.app.uniqueness import claim

    app, name = task.app, task.name
    once = await asyncio.to_thread(claim, app, task, name, args, kwargs, options)
    if not once.is_first:
        return AsyncResult(once.owner, app=app, task_name=name)
    try:
        publication = await app.publisher.aprepare(name, args, kwargs, task=task, **options)
        await app.publisher.asend((publication,), **_how(options))
    except Exception:
        await asyncio.to_thread(once.give_up)
        raise
    return handle(app, publication, name, options)


def _how(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _SENDING if options.get(name) is not None}


def handle(app: Any, publication: Publication, name: str, options: Mapping[str, Any]) -> Any:
    """The handle of a sent call, remembered by the running task that sent it."""
    kind = options.get("result_cls") or AsyncResult
    result = kind(publication.task_id, app=app, task_name=name)
    # Nobody will store it: without this mark, `get` would wait for ever.
    result.ignored = bool(publication.envelope.headers.get("ignore_result"))
    running = worker_call()
    if running is not None and options.get("add_to_parent", True):
        task, request = running
        if task is None or task.trail:
            request.children.append(result)
    return result


def call_by_name(app: Any, name: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """See ``Skirret.send_task``."""
    if not isinstance(name, str):
        raise TypeError(f"send_task() needs the name of a task, not {name!r}")
    publisher = app.publisher
    if publisher.view.always_eager:
        warnings.warn(
            "task_always_eager does not apply to send_task(), which sends by name: the task was sent to the broker",
            AlwaysEagerIgnored,
            stacklevel=user_frame()[1],
        )
    # The registry, not app.tasks: sending by name must not finalise the app.
    task = app.registry.get(name)
    return _call_once(app, task, name, args or (), kwargs or {}, options)


MANY = 1_000
"""Messages of one batch of ``send_many``."""


def call_many(app: Any, calls: Iterable[Any]) -> list[Any]:
    """See ``Skirret.send_many``."""
    publisher = app.publisher
    results: list[Any] = []
    remaining = iter(calls)
    while batch := list(itertools.islice(remaining, MANY)):
        taken: list[Any] = []
        try:
            publications, handles = _prepared(app, batch, taken)
            publisher.send(publications)
        except Exception:
            for once in taken:
                once.give_up()
            raise
        results += handles
    return results


def _prepared(app: Any, batch: Iterable[Any], taken: list[Any]) -> tuple[list[Publication], list[Any]]:
    """The messages of a batch and the handles of all its calls; keys that it took are added to `taken`."""
    publisher = app.publisher
    publications: list[Publication] = []
    handles: list[Any] = []
    for signature in batch:
        name = signature["task"]
        task = app.tasks.get(name)
        args, kwargs = signature.get("args") or (), signature.get("kwargs") or {}
        options = dict(signature.get("options") or {})
        if task is not None:
            args, kwargs = checked(task, args, kwargs, options)
            if publisher.view.always_eager:
                handles.append(task.apply(args, kwargs, **options))
                continue
        if is_unique(task, options):
            from skirret.app.uniqueness import claim

            once = claim(app, task, name, args, kwargs, options)
            if not once.is_first:
                handles.append(AsyncResult(once.owner, app=app, task_name=name))
                continue
            taken.append(once)
        publications.append(publisher.prepare(name, args, kwargs, task=task, **options))
        handles.append(handle(app, publications[-1], name, options))
    return publications, handles
