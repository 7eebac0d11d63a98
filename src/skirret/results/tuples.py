"""Handles of results from their plain form, as ``as_tuple`` makes it and as Celery stores it."""

from __future__ import annotations

from typing import Any, Protocol

from skirret.errors import BackendGetMetaError
from skirret.results.base import ResultBase
from skirret.results.protocol import ResultApp


class TaskKind(Protocol):
    """Makes the handle of one task."""

    def __call__(self, task_id: str, /, *, app: ResultApp | None, parent: ResultBase | None) -> ResultBase: ...


class GroupKind(Protocol):
    """Makes the handle of a group."""

    def __call__(
        self, group_id: str, results: list[ResultBase], /, *, app: ResultApp | None, parent: ResultBase | None
    ) -> ResultBase: ...


_task: TaskKind
_group: GroupKind


def use(task: TaskKind, group: GroupKind) -> None:
    """Say which classes handles are made of. They read tuples themselves, so this module cannot import them."""
    global _task, _group
    _task, _group = task, group


def result_from_tuple(plain: Any, app: ResultApp | None = None) -> ResultBase:
    """The handle that `plain` describes.

    Args:
        plain: ``((id, parent), None)`` for a task, ``((id, parent), [member, ...])`` for a group, where `parent` is
            None or such a tuple; lists and tuples alike. A bare id may stand for ``(id, None)``, and a handle for
            itself.
        app: the app of the handles; by default the current one.

    Raises:
        BackendGetMetaError: `plain` is nothing of that.
    """
    if isinstance(plain, ResultBase):
        return plain
    line: list[tuple[str, Any]] = []
    node = plain
    # Not by recursion: the parents of a long chain are deeper than Python's stack.
    while node is not None and not isinstance(node, ResultBase):
        task_id, parent, members = _parts(node)
        line.append((task_id, members))
        node = parent
    result: ResultBase | None = node
    for task_id, members in reversed(line):
        result = _handle(task_id, members, result, app)
    if result is None:
        raise BackendGetMetaError(f"{plain!r:.200} does not describe a result.")
    return result


def _handle(task_id: str, members: Any, parent: ResultBase | None, app: ResultApp | None) -> ResultBase:
    if members is None:
        return _task(task_id, app=app, parent=parent)
    return _group(task_id, [result_from_tuple(member, app) for member in members], parent=parent, app=app)


def _parts(node: Any) -> tuple[str, Any, Any]:
    try:
        head, members = node
        task_id, parent = head if isinstance(head, (list, tuple)) else (head, None)
    except (TypeError, ValueError):
        raise BackendGetMetaError(f"{node!r:.200} does not describe a result: ((id, parent), members).") from None
    if not isinstance(task_id, str) or not isinstance(members, (list, tuple, type(None))):
        raise BackendGetMetaError(f"{node!r:.200} does not describe a result: ((id, parent), members).")
    return task_id, parent, members
