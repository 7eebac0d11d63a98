"""Tasks that look now and then whether they are still wanted, and handles that say that they are not.

``@app.task(bind=True, base=AbortableTask)`` makes one; its ``delay`` gives an `AbortableAsyncResult`, whose ``abort``
the task sees by ``self.is_aborted()``. The word travels through the result store, so there must be one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

from skirret.app.protocol import ConnectedApp
from skirret.app.storing import store_state
from skirret.app.task import Task
from skirret.request import Context
from skirret.results import AsyncResult

P = ParamSpec("P")
R = TypeVar("R")

ABORTED = "ABORTED"
"""The state of a task that was asked to stop and has not ended yet."""


class AbortableAsyncResult(AsyncResult[R]):
    """The handle of a task that can be asked to stop."""

    def is_aborted(self) -> bool:
        """Whether somebody asked it to stop, and it has not ended since."""
        return self.state == ABORTED

    def abort(self) -> None:
        """Ask the task to stop; it does so when it next looks. One that has ended already stays as it is.

        Raises:
            BackendError: the result store cannot be written.
        """
        store_state(cast("ConnectedApp", self.app), Context(), str(self.id), ABORTED, None)


class AbortableTask(Task[P, R]):
    """A task that asks by `is_aborted` whether it is still wanted."""

    abstract = True

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AbortableAsyncResult[R]:
        """As every task's, with a handle that can abort."""
        options.setdefault("result_cls", AbortableAsyncResult)
        return cast("AbortableAsyncResult[R]", super().apply_async(args, kwargs, **options))

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AbortableAsyncResult[R]:
        """As every task's, with a handle that can abort."""
        options.setdefault("result_cls", AbortableAsyncResult)
        return cast("AbortableAsyncResult[R]", await super().aapply_async(args, kwargs, **options))

    def AsyncResult(self, task_id: str, **options: Any) -> AbortableAsyncResult[R]:  # noqa: N802  Celery's public name
        """The handle of one of this task's results."""
        return AbortableAsyncResult(task_id, app=self.app, task_name=self.name, **options)

    def is_aborted(self, **kwargs: Any) -> bool:
        """Whether somebody asked the running call (or the one with ``task_id=...``) to stop; reads the result store."""
        task_id = kwargs.get("task_id") or self.request.id
        return task_id is not None and self.AsyncResult(task_id).is_aborted()
