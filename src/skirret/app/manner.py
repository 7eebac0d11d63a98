"""How a worker runs a task, as far as its attributes say: looked up once, because asking the settings takes longer."""

from __future__ import annotations

from typing import Any, NamedTuple


class Manner(NamedTuple):
    """What a worker asks of a task at each run."""

    track_started: bool
    ignores_result: bool
    keeps_errors: bool
    stalls: bool
    """Whether it must say that it lives."""


def manner_of(task: Any) -> Manner:
    """The manner of `task`, kept until one of its attributes is assigned."""
    kept: Manner | None = task.__dict__.get("_kept_manner")
    if kept is None:
        kept = task.__dict__["_kept_manner"] = Manner(
            track_started=bool(task.track_started),
            ignores_result=bool(task.ignore_result),
            keeps_errors=bool(task.store_errors_even_if_ignored),
            stalls=bool(task.stall_limit),
        )
    return kept
