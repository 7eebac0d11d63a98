"""Makes tasks of functions: what ``@app.task`` and ``@shared_task`` do."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from skirret import context
from skirret.app.caller import user_frame
from skirret.app.current import Proxy, app_or_default, living_apps
from skirret.app.rerun import with_autoretry
from skirret.app.task import AsyncTask, Task
from skirret.app.task_app import TaskApp
from skirret.errors import DuplicateTaskNameWarning

P = ParamSpec("P")
R = TypeVar("R")

_NOT_ATTRIBUTES = frozenset(
    {"shared", "filter", "lazy", "pydantic", "pydantic_strict", "pydantic_context", "pydantic_dump_kwargs", "bind"}
)

KEYS = frozenset({"concurrency_key", "unique"})
"""Attributes that may be functions of a call's arguments."""


class Declare(Protocol):
    """What ``@app.task(...)`` returns: makes a task of a function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class DeclareBound(Protocol):
    """What ``@app.task(bind=True, ...)`` returns: the function's first parameter is the task itself."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


def make_task(
    app: TaskApp,
    function: Callable[..., Any],
    *,
    name: str | None = None,
    base: type[Task[..., Any]] | None = None,
    bind: bool = False,
    **options: Any,
) -> Task[..., Any]:
    """The task of a function, registered in `app`.

    Args:
        app: whose task it is.
        function: what it runs; a coroutine function is welcome.
        name: what messages call it; by default ``module.function``.
        base: its class.
        bind: pass the task itself as the first argument.
        **options: attributes of the task, and those of ``pydantic=True``.

    Returns:
        The new task; or the one that is registered under this name, if it is the same function or an earlier one.
    """
    if isinstance(function, (Task, Proxy)):
        raise TypeError(f"{function!r} is a task already; decorate a function once")
    if not callable(function):
        raise TypeError(f"a task is made of a function, not of {function!r}")
    label = getattr(function, "__name__", type(function).__name__)
    task_name = name or app.gen_task_name(label, getattr(function, "__module__", None))
    known: Task[..., Any] | None = app.registry.get(task_name)
    if known is not None:
        _warn_if_other(app, task_name, known, function)
        return known
    run, models = function, None
    if options.get("pydantic"):
        from skirret.app.pydantic_models import PydanticModels

        models = PydanticModels(
            app, function, task_name, bind=bind,
            strict=bool(options.get("pydantic_strict", False)),
            context=options.get("pydantic_context"),
            dump_kwargs=options.get("pydantic_dump_kwargs"),
        )  # fmt: skip
        run = models.wrapped()
    cls = _task_class(app, function, run, base or app.task_class(), label, bind=bind, options=options)
    task: Task[..., Any] = cls()
    task.name = task_name
    task._pydantic = models  # noqa: SLF001
    install(app, task)
    return task


def _task_class(
    app: TaskApp,
    function: Callable[..., Any],
    run: Callable[..., Any],
    base: type[Task[..., Any]],
    label: str,
    *,
    bind: bool,
    options: Mapping[str, Any],
) -> type[Task[..., Any]]:
    attributes: dict[str, Any] = {
        name: value for name, value in options.items() if name not in _NOT_ATTRIBUTES and value is not None
    }
    for name in KEYS & attributes.keys():
        if inspect.isfunction(attributes[name]):  # of the arguments alone: it must not become a method
            attributes[name] = staticmethod(attributes[name])
    if "max_retries" in options:  # here None has a meaning: without end
        attributes["max_retries"] = options["max_retries"]
    attributes.update(
        run=run if bind else staticmethod(run),
        abstract=False,
        _app=app,
        __doc__=function.__doc__,
        __module__=getattr(function, "__module__", None) or "__main__",
        __qualname__=getattr(function, "__qualname__", label),
        __wrapped__=function if bind else staticmethod(function),
        is_async=inspect.iscoroutinefunction(function),
    )
    return type(label, (base,), attributes)


def install(app: TaskApp, task: Task[..., Any]) -> None:
    """Register a task that has its name: retries wrapped, annotations applied if the app is final, bound."""
    app.registry[task.name] = task
    with_autoretry(task)
    task.bind(app)
    if app.finalized:
        task.annotated()


def _origin(function: Any) -> tuple[Any, Any]:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (getattr(function, "__qualname__", None), getattr(code, "co_filename", None))


def _warn_if_other(app: TaskApp, name: str, known: Task[..., Any], function: Callable[..., Any]) -> None:
    run = known.__dict__.get("_plain_run", known.run)
    existing = getattr(run, "__func__", run)
    # The same function may arrive twice: a module that is imported as __main__ and by its name.
    if existing is function or _origin(existing) == _origin(function) or name in app.duplicates:
        return
    app.duplicates.add(name)
    warnings.warn(
        f"two functions are registered as task {name!r}: {_place(existing)} and {_place(function)}. The first one "
        "stays; calls of the second run the first. Give one of them a name= of its own.",
        DuplicateTaskNameWarning,
        stacklevel=user_frame()[1],
    )


def _place(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}{where}"


@overload
def shared_task(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(*, bind: Literal[True], **options: Any) -> DeclareBound: ...
@overload
def shared_task(*, bind: Literal[False] = False, **options: Any) -> Declare: ...
def shared_task(function: Any = None, **options: Any) -> Any:
    """Make a task of a function without naming an app: every app has it, and the current one is used at each call.

    Args:
        function: when used without parentheses.
        **options: as of ``Skirret.task``.
    """

    def share(function: Callable[..., Any]) -> Any:
        if isinstance(function, (Task, Proxy)):
            raise TypeError(f"{function!r} is a task already; decorate a function once")

        def register(app: TaskApp) -> Task[..., Any]:
            return make_task(app, function, **options)

        context.add_shared_task(register)
        # Apps that are final already hear of it now, all others when they are finalised.
        for app in living_apps():
            if app.finalized:
                register(app)
        label = getattr(function, "__name__", type(function).__name__)
        module = getattr(function, "__module__", None)

        def find() -> Any:
            app = app_or_default()
            return app.tasks[options.get("name") or app.gen_task_name(label, module)]

        return Proxy(find, f"shared task {label}")

    return share(function) if function is not None else share
