"""Whether waiting for another task's result is allowed here: refused inside tasks, where it can deadlock a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from skirret import context

_ADVICE = (
    "A task tried to wait for another task's result. It would hold its worker slot while the other task needs one, "
    "and when every slot waits, nothing runs any more. Let the tasks follow each other instead (link=..., or a chain). "
    "If other workers surely run the subtask, pass disable_sync_subtasks=False, or use `with allow_join_result():`."
)


def task_join_will_block() -> bool:
    """Whether waiting for a result is refused in this context (true inside tasks)."""
    return not context.join_allowed()


def assert_will_not_block() -> None:
    """Refuse to wait for a result inside a task.

    Raises:
        RuntimeError: in a task, outside ``allow_join_result``.
    """
    if not context.join_allowed():
        raise RuntimeError(_ADVICE)


@contextmanager
def _joining(allowed: bool) -> Iterator[None]:
    before = context.allow_join(allowed)
    try:
        yield
    finally:
        # Not Token.reset: a generator-based block may end in another context than it began in.
        context.allow_join(before)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow waiting for results within the block, also inside a task."""
    with _joining(True):
        yield


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Refuse waiting for results within the block, as it is inside the run of a task."""
    with _joining(False):
        yield
