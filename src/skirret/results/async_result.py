"""AsyncResult: the handle that a caller of a task holds, to look at its state and to wait for its value."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ClassVar

from skirret import errors
from skirret.results.base import R
from skirret.results.graph import DependencyGraph
from skirret.results.handle import TaskHandle, in_thread
from skirret.results.joining import assert_will_not_block
from skirret.results.vigil import Vigil


class AsyncResult(TaskHandle[R]):
    """The result of one task, now or later; see TaskHandle for the arguments and for what can be asked at once."""

    TimeoutError: ClassVar[type[errors.TimeoutError]] = errors.TimeoutError
    """What `get` raises when time is up."""

    # --- waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, R], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """Wait until the task is finished, and return its value.

        Args:
            timeout: seconds to wait; None is for ever, 0 only looks. The task goes on when time is up.
            propagate: raise the task's exception; otherwise return it.
            interval: seconds between two calls of `on_interval` and two looks for `on_message`. Waiting itself does
                not poll.
            no_ack: accepted for Celery's sake; nothing needs it.
            follow_parents: raise the exception of a parent in the chain, whose failure keeps this task from running.
            callback: called with ``(task_id, value)`` before returning.
            on_message: called with the result meta as a dict each time it changed (custom states, STARTED, ...).
            on_interval: called without arguments while waiting; what it raises ends the wait.
            disable_sync_subtasks: refuse to wait inside a task, where it can deadlock the workers.

        Returns:
            The task's return value; None at once where the task ignores its result.

        Raises:
            TimeoutError: the task was not finished in time (also as ``AsyncResult.TimeoutError``).
            TaskRevokedError: the task was revoked or expired.
            BackendError: the store cannot be read, or results are off.
            RuntimeError: called inside a task.
            Exception: what the task raised; a RemoteError where its class is not loaded in this process. A note on
                it shows the worker's traceback.
        """
        if self.ignored:
            return None  # type: ignore[return-value]  # there never is a value
        if disable_sync_subtasks:
            assert_will_not_block()
        vigil = Vigil(
            self,
            timeout=timeout,
            interval=interval,
            follow_parents=follow_parents and propagate,
            on_message=on_message,
            on_interval=on_interval,
        )
        meta = vigil.begin()
        if meta is None:
            with self.reader.watch(vigil.ids()) as watch:
                while (meta := vigil.absorb(found := watch.step(vigil.patience()))) is None:
                    if not found:
                        if on_message is not None:
                            vigil.tell(self.reader.meta(self.id))
                        vigil.tick()
        self.keep(meta)
        return self._value(meta, propagate, callback)

    wait = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, R], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """As `get`, without blocking the event loop; ``await result`` is short for it. Takes no thread for the wait."""
        if self.ignored:
            return None  # type: ignore[return-value]  # there never is a value
        if disable_sync_subtasks:
            assert_will_not_block()
        vigil = Vigil(
            self,
            timeout=timeout,
            interval=interval,
            follow_parents=follow_parents and propagate,
            on_message=on_message,
            on_interval=on_interval,
        )
        meta = vigil.begin()
        if meta is None:
            with self.reader.watch(vigil.ids()) as watch:
                while (meta := vigil.absorb(found := await watch.astep(vigil.patience()))) is None:
                    if not found:
                        if on_message is not None:
                            vigil.tell(await in_thread(self.reader.meta, self.id))
                        vigil.tick()
        self.keep(meta)
        return self._value(meta, propagate, callback)

    def __await__(self) -> Generator[Any, None, R]:
        return self.aget().__await__()

    # --- the tree of what the task started

    def get_leaf(self) -> Any:
        """The value of the last result in the tree of what this task started; waits for each."""
        value: Any = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    def build_graph(self, intermediate: bool = False) -> DependencyGraph[Any]:
        """The tree of what this task started, as a graph of results.

        Args:
            intermediate: pass over results that are not ready.

        Raises:
            IncompleteStream: a result is not ready.
        """
        graph: DependencyGraph[Any] = DependencyGraph()
        for parent, node in self.iterdeps(intermediate=intermediate):
            graph.add_arc(node)
            if parent is not None:
                graph.add_edge(parent, node)
        return graph

    @property
    def graph(self) -> DependencyGraph[Any]:
        """`build_graph`, built anew at each use."""
        return self.build_graph()
