"""Where results lie on a Redis server: under Celery's names, with a mark beside those that do not tell their state."""

from __future__ import annotations

from typing import Final

from skirret.wire import redis_keys

LUA: Final = ("skirret.stores.redis", "results")
"""The functions that scripts write results with; for ``Script(before=...)``."""


class ResultKeys:
    """The names of results in one database.

    Args:
        prefix: ``global_keyprefix`` of ``result_backend_transport_options``. Celery ends it with ``_`` if it ends with
            none of ``: _ - .``; so do we.
    """

    __slots__ = ("_groups", "_marks", "_tasks", "prefix")

    def __init__(self, prefix: str = "") -> None:
        if prefix and prefix[-1] not in ":_-.":
            prefix += "_"
        self.prefix = prefix
        self._tasks = prefix + redis_keys.result("")
        self._groups = prefix + redis_keys.group_result("")
        self._marks = f"{prefix}skirret:state:"

    def result(self, task_id: str) -> str:
        """STRING: a task's result; also the channel on which it is told."""
        return self._tasks + task_id

    def mark(self, task_id: str) -> str:
        """STRING: the state of a result whose payload does not tell it; in a cluster, in the same slot."""
        return self._marks + tagged(self._tasks + task_id)

    def group(self, group_id: str) -> str:
        """STRING: which results belong to a saved group."""
        return self._groups + group_id


def tagged(key: str) -> str:
    """`key` in such a form that a longer name with it belongs to the same slot of a cluster."""
    start = key.find("{")
    end = key.find("}", start + 1)
    if start >= 0 and end > start + 1:
        return key  # it has a hash tag of its own
    return f"{{{key}}}"


__all__ = ["LUA", "ResultKeys", "tagged"]
