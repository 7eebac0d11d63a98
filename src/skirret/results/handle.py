"""What the result store says about one task: the half of AsyncResult that looks and never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

from skirret import context, states
from skirret.backends.base import ResultBackend
from skirret.meta import ResultMeta
from skirret.results.base import R, ResultBase
from skirret.results.protocol import ResultApp, app_in_use
from skirret.results.raising import fresh, remote_error
from skirret.results.reader import ResultReader, reader_of
from skirret.results.then import Then
from skirret.results.tuples import result_from_tuple

T = TypeVar("T")


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """``call(*args)`` in a thread of the event loop's executor: for one short look, never for a wait."""
    import asyncio  # a heavy import that synchronous callers do not need

    return await asyncio.to_thread(call, *args)


def leaves(result: ResultBase) -> Iterator[TaskHandle[Any]]:
    """The results of single tasks in `result`: itself, or the leaves of a group's members."""
    if isinstance(result, TaskHandle):
        yield result
    else:
        for member in result.children or ():
            yield from leaves(member)


class TaskHandle(ResultBase, Generic[R]):
    """One task, seen through its result store; compares equal to its id and to other handles of the same task.

    Args:
        id: the task's id.
        backend: the result store to read; by default the app's.
        task_name: ignored; Celery's signature has it.
        app: the app whose settings and backend are used; by default the current one.
        parent: the result that this one follows in a chain.
    """

    def __init__(
        self,
        id: str,
        backend: ResultBackend | None = None,
        task_name: str | None = None,
        app: ResultApp | None = None,
        parent: ResultBase | None = None,
    ) -> None:
        if id is None:
            raise ValueError("AsyncResult needs the id of a task, and got None.")
        self.id = id
        self.parent = parent
        self.ignored = False
        self._app: ResultApp | None = app if app is not None else context.current_app()
        self._backend = backend
        self._reader: ResultReader | None = None
        self._meta: ResultMeta | None = None
        self._children: list[ResultBase] | None = None

    # --- where the result is

    @property
    def app(self) -> ResultApp:
        """The app that this result belongs to."""
        return app_in_use(self._app)

    @app.setter
    def app(self, app: ResultApp) -> None:
        self._app, self._reader = app, None

    @property
    def backend(self) -> ResultBackend:
        """The store that holds the result."""
        return self._backend if self._backend is not None else self.app.backend

    @property
    def reader(self) -> ResultReader:
        """Reads the store in this process."""
        if self._backend is None:
            return self.app.reader  # not kept: a forked child has another
        if self._reader is None:
            self._reader = reader_of(self._backend, self._conf())
        return self._reader

    @property
    def bound_app(self) -> ResultApp | None:
        """The app given or found when the handle was made, or None."""
        return self._app

    def _conf(self) -> Any:
        return None if self._app is None else self._app.conf

    @property
    def task_id(self) -> str:
        """The task's id; Celery's older name of `id`."""
        return self.id

    @task_id.setter
    def task_id(self, task_id: str) -> None:
        self.id = task_id

    # --- looking

    def known(self) -> ResultMeta | None:
        """The result meta if this handle has seen the task finished; asks nobody."""
        return self._meta

    def keep(self, meta: ResultMeta) -> ResultMeta:
        """Remember `meta` if it is final."""
        if meta.status in states.READY_STATES:
            self._meta = meta
        return meta

    def meta(self) -> ResultMeta:
        """The result meta as it is now; see ``ResultReader.meta``."""
        return self._meta if self._meta is not None else self.keep(self.reader.meta(self.id))

    async def ameta(self) -> ResultMeta:
        """As `meta`, without blocking the event loop."""
        return self._meta if self._meta is not None else await in_thread(self.meta)

    @property
    def state(self) -> str:
        """The task's state, such as PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED or one of its own.

        PENDING also means that the store knows nothing about the task; see `exists`.
        """
        return self.meta().status

    status = state

    async def astate(self) -> str:
        """As `state`, without blocking the event loop."""
        return (await self.ameta()).status

    @property
    def result(self) -> Any:
        """The return value, the exception of a failed task, or the meta of a custom state; None while pending."""
        return self.meta().result

    info = result

    @property
    def traceback(self) -> str | None:
        """The worker's traceback of a failed task, as text."""
        return self.meta().traceback

    @property
    def children(self) -> list[ResultBase] | None:
        """The results of the tasks that this one started, or None where that is not known (yet)."""
        if self._children is not None:
            return self._children
        plain = self.meta().children
        if plain is None:
            return None
        children = [result_from_tuple(child, self._app) for child in plain]
        if self._meta is not None:
            self._children = children
        return children

    def ready(self) -> bool:
        """Whether the task is finished: SUCCESS, FAILURE or REVOKED."""
        return self.state in states.READY_STATES

    async def aready(self) -> bool:
        """As `ready`, without blocking the event loop."""
        return await self.astate() in states.READY_STATES

    def successful(self) -> bool:
        """Whether the task succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether the task failed."""
        return self.state == states.FAILURE

    def exists(self) -> bool:
        """Whether the store knows anything about the task: tells waiting tasks from unknown and forgotten ids.

        A task that nobody has begun is unknown to the store too, unless it tracks earlier states.
        """
        return self.reader.exists(self.id)

    async def aexists(self) -> bool:
        """As `exists`, without blocking the event loop."""
        return await in_thread(self.exists)

    # --- what result_extended adds

    @property
    def name(self) -> str | None:
        """The task's name, if results are stored with ``result_extended``."""
        return self.meta().name

    @property
    def args(self) -> Any:
        """The task's positional arguments (``result_extended``)."""
        return self.meta().args

    @property
    def kwargs(self) -> Any:
        """The task's keyword arguments (``result_extended``)."""
        return self.meta().kwargs

    @property
    def worker(self) -> str | None:
        """The node that ran the task (``result_extended``)."""
        return self.meta().worker

    @property
    def queue(self) -> str | None:
        """The queue that the task came from (``result_extended``)."""
        return self.meta().queue

    @property
    def retries(self) -> int | None:
        """How often the task was retried (``result_extended``)."""
        return self.meta().retries

    @property
    def date_done(self) -> datetime | None:
        """When the task finished, or None."""
        done: Any = self.meta().date_done
        return datetime.fromisoformat(done) if isinstance(done, str) else done

    # --- the value

    def throw(self, exc: BaseException | None = None, *_: Any) -> None:
        """Raise `exc`, or by default the exception of the failed task."""
        if exc is not None:
            raise fresh(exc)
        self.reraise()

    def reraise(self, propagate: bool = True, callback: Callable[[str, R], object] | None = None) -> R:
        """Raise the task's exception if it failed or was revoked; otherwise return its value as it is now.

        Args:
            propagate: false returns the exception instead.
            callback: called with ``(task_id, value)`` before returning.
        """
        return self._value(self.meta(), propagate, callback)

    maybe_throw = maybe_reraise = reraise

    def _value(self, meta: ResultMeta, propagate: bool, callback: Callable[[str, R], object] | None) -> R:
        if propagate and meta.status in states.PROPAGATE_STATES:
            raise remote_error(meta)
        value: R = meta.result
        if callback is not None:
            callback(self.id, value)
        return value

    def then(
        self,
        callback: Callable[[TaskHandle[R]], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> TaskHandle[R]:
        """Call `callback` with this result once it is ready, in whatever ready state.

        It runs in the reader's thread, beside which nothing else is delivered: keep it short. If the result is known
        already it runs at once, here.

        Args:
            callback: called with this result.
            on_error: called with the exception too if the task failed or was revoked, or if `callback` raised.
            weak: hold `callback` weakly.

        Returns:
            This result.
        """
        Then(self, callback, on_error, weak=weak).start()
        return self

    # --- what may be done with it

    def forget(self) -> None:
        """Delete the result and those of its parents."""
        self._meta = self._children = None
        self.reader.forget([self.id])
        if self.parent is not None:
            self.parent.forget()

    async def aforget(self) -> None:
        """As `forget`, without blocking the event loop."""
        await in_thread(self.forget)

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Tell all workers not to run the task.

        Args:
            connection: accepted for Celery's sake.
            terminate: stop it too if it is running.
            signal: what to stop it with; SIGTERM by default.
            wait: wait for the workers' replies.
            timeout: seconds to wait for them.
        """
        return self.app.revoke(self.id, terminate=terminate, signal=signal or "SIGTERM", wait=wait, timeout=timeout)

    async def arevoke(self, terminate: bool = False, signal: str | int | None = None) -> Any:
        """As `revoke`, without blocking the event loop."""
        return await in_thread(lambda: self.revoke(terminate=terminate, signal=signal))

    # --- as a value

    @property
    def supports_native_join(self) -> bool:
        """Whether many results can be waited for at once; always."""
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TaskHandle):
            return bool(self.id == other.id)
        if isinstance(other, str):
            return self.id == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __copy__(self) -> Any:
        twin = type(self)(self.id, self._backend, None, self._app, self.parent)
        twin.ignored = self.ignored
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither app nor backend travels: the process that unpickles it uses its own.
        return type(self), (self.id, None, None, None, self.parent)
