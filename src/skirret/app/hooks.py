"""What a task may override to hear of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skirret.app.task_app import TaskApp
from skirret.excinfo import ExceptionInfo


class TaskHooks:
    """Hooks that do nothing; what they raise is logged and does not change the outcome."""

    def on_bound(self, app: TaskApp) -> None:
        """Hook: the task was bound to `app`."""

    def before_start(self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Hook: the run is about to begin; what this raises fails the run."""

    def on_success(self, retval: Any, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Hook: the run returned."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], einfo: ExceptionInfo
    ) -> None:
        """Hook: the run asked for another one."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], einfo: ExceptionInfo
    ) -> None:
        """Hook: the run raised."""

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo | None,
    ) -> None:
        """Hook: the run is over, however it ended."""

    def shadow_name(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
        """Hook: a name to show in logs instead of the task's; None is none."""
        return None
