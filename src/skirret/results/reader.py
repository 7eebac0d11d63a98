"""Reads results for everybody in a process: one waiting call to the backend at a time, however many wait."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from skirret import states
from skirret.backends.base import ResultBackend
from skirret.clock import Deadline
from skirret.errors import BackendGetMetaError, TimeoutError  # noqa: A004  the public name
from skirret.meta import ResultMeta
from skirret.results.room import WaitingRoom
from skirret.results.waiters import Awaiting, Blocked, Calling, Waiter


class ResultReader:
    """The results of one backend, as this process reads them. Safe in threads, in event loops and after a fork.

    Args:
        backend: where the results are.
        accept: serializer names or content types that may be decoded; None is only json.
        serializer: how results are encoded, by name.
        cache_max: how many finished results to keep in memory: -1 none, 0 or None without a bound
            (``result_cache_max``).
    """

    def __init__(
        self,
        backend: ResultBackend,
        *,
        accept: Collection[str] | None = None,
        serializer: str = "json",
        cache_max: int | None = -1,
    ) -> None:
        self.backend = backend
        self.accept = accept
        self.serializer = serializer
        self.cache_max = cache_max
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._rooms: dict[int, WaitingRoom] = {}
        _readers.add(self)

    # --- reading

    def meta(self, task_id: str) -> ResultMeta:
        """The result meta of `task_id` now; state PENDING where the store has none.

        Raises:
            BackendError: the store cannot be read.
            BackendGetMetaError: what it holds is not a result.
        """
        return self.metas((task_id,))[task_id]

    def metas(self, task_ids: Sequence[str]) -> dict[str, ResultMeta]:
        """The result metas of `task_ids` now, with one call to the store; see `meta`."""
        found = {task_id: payload for task_id in task_ids if (payload := self.cached(task_id)) is not None}
        missing = [task_id for task_id in task_ids if task_id not in found]
        if missing:
            found.update(self.backend.fetch(missing))
        return {
            task_id: self.decode(task_id, found[task_id]) if task_id in found else ResultMeta(task_id=task_id)
            for task_id in task_ids
        }

    def exists(self, task_id: str) -> bool:
        """Whether the store holds anything about `task_id`."""
        return task_id in self.backend.fetch((task_id,))

    def forget(self, task_ids: Sequence[str]) -> int:
        """Delete results here and in the store; how many the store had."""
        for task_id in task_ids:
            self._cache.pop(task_id, None)
        return self.backend.forget(task_ids)

    # --- waiting

    def wait(
        self,
        task_id: str,
        timeout: float | None = None,
        *,
        interval: float = 0.5,
        on_interval: Callable[[], object] | None = None,
    ) -> ResultMeta:
        """Block until `task_id` is in a ready state.

        Args:
            task_id: the task.
            timeout: seconds; None is for ever, 0 only looks.
            interval: seconds between two calls of `on_interval`.
            on_interval: called without arguments while waiting; what it raises ends the wait.

        Raises:
            TimeoutError: it was not ready in time.
            BackendError: the store cannot be read.
        """
        deadline = Deadline(timeout)
        with self.watch((task_id,)) as watch:
            while True:
                found = watch.step(sooner(deadline.left(), interval if on_interval else None))
                if found:
                    return found[task_id]
                if deadline.passed():
                    raise late([task_id], timeout)
                if on_interval is not None:
                    on_interval()

    async def await_(self, task_id: str, timeout: float | None = None) -> ResultMeta:
        """As `wait`, without blocking the event loop and without a thread for each call."""
        with self.watch((task_id,)) as watch:
            found = await watch.astep(timeout)
        if not found:
            raise late([task_id], timeout)
        return found[task_id]

    def watch(self, task_ids: Iterable[str]) -> Watch:
        """Wait for several tasks and take their results as they come: a context manager, see Watch."""
        return Watch(self, task_ids)

    def notify(
        self,
        task_id: str,
        call: Callable[[ResultMeta], object],
        failed: Callable[[Exception], object] | None = None,
    ) -> Callable[[], None]:
        """Call `call` with the result meta once `task_id` is ready, in the reader's thread.

        Args:
            task_id: the task.
            call: what it raises is logged.
            failed: called instead with the error if the store cannot be read; without it, the error is logged.

        Returns:
            A function that takes the wish back.
        """
        room = self.room()

        def served(waiter: Calling) -> None:
            try:
                payload = waiter.take()[task_id]
                meta = self.decode(task_id, payload)
            except Exception as exc:
                if failed is None:
                    raise
                failed(exc)
            else:
                call(meta)

        waiter = Calling((task_id,), served)
        room.enter(waiter)
        return lambda: room.leave(waiter)

    def room(self) -> WaitingRoom:
        """The waiting room of this process."""
        pid = os.getpid()
        room = self._rooms.get(pid)
        # setdefault decides between two threads that come first together.
        return room if room is not None else self._rooms.setdefault(pid, WaitingRoom(self.backend))

    # --- what its own parts need

    def cached(self, task_id: str) -> bytes | None:
        """The payload of `task_id` if it is in memory."""
        return self._cache.get(task_id) if self.cache_max != -1 else None

    def decode(self, task_id: str, payload: bytes) -> ResultMeta:
        """The result meta that `payload` tells.

        Raises:
            BackendGetMetaError: it is no result.
        """
        from skirret.wire import results

        try:
            meta = results.decode(payload, accept=self.accept, serializer=self.serializer)
        except BackendGetMetaError as exc:
            exc.task_id = task_id
            exc.add_note(f"It is the result of task {task_id}.")
            raise
        # Some stores of Celery's keep the id only in the key.
        meta.task_id = meta.task_id or task_id
        if self.cache_max != -1 and meta.status in states.READY_STATES:
            # Bytes, not values: nobody can change what another caller will read.
            self._cache[task_id] = payload
            while self.cache_max and len(self._cache) > self.cache_max:
                try:
                    self._cache.popitem(last=False)
                except KeyError:  # another thread was faster
                    break
        return meta

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        # Kept, not freed: destroying the parent's coroutines here would run their `finally` blocks in the child.
        _abandoned.append(self._rooms)
        self._rooms = {}


class Watch:
    """A wait for several tasks, from ``with`` to its end; `step` or `astep` gives what came since the last call.

    Use it from one thread or one coroutine only.
    """

    def __init__(self, reader: ResultReader, task_ids: Iterable[str]) -> None:
        self._reader = reader
        self._ids = dict.fromkeys(task_ids)
        self._room: WaitingRoom | None = None
        self._waiter: Waiter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._room is not None and self._waiter is not None:
            self._room.leave(self._waiter)

    def step(self, timeout: float | None = None) -> dict[str, ResultMeta]:
        """Block until some of the tasks are ready; {} after `timeout` seconds, or when none is left.

        Raises:
            BackendError: the store cannot be read.
            BackendGetMetaError: what it holds is not a result.
        """
        if self._waiter is None:
            at_once = self._at_once(timeout)
            if at_once is not None:
                return at_once
        if self._room is None:
            self._room = self._reader.room()
            self._waiter = Blocked(self._ids)
            self._room.enter(self._waiter)
        assert isinstance(self._waiter, Blocked)  # noqa: S101  one Watch serves one thread or one coroutine
        return self._decoded(self._room.step(self._waiter, timeout))

    async def astep(self, timeout: float | None = None) -> dict[str, ResultMeta]:
        """As `step`, for a coroutine."""
        import asyncio  # a heavy import that callers of `step` do not need

        if self._waiter is None:
            look = timeout is not None and timeout <= 0
            at_once = await asyncio.to_thread(self._at_once, timeout) if look else self._at_once(timeout)
            if at_once is not None:
                return at_once
        if self._room is None:
            self._room = self._reader.room()
            self._waiter = Awaiting(self._ids, asyncio.get_running_loop())
            self._room.enter(self._waiter)
        assert isinstance(self._waiter, Awaiting)  # noqa: S101  one Watch serves one thread or one coroutine
        return self._decoded(await self._room.astep(self._waiter, timeout))

    def _at_once(self, timeout: float | None) -> dict[str, ResultMeta] | None:
        # No wait at all: a timeout of 0 still looks at the store once, and cached results need no store.
        if timeout is not None and timeout <= 0:
            metas = self._reader.metas(list(self._ids))
            found = {task_id: meta for task_id, meta in metas.items() if meta.status in states.READY_STATES}
        elif self._reader.cache_max != -1:
            cached = {task_id: self._reader.cached(task_id) for task_id in self._ids}
            found = self._decoded({task_id: payload for task_id, payload in cached.items() if payload is not None})
        else:
            return None
        for task_id in found:
            self._ids.pop(task_id, None)
        return found or ({} if timeout is not None and timeout <= 0 else None)

    def _decoded(self, found: dict[str, bytes]) -> dict[str, ResultMeta]:
        return {task_id: self._reader.decode(task_id, payload) for task_id, payload in found.items()}


def sooner(one: float | None, other: float | None) -> float | None:
    """The shorter of two timeouts in seconds; None is for ever."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def late(task_ids: Collection[str], timeout: float | None) -> TimeoutError:
    """The error that says which results were not ready after `timeout` seconds."""
    some = ", ".join(list(task_ids)[:3]) + (", ..." if len(task_ids) > 3 else "")
    what = f"Task {some} was" if len(task_ids) == 1 else f"{len(task_ids)} tasks ({some}) were"
    return TimeoutError(
        f"{what} not ready after {0 if timeout is None else timeout:g} s. It may be waiting, running or unknown: look "
        f"at its state, and check that a worker consumes its queue and stores results in the same result backend."
    )


def reader_of(backend: ResultBackend, conf: Any) -> ResultReader:
    """The reader of a backend that is not the app's, one for each backend while anybody uses it.

    Args:
        backend: where the results are.
        conf: the settings that say how they are encoded, or None.
    """
    reader = _others.get(id(backend))
    if reader is None or reader.backend is not backend:
        accept = None if conf is None else conf.get("result_accept_content") or conf.get("accept_content")
        serializer = "json" if conf is None else conf.get("result_serializer") or "json"
        cache_max = -1 if conf is None else conf.get("result_cache_max")
        reader = _others[id(backend)] = ResultReader(backend, accept=accept, serializer=serializer, cache_max=cache_max)
    return reader


_others: weakref.WeakValueDictionary[int, ResultReader] = weakref.WeakValueDictionary()
_readers: weakref.WeakSet[ResultReader] = weakref.WeakSet()
_abandoned: list[dict[int, WaitingRoom]] = []


def _after_fork_in_child() -> None:
    for reader in list(_readers):
        reader.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
