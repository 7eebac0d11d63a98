"""One wait for many results: gives each handle as its result arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from skirret.clock import Deadline
from skirret.results.handle import TaskHandle
from skirret.results.reader import ResultReader, late, sooner


class Gathering:
    """The wait for `leaves`, each of them given once (by id).

    Args:
        leaves: handles of tasks.
        timeout: seconds for all of them; None is for ever.
        interval: seconds between two calls of `on_interval`.
        on_interval: called without arguments while waiting.
    """

    def __init__(
        self,
        leaves: Iterable[TaskHandle[Any]],
        *,
        timeout: float | None,
        interval: float,
        on_interval: Callable[[], object] | None = None,
    ) -> None:
        self._timeout = timeout
        self._deadline = Deadline(timeout)
        self._on_interval = on_interval
        self._tick = max(interval, 0.001) if on_interval is not None else None
        self._known: list[TaskHandle[Any]] = []
        # One watch for each reader, one after the other: more than one backend in a set is rare.
        self._asked: dict[ResultReader, dict[str, list[TaskHandle[Any]]]] = {}
        for leaf in leaves:
            # A task without a result counts as arrived: it never will be.
            if leaf.ignored or leaf.known() is not None:
                self._known.append(leaf)
            else:
                self._asked.setdefault(leaf.reader, {}).setdefault(leaf.id, []).append(leaf)

    def arrivals(self) -> Iterator[TaskHandle[Any]]:
        """The handles as they become ready, those known already first.

        Raises:
            TimeoutError: some are missing when time is up.
            BackendError: the store cannot be read.
        """
        yield from self._known
        for reader, asked in self._asked.items():
            with reader.watch(asked) as watch:
                while asked:
                    found = watch.step(self._patience())
                    for task_id, meta in found.items():
                        for leaf in asked.pop(task_id):
                            leaf.keep(meta)
                            yield leaf
                    if not found:
                        self._idle(asked)

    async def aarrivals(self) -> AsyncIterator[TaskHandle[Any]]:
        """As `arrivals`, for a coroutine."""
        for leaf in self._known:
            yield leaf
        for reader, asked in self._asked.items():
            with reader.watch(asked) as watch:
                while asked:
                    found = await watch.astep(self._patience())
                    for task_id, meta in found.items():
                        for leaf in asked.pop(task_id):
                            leaf.keep(meta)
                            yield leaf
                    if not found:
                        self._idle(asked)

    def _patience(self) -> float | None:
        return sooner(self._deadline.left(), self._tick)

    def _idle(self, asked: dict[str, list[TaskHandle[Any]]]) -> None:
        if self._deadline.passed():
            raise late(list(asked), self._timeout)
        if self._on_interval is not None:
            self._on_interval()
