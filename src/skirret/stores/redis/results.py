"""Where results lie on a Redis server, under Celery's names, and the marks of those whose payload tells no state."""

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
        is_cluster: whether the mark of a result must be in its slot.
    """

    __slots__ = ("_groups", "_is_cluster", "marks", "prefix", "tasks")

    def __init__(self, prefix: str = "", *, is_cluster: bool = False) -> None:
        if prefix and prefix[-1] not in ":_-.":
            prefix += "_"
        self.prefix = prefix
        self.tasks = prefix + redis_keys.result("")
        """What comes before the task id in the key of a result."""
        self.marks = f"{prefix}skirret:state:"
        """What comes before the task id in the key of a mark; in a cluster, before the result's key."""
        self._groups = prefix + redis_keys.group_result("")
        self._is_cluster = is_cluster

    def result(self, task_id: str) -> str:
        """STRING: a task's result; also the channel on which it is told."""
        return self.tasks + task_id

    def mark(self, task_id: str) -> str:
        """STRING: the state of a result whose payload does not tell it, and the payload's seal.

        The result's own key stands for none: no other name is sure to be in the slot of an id with odd braces.
        """
        if not self._is_cluster:
            return self.marks + task_id
        key = self.tasks + task_id
        return self.marks + tagged(key) if tagged(key) == key or "}" not in key else key

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


def seal(payload: bytes) -> bytes:
    """What ties a mark to the payload that it was written for: its length and its end."""
    return b"%d:%b" % (len(payload), payload[-16:])


def marked_state(payload: bytes, mark: bytes | None) -> str | None:
    """The state that a mark keeps for this payload; None if it was written for another."""
    of = seal(payload) + b"\n"
    return mark[len(of) :].decode("utf-8", "replace") if mark is not None and mark.startswith(of) else None


__all__ = ["LUA", "ResultKeys", "marked_state", "seal", "tagged"]
