"""Where results lie on a Redis server, under Celery's names, and how their state is told without decoding them."""

from __future__ import annotations

import re
from typing import Final

from skirret.wire import redis_keys

LUA: Final = ("skirret.stores.redis", "results")
"""The functions that scripts write results with; for ``Script(before=...)``."""

HEAD: Final = 96
"""Bytes of a payload that are looked at for its state, as in ``results.lua``."""

_JSON = re.compile(rb'\{\s*"status"\s*:\s*"([^"\\]*)"')
_MSGPACK = re.compile(rb"(?:[\x80-\x8f]|\xde..)\xa6status([\xa0-\xbf])", re.DOTALL)
_PICKLE = re.compile(rb"\x80.*?status\x94\x8c.([\w\-]+)\x94", re.DOTALL)
_OLD_PICKLE = re.compile(rb"\x80.*?statusq.X.\0\0\0([\w\-]*?)q", re.DOTALL)
_YAML = re.compile(rb"\nstatus: ([\w\-]+)\n")


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


def told_state(payload: bytes) -> str | None:
    """The state that a payload's first bytes tell, whatever its serializer; None if they do not."""
    head = payload[:HEAD]
    found = _JSON.match(head)
    if found is None and head[:1] != b"{":
        named = _MSGPACK.match(head)
        if named is not None:
            size = named[1][0] - 160
            end = named.end()
            return _text(head[end : end + size]) if len(head) >= end + size else None
        found = _PICKLE.match(head) or _OLD_PICKLE.match(head)
    return None if found is None else _text(found[1])


def yaml_state(payload: bytes) -> str | None:
    """The state that a YAML payload tells; None if it is no such."""
    found = _YAML.search(payload) if payload.startswith((b"children:", b"args:")) else None
    return None if found is None else _text(found[1])


def seal(payload: bytes) -> bytes:
    """What ties a mark to the payload that it was written for: its length and its end."""
    return b"%d:%b" % (len(payload), payload[-16:])


def marked_state(payload: bytes, mark: bytes | None) -> str | None:
    """The state that a mark keeps for this payload; None if it was written for another."""
    of = seal(payload) + b"\n"
    return _text(mark[len(of) :]) if mark is not None and mark.startswith(of) else None


def _text(state: bytes) -> str:
    return state.decode("utf-8", "replace")


__all__ = ["LUA", "ResultKeys", "marked_state", "seal", "tagged", "told_state", "yaml_state"]
