"""One call of ``get``: what it waits for, what each arrival means, and when it gives up. Does no waiting itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skirret import states
from skirret.clock import Deadline
from skirret.meta import ResultMeta
from skirret.results.handle import TaskHandle, leaves
from skirret.results.plain import plain
from skirret.results.raising import remote_error
from skirret.results.reader import late, sooner


class Vigil:
    """The state of one ``get`` or ``aget``.

    Args:
        result: whose value is wanted.
        timeout: seconds until TimeoutError; None is never.
        interval: seconds between two calls of `on_interval`, and between two looks for `on_message`.
        follow_parents: raise the error of a parent as soon as it failed, for then this task will never run.
        on_message: called with the result meta as a dict whenever it changed.
        on_interval: called without arguments while waiting.
    """

    def __init__(
        self,
        result: TaskHandle[Any],
        *,
        timeout: float | None,
        interval: float,
        follow_parents: bool,
        on_message: Callable[[dict[str, Any]], object] | None,
        on_interval: Callable[[], object] | None,
    ) -> None:
        self.result = result
        self.timeout = timeout
        self.on_message = on_message
        self.on_interval = on_interval
        self._deadline = Deadline(timeout)
        self._tick = max(interval, 0.001) if on_message is not None or on_interval is not None else None
        self._last_seen: ResultMeta | None = None
        self._parents: dict[str, TaskHandle[Any]] = {}
        if follow_parents and result.parent is not None:
            self._parents = {leaf.id: leaf for parent in result.parents() for leaf in leaves(parent)}

    def begin(self) -> ResultMeta | None:
        """The result's meta if this process knows it already.

        Raises:
            Exception: the error of a parent that this process knows to have failed.
        """
        for task_id, parent in list(self._parents.items()):
            meta = parent.known()
            if meta is not None:
                del self._parents[task_id]
                _raise_failure(meta)
        return self.result.known()

    def ids(self) -> list[str]:
        """The tasks to wait for."""
        return [self.result.id, *self._parents]

    def patience(self) -> float | None:
        """Seconds that the next wait may last at most."""
        return sooner(self._deadline.left(), self._tick)

    def absorb(self, found: Mapping[str, ResultMeta]) -> ResultMeta | None:
        """Take in what came; the result's meta once it is there.

        Raises:
            TimeoutError: time is up.
            Exception: the error of a parent.
        """
        for task_id, meta in found.items():
            parent = self._parents.pop(task_id, None)
            if parent is not None:
                parent.keep(meta)
                _raise_failure(meta)
        meta_of_result = found.get(self.result.id)
        if meta_of_result is not None:
            self.tell(meta_of_result)
            return meta_of_result
        if self._deadline.passed():
            raise late([self.result.id], self.timeout)
        return None

    def tell(self, meta: ResultMeta) -> None:
        """Pass `meta` to `on_message` if it is news."""
        if self.on_message is not None and meta != self._last_seen and meta.status != states.PENDING:
            self._last_seen = meta
            self.on_message(plain(meta))

    def tick(self) -> None:
        """Call `on_interval`."""
        if self.on_interval is not None:
            self.on_interval()


def _raise_failure(meta: ResultMeta) -> None:
    if meta.status in states.PROPAGATE_STATES:
        raise remote_error(meta)
