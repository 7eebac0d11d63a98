"""A task: a function that can be called now, later and elsewhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, cast

from skirret import context, errors
from skirret.app.arguments import Arguments
from skirret.app.attributes import drop_unsaid, from_settings, said
from skirret.app.calling import acall, call
from skirret.app.current import app_or_default
from skirret.app.hooks import TaskHooks
from skirret.app.task_app import TaskApp
from skirret.app.task_limits import TaskLimits
from skirret.app.voice import TaskVoice
from skirret.options import TASK_ATTRIBUTES
from skirret.request import Context

if TYPE_CHECKING:
    from skirret.canvas import Signature
    from skirret.results import AsyncResult, EagerResult

P = ParamSpec("P")
R = TypeVar("R")


class Task(TaskLimits, TaskHooks, TaskVoice, Generic[P, R]):
    """One task of one app; there is one instance of it in a process.

    Subclass it for shared behaviour (``@app.task(base=...)``) or for a class task with a ``run`` of its own
    (``app.register_task``). Attributes are Celery's; None is "as the settings say".
    """

    name: str = ""
    """What messages call it."""
    abstract: ClassVar[bool] = True
    typing: bool = True
    """Check arguments against the signature at the call."""
    max_retries: int | None = 3
    """Retries after the first run; None is without end."""
    default_retry_delay: float = 180
    """Seconds before a retry that does not say."""
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] | None = None
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    ignore_result: bool | None = from_settings("task_ignore_result")
    store_errors_even_if_ignored: bool | None = from_settings("task_store_errors_even_if_ignored")
    store_eager_result: bool | None = from_settings("task_store_eager_result")
    trail: bool = True
    """Remember in its result what it started."""
    send_events: bool = True
    serializer: str | None = from_settings("task_serializer")
    compression: str | None = from_settings("task_compression")
    time_limit: float | None = from_settings("task_time_limit")
    soft_time_limit: float | None = from_settings("task_soft_time_limit")
    track_started: bool | None = from_settings("task_track_started")
    acks_late: bool | None = from_settings("task_acks_late")
    acks_on_failure: bool | None = from_settings("task_acks_on_failure")
    acks_on_timeout: bool | None = from_settings("task_acks_on_timeout")
    acks_on_failure_or_timeout: bool | None = from_settings("task_acks_on_failure_or_timeout")
    reject_on_worker_lost: bool | None = from_settings("task_reject_on_worker_lost")
    retry_on_worker_lost: bool | None = from_settings("task_retry_on_worker_lost")
    throws: tuple[type[BaseException], ...] = ()
    """Errors that are expected: logged without a traceback."""
    expires: float | datetime | None = None
    priority: int | None = from_settings("task_default_priority")
    resultrepr_maxsize: int = 1024
    queue: str | None = None
    exchange: str | None = None
    exchange_type: str | None = None
    routing_key: str | None = None
    delivery_mode: int | str | None = None
    is_async: bool = False
    """Whether ``run`` is a coroutine function."""

    MaxRetriesExceededError = errors.MaxRetriesExceededError
    OperationalError = errors.OperationalError

    names_shadows: bool = False
    """Whether ``shadow_name`` says something."""
    _annotated: bool = False
    _app: TaskApp | None = None
    _arguments: Arguments | None = None
    _pydantic: Any = None

    run: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        drop_unsaid(cls)
        if "shadow_name" in cls.__dict__:
            cls.names_shadows = True
        run = cls.__dict__.get("run")
        if run is not None:
            cls.is_async = inspect.iscoroutinefunction(run.__func__ if isinstance(run, staticmethod) else run)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_kept_plan", None)
        self.__dict__.pop("_kept_options", None)
        self.__dict__.pop("_kept_manner", None)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:

        def run(self, *args: Any, **kwargs: Any) -> Any:
            """What the task does; subclasses say it."""
            raise NotImplementedError(f"task {self.name or type(self).__name__!r} must define run()")

    def annotated(self) -> None:
        """Apply what ``task_annotations`` says of this task, once: at its first use, when the settings are complete."""
        if not self._annotated:
            self._annotated = True
            self.app.annotate(self)

    @property
    def __name__(self) -> str:
        return type(self).__qualname__.rpartition(".")[2]

    @property
    def app(self) -> TaskApp:
        """The app that the task belongs to; the current one if none was said."""
        return self._app or cast("TaskApp", app_or_default())

    @app.setter
    def app(self, app: TaskApp) -> None:
        self._app = app

    def bind(self, app: TaskApp) -> None:
        """Make the task the app's; `on_bound` hears of it."""
        self._app = app
        self.on_bound(app)

    # -- calling -------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run here and now, as an ordinary function; an ``async def`` task gives its coroutine."""
        request = context.current_request()
        if request is not None and request.awaits_call and context.current_task() is self:
            request.awaits_call = False
            return cast("R", self.run(*args, **kwargs))
        if self.is_async:
            return cast("R", self._call_async(*args, **kwargs))
        context.push_task(self, Context(task=self.name, args=args, kwargs=kwargs))
        try:
            return cast("R", self.run(*args, **kwargs))
        finally:
            context.pop_task()

    async def _call_async(self, *args: Any, **kwargs: Any) -> Any:
        context.push_task(self, Context(task=self.name, args=args, kwargs=kwargs))
        try:
            return await self.run(*args, **kwargs)
        finally:
            context.pop_task()

    def enter(self, request: Context) -> Any:
        """Run a call that a worker made current: ``run``, through a ``__call__`` of the task's own if it has one."""
        if type(self).__call__ is Task.__call__:
            return self.run(*request.args, **request.kwargs)
        request.awaits_call = True
        called: Any = self
        return called(*request.args, **request.kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send a call with these arguments and no options: ``apply_async(args, kwargs)``."""
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """`delay` without blocking the event loop; concurrent calls share the broker's round trips."""
        return await self.aapply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Send a call.

        Args:
            args, kwargs: the task's arguments.
            **options: ``countdown`` (seconds), ``eta`` (datetime; a naive one is system local time), ``expires``
                (seconds or datetime), ``priority`` (0 to 9, 9 first), ``queue``, ``exchange``, ``routing_key``,
                ``serializer``, ``compression``, ``headers``, ``task_id``, ``link``, ``link_error``, ``shadow``,
                ``ignore_result``, ``time_limit`` and ``soft_time_limit`` (seconds), ``add_to_parent``, ``retry``,
                ``retry_policy`` and the rest of Celery's; ``unique``, ``unique_for`` and ``unique_until`` as the
                task's attributes.

        Returns:
            A handle of the result. Of a unique task of which a call with the same key is under way, that call's:
            nothing is sent.

        Raises:
            TypeError: the arguments do not fit the task's signature, or an option is misspelt.
            EncodeError: an argument cannot be serialised.
            OperationalError: the broker cannot be reached.
        """
        return cast("AsyncResult[R]", call(self, args, kwargs, options))

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """`apply_async` without blocking the event loop; concurrent calls share the broker's round trips."""
        return cast("AsyncResult[R]", await acall(self, args, kwargs, options))

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run here and now as a worker would: arguments and result pass through the serializer, hooks and retries run.

        Args:
            args, kwargs: the task's arguments.
            throw: raise what the task raises; None is ``task_eager_propagates``.
            **options: as of `apply_async`; delays are not waited for.
        """
        from skirret.app.eager import apply

        return cast("EagerResult[R]", apply(self, args, kwargs, throw=throw, options=options))

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> errors.Retry:
        """Ask for another run of this call; with `throw` it raises `Retry` and does not return.

        Args:
            args, kwargs: instead of the present ones.
            exc: why; raised when the retries are used up.
            throw: raise `Retry`; else return it, so that the task may finish first.
            eta: the moment of the next run.
            countdown: seconds until the next run; by default ``default_retry_delay``.
            max_retries: instead of the task's.
            **options: further options of ``apply_async``.

        Raises:
            Retry: the run is planned.
            MaxRetriesExceededError: no retries are left and `exc` was not given.
        """
        from skirret.app.rerun import rerun

        return rerun(
            self, args, kwargs, exc=exc, throw=throw, eta=eta, countdown=countdown, limit=max_retries, options=options
        )

    def check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError if the task cannot be called so."""
        if self._arguments is None:
            self._arguments = Arguments(self.run, self.name)
        self._arguments.check(args, kwargs)

    def sending_options(self) -> dict[str, Any]:
        """The options that the task itself says, by their names in ``apply_async``; settings are not among them."""
        kept: dict[str, Any] | None = self.__dict__.get("_kept_options")
        if kept is None:
            spoken = {name: said(self, name) for name in TASK_ATTRIBUTES}
            kept = {name: value for name, value in spoken.items() if value is not None}
            self.__dict__["_kept_options"] = kept
        return kept

    # -- signatures ----------------------------------------------------------------------------------------------

    def signature(self, args: Sequence[Any] | None = None, *starargs: Any, **starkwargs: Any) -> Signature[R]:
        """A call of this task as a value: arguments and options to be completed, passed on, sent later."""
        from skirret.canvas import signature

        starkwargs.setdefault("app", self.app)
        return signature(self, args, *starargs, **starkwargs)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A signature with these arguments."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A signature that takes no further arguments from what it follows."""
        return self.signature(args, kwargs, immutable=True)

    def signature_from_request(
        self,
        request: Context | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Signature[R]:
        """The signature that would repeat a request's call (default: the running one's)."""
        from skirret.app.preparation import repeat_options

        request = self.request if request is None else request
        return self.signature(
            request.args if args is None else args,
            request.kwargs if kwargs is None else kwargs,
            **repeat_options(request, changes),
        )

    subtask_from_request = signature_from_request

    # -- the running call ----------------------------------------------------------------------------------------

    @property
    def request(self) -> Context:
        """The call of this task that runs here; an empty one outside of a run."""
        for task, request in reversed(context.task_stack()):
            if task is self:
                return cast("Context", request)
        return Context()

    def push_request(self, *args: Any, **kwargs: Any) -> None:
        """Pretend to run a call with these request fields; for tests."""
        request = Context()
        request.update(*args, **kwargs)
        context.push_task(self, request)

    def pop_request(self) -> None:
        """End what `push_request` began."""
        context.pop_task()

    def add_trail(self, result: Any) -> Any:
        """Remember that the running call started `result`."""
        if self.trail:
            self.request.children.append(result)
        return result

    def AsyncResult(self, task_id: str, **options: Any) -> AsyncResult[R]:  # noqa: N802  Celery's public name
        """The handle of one of this task's results."""
        return cast("AsyncResult[R]", self.app.AsyncResult(task_id, task_name=self.name, **options))

    @property
    def backend(self) -> Any:
        """The app's result store."""
        return self.app.backend

    def __reduce__(self) -> Any:
        from skirret.app.current import task_by_name

        return task_by_name, (self.name,)

    def __repr__(self) -> str:
        return f"<@task: {self.name or type(self).__name__}>"


class AsyncTask(Task[P, R]):
    """A task made of an ``async def`` function, for type checkers: calling it directly gives a coroutine."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
            """The coroutine of the function."""
