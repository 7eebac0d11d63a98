"""ResultSet: several results held together, to be looked at and waited for as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from skirret import context, states
from skirret.meta import ResultMeta
from skirret.results.base import ResultBase
from skirret.results.gathering import Gathering
from skirret.results.handle import TaskHandle, in_thread, leaves
from skirret.results.joining import assert_will_not_block
from skirret.results.plain import plain
from skirret.results.protocol import ResultApp, app_in_use


class ResultSet(ResultBase):
    """Several results in order.

    Args:
        results: handles of tasks and groups.
        app: by default the first member's, else the current one.
    """

    def __init__(self, results: Iterable[ResultBase] | None = None, app: ResultApp | None = None) -> None:
        self.results: list[ResultBase] = list(results or ())
        self._app = app

    @property
    def app(self) -> ResultApp:
        """The app that the results belong to."""
        if self._app is None:
            first = next(leaves(self), None)
            self._app = app_in_use(context.current_app() if first is None else first.bound_app)
        return self._app

    @app.setter
    def app(self, app: ResultApp) -> None:
        self._app = app

    @property
    def backend(self) -> Any:
        """The store that holds the results."""
        return self.app.backend

    # --- members

    def add(self, result: ResultBase) -> None:
        """Add a member, unless it is one."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: ResultBase | str) -> None:
        """Remove a member, given as handle or id.

        Raises:
            KeyError: it is no member.
        """
        try:
            self.results.remove(next(member for member in self.results if member == result))
        except StopIteration:
            raise KeyError(result) from None

    def discard(self, result: ResultBase | str) -> None:
        """Remove a member if it is one."""
        if result in self.results:
            self.remove(result)

    def update(self, results: Iterable[ResultBase]) -> None:
        """Add members that are not in it yet."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Remove all members."""
        self.results.clear()

    @property
    def children(self) -> list[ResultBase] | None:
        """The members."""
        return self.results

    # --- looking

    def metas(self) -> dict[str, ResultMeta]:
        """The result metas of all tasks in here, by id, with one look at the store."""
        known: dict[str, ResultMeta] = {}
        asked: dict[Any, dict[str, TaskHandle[Any]]] = {}
        for leaf in leaves(self):
            meta = leaf.known()
            if meta is not None:
                known[leaf.id] = meta
            else:
                asked.setdefault(leaf.reader, {})[leaf.id] = leaf
        for reader, handles in asked.items():
            for task_id, meta in reader.metas(list(handles)).items():
                known[task_id] = handles[task_id].keep(meta)
        return known

    def _states(self) -> list[str]:
        return [meta.status for meta in self.metas().values()]

    def ready(self) -> bool:
        """Whether all are finished."""
        return all(state in states.READY_STATES for state in self._states())

    async def aready(self) -> bool:
        """As `ready`, without blocking the event loop."""
        return await in_thread(self.ready)

    def waiting(self) -> bool:
        """Whether any is not finished."""
        return not self.ready()

    def successful(self) -> bool:
        """Whether all succeeded."""
        return all(state == states.SUCCESS for state in self._states())

    def failed(self) -> bool:
        """Whether any failed."""
        return any(state == states.FAILURE for state in self._states())

    def completed_count(self) -> int:
        """How many tasks succeeded."""
        return sum(state == states.SUCCESS for state in self._states())

    def reraise(self, callback: Callable[[str, Any], object] | None = None, propagate: bool = True) -> None:
        """Raise the exception of the first task that failed or was revoked.

        Args:
            callback: called with ``(task_id, value)`` for those before it.
            propagate: false calls `callback` for all, with exceptions as values.
        """
        self.metas()
        for leaf in leaves(self):
            leaf.reraise(propagate=propagate, callback=callback)

    maybe_throw = maybe_reraise = reraise

    # --- waiting

    def get(self, timeout: float | None = None, propagate: bool = True, **options: Any) -> list[Any]:
        """Wait for all, and return their values in order; see `join`."""
        return self.join(timeout, propagate, **options)

    async def aget(self, timeout: float | None = None, propagate: bool = True, **options: Any) -> list[Any]:
        """As `get`, without blocking the event loop."""
        return await self.ajoin(timeout, propagate, **options)

    def __await__(self) -> Any:
        return self.aget().__await__()

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> list[Any]:
        """Wait for all results together, and return their values in the order of the members.

        Args:
            timeout: seconds for all of them; None is for ever.
            propagate: raise the exception of a task as soon as one fails; otherwise exceptions stand in the list.
            interval: seconds between two calls of `on_interval`.
            callback: called with ``(task_id, value)`` as values arrive; the list is then empty.
            no_ack: accepted for Celery's sake.
            on_message: called with each result meta as a dict.
            disable_sync_subtasks: refuse to wait inside a task.
            on_interval: called without arguments while waiting.

        Raises:
            TimeoutError: some were not finished in time.
            Exception: as ``AsyncResult.get``.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        gathering = Gathering(leaves(self), timeout=timeout, interval=interval, on_interval=on_interval)
        for leaf in gathering.arrivals():
            self._arrived(leaf, propagate, callback, on_message)
        return [] if callback is not None else self.values()

    join_native = join

    async def ajoin(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> list[Any]:
        """As `join`, without blocking the event loop."""
        if disable_sync_subtasks:
            assert_will_not_block()
        gathering = Gathering(leaves(self), timeout=timeout, interval=interval, on_interval=on_interval)
        async for leaf in gathering.aarrivals():
            self._arrived(leaf, propagate, callback, on_message)
        return [] if callback is not None else self.values()

    def iterate(self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5) -> Iterator[Any]:
        """The values as they arrive, in no order; arguments and errors as `join`."""
        for leaf in Gathering(leaves(self), timeout=timeout, interval=interval).arrivals():
            yield leaf.reraise(propagate=propagate)

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(task id, result meta as a dict) pairs as results arrive; arguments and errors as `join`."""
        gathering = Gathering(leaves(self), timeout=timeout, interval=interval, on_interval=on_interval)
        for leaf in gathering.arrivals():
            meta = plain(leaf.meta())
            if on_message is not None:
                on_message(meta)
            yield leaf.id, meta

    def _arrived(
        self,
        leaf: TaskHandle[Any],
        propagate: bool,
        callback: Callable[[str, Any], object] | None,
        on_message: Callable[[dict[str, Any]], object] | None,
    ) -> None:
        if on_message is not None:
            on_message(plain(leaf.meta()))
        leaf.reraise(propagate=propagate, callback=callback)

    def values(self) -> list[Any]:
        """The values in order, as lists for groups within; for when all are ready."""
        return [
            member.values() if isinstance(member, ResultSet) else next(leaves(member)).meta().result
            for member in self.results
        ]

    def then(
        self,
        callback: Callable[[Any], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> Any:
        """Call `callback` with this set once all its present members are ready; see ``AsyncResult.then``.

        Args:
            callback: called with this set.
            on_error: called with the exception of each task that failed.
            weak: accepted for Celery's sake.
        """
        members = {leaf.id: leaf for leaf in leaves(self)}
        left = set(members)
        lock = threading.Lock()

        def one_ready(leaf: TaskHandle[Any]) -> None:
            with lock:
                left.discard(leaf.id)
                last = not left
            if last:
                callback(self)

        if not members:
            callback(self)
        for leaf in members.values():
            leaf.then(one_ready, on_error)
        return self

    # --- what may be done with them

    def forget(self) -> None:
        """Delete all results."""
        for member in self.results:
            member.forget()

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | int | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Tell all workers not to run the tasks, in one message; see ``AsyncResult.revoke``."""
        ids = [leaf.id for leaf in leaves(self)]
        return self.app.revoke(ids, terminate=terminate, signal=signal or "SIGTERM", wait=wait, timeout=timeout)

    @property
    def supports_native_join(self) -> bool:
        """Whether many results can be waited for at once; always."""
        return True

    def __iter__(self) -> Iterator[ResultBase]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> ResultBase:
        return self.results[index]

    def __eq__(self, other: object) -> bool:
        return self.results == other.results if isinstance(other, ResultSet) else NotImplemented

    def __hash__(self) -> int:
        raise TypeError(f"a {type(self).__name__} cannot be hashed: its members come and go")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(member.id for member in self.results)}]>"
