"""Under which names clients and workers keep the state that they share."""

from __future__ import annotations

from typing import Final

PAUSED: Final = "paused"
"""The value that names the queues that nobody takes from; see ``pauses``."""


def bucket(task: str) -> str:
    """The bucket of tokens that tasks of one name take."""
    return f"rate:{task}"


def slots(key: str) -> str:
    """The set of those that run of one key."""
    return f"slots:{key}"


def unique(key: str) -> str:
    """The value that says which task has a key for itself."""
    return f"unique:{key}"
