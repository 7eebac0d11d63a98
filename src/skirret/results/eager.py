"""EagerResult: the result of a task that ran in the caller's own process."""

from __future__ import annotations

from typing import Any

from skirret import states
from skirret.errors import RemoteError, TaskRevokedError
from skirret.meta import ResultMeta
from skirret.results.async_result import AsyncResult
from skirret.results.base import R
from skirret.results.joining import assert_will_not_block


class EagerResult(AsyncResult[R]):
    """A result that is there already; no backend is asked for anything.

    Args:
        id: the task's id.
        ret_value: what the task returned, or its exception.
        state: the state it ended in.
        traceback: its traceback as text.
        name: the task's name.
    """

    def __init__(
        self,
        id: str,
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(id)
        self._final = ResultMeta(task_id=id, status=state, result=ret_value, traceback=traceback, name=name)
        # The frames of the run itself, which each raise shows, and not those of the raises before.
        self._frames = ret_value.__traceback__ if isinstance(ret_value, BaseException) else None

    def known(self) -> ResultMeta | None:
        """The result meta, always."""
        return self._final

    def meta(self) -> ResultMeta:
        """The result meta."""
        return self._final

    def ready(self) -> bool:
        """Always true."""
        return True

    def exists(self) -> bool:
        """Always true."""
        return True

    def get(self, timeout: float | None = None, propagate: bool = True, *args: Any, **options: Any) -> R:
        """The task's return value; never waits. Arguments as ``AsyncResult.get``.

        Raises:
            Exception: the task's own, where `propagate` is true.
            RuntimeError: called inside a task.
        """
        if options.get("disable_sync_subtasks", True):
            assert_will_not_block()
        return self._value(self._final, propagate, options.get("callback"))

    wait = get

    async def aget(self, timeout: float | None = None, propagate: bool = True, *args: Any, **options: Any) -> R:
        """As `get`."""
        return self.get(timeout, propagate, *args, **options)

    def _value(self, meta: ResultMeta, propagate: bool, callback: Any) -> R:
        if propagate and meta.status in states.PROPAGATE_STATES:
            error = meta.result if isinstance(meta.result, BaseException) else RemoteError(meta.result)
            raise error.with_traceback(self._frames)
        if callback is not None:
            callback(self.id, meta.result)
        value: R = meta.result
        return value

    def forget(self) -> None:
        """Does nothing: no store holds the result."""

    def revoke(self, *args: Any, **options: Any) -> None:
        """Turn the result into a revoked one, whose `get` raises TaskRevokedError; the task itself has run."""
        self._final = ResultMeta(
            task_id=self.id,
            status=states.REVOKED,
            result=TaskRevokedError("revoked"),
            name=self._final.name,
        )
        self._frames = None

    def __copy__(self) -> EagerResult[R]:
        kind, args = self.__reduce__()
        twin: EagerResult[R] = kind(*args)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        final = self._final
        return type(self), (self.id, final.result, final.status, final.traceback, final.name)

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"
