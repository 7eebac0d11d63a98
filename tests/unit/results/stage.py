"""What the tests of results stand on: an app with a memory backend, and ways to finish tasks and to watch waits."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from skirret.backends.memory import MemoryBackend
from skirret.errors import BackendError
from skirret.message import Record
from skirret.meta import ResultMeta
from skirret.results import AsyncResult, ResultReader
from skirret.wire import results as wire

_names = itertools.count()


class WatchedBackend(MemoryBackend):
    """A memory backend that counts its waits, and sees when two run at the same time."""

    def __init__(self) -> None:
        super().__init__(f"results-{next(_names)}")
        self.waits = 0
        self.fetches = 0
        self.most_at_once = 0
        self.broken: Exception | None = None
        self._inside = 0
        self._guard = threading.Lock()

    def wait(self, task_ids: Sequence[str], timeout: float) -> dict[str, bytes]:
        with self._guard:
            self.waits += 1
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
        try:
            if self.broken is not None:
                raise self.broken
            return super().wait(task_ids, timeout)
        finally:
            with self._guard:
                self._inside -= 1

    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        self.fetches += 1
        return super().fetch(task_ids)

    def break_down(self) -> None:
        """Every wait raises from now on, also those that have begun."""
        self.broken = BackendError("the store is gone")
        self.interrupt()


class Stage:
    """An app, as far as results need one."""

    def __init__(self) -> None:
        self.backend = WatchedBackend()
        self.conf: dict[str, Any] = {}
        self.tasks: dict[str, Any] = {}
        self.reader = ResultReader(self.backend)
        self.revoked: list[tuple[Any, dict[str, Any]]] = []

    def revoke(self, task_id: str | Sequence[str], **options: Any) -> None:
        self.revoked.append((task_id, options))

    def result(self, task_id: str, **options: Any) -> AsyncResult[Any]:
        return AsyncResult(task_id, app=self, **options)

    def store(self, task_id: str, status: str, result: Any = None, **fields: Any) -> None:
        """Store a result as a worker would."""
        meta = ResultMeta(task_id=task_id, status=status, result=result, **fields)
        payload = wire.encode(meta, extended=True)
        self.backend.store([Record(task_id=task_id, state=status, payload=payload)])

    def succeed(self, task_id: str, result: Any = None, **fields: Any) -> None:
        self.store(task_id, "SUCCESS", result, **fields)

    def fail(self, task_id: str, exc: BaseException, **fields: Any) -> None:
        self.store(task_id, "FAILURE", exc, **fields)

    def somebody_waits(self, *task_ids: str) -> None:
        """Return once all of `task_ids` are waited for."""
        room = self.reader.room()
        until(lambda: all(task_id in room._by_id for task_id in task_ids))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return as soon as `condition` holds; fail when it still does not after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.001)


async def soon(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """As `until`, for a coroutine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.001)


class Thread(threading.Thread):
    """A thread whose outcome can be asked for."""

    def __init__(self, call: Callable[..., Any], *args: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: call(*args, **options)
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as exc:
            self._error = exc

    def outcome(self, seconds: float = 10.0) -> Any:
        """What the call returned or raised."""
        self.join(seconds)
        assert not self.is_alive(), "it still waits"
        if self._error is not None:
            raise self._error
        return self._value
