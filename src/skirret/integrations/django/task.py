"""Tasks of a Django project: sent when the transaction is committed, so that a worker finds what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from django.db import transaction

from skirret.app.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class DjangoTask(Task[P, R], Generic[P, R]):
    """The base of all tasks in a Django project, unless the app names another."""

    abstract = True

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """`delay` once the transaction of the default database is committed; at once outside of one.

        Nothing is sent if it is rolled back. There is no result to return: the call has not been made yet.
        """
        transaction.on_commit(partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """`apply_async` once the transaction of the default database is committed; at once outside of one.

        Args:
            args, kwargs: the task's arguments.
            **options: as of ``apply_async``; a countdown counts from the commit.
        """
        transaction.on_commit(partial(self.apply_async, args, kwargs, **options))
