"""What a child tells monitors, through its supervisor: how runs end, and the events that tasks send of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skirret import states
from skirret.excinfo import ExceptionInfo
from skirret.saferepr import saferepr
from skirret.serializers import json
from skirret.wire.events import plain
from skirret.worker.frames import Said, Told

if TYPE_CHECKING:
    from skirret.app.events import Events


def told(seq: int, state: str, value: Any, info: ExceptionInfo | None, most: int) -> Told | None:
    """How a run ends; None for an end that monitors hear nothing of.

    Args:
        seq: the run's frame.
        state: the state that it ends in.
        value: its result or exception.
        info: the exception's traceback, if there is one.
        most: characters of the result's repr.
    """
    if state == states.IGNORED:
        return None
    if state == states.SUCCESS:
        return Told(seq, state, saferepr(value, most))
    cause = getattr(value, "exc", None) if state == states.RETRY else None
    return Told(seq, state, saferepr(value if cause is None else cause), None if info is None else info.traceback)


@contextmanager
def through(events: Events, report: Callable[[Said], object]) -> Iterator[None]:
    """Meanwhile events of tasks leave through the child's supervisor, which never makes a task wait for a broker."""

    def send(hostname: str, told: list[dict[str, Any]]) -> None:
        mine = {"hostname": hostname, "pid": os.getpid()}
        report(Said(_written([{**mine, **event} for event in told])))

    events.send, direct = send, events.send
    try:
        yield
    finally:
        events.send = direct


def _written(events: list[dict[str, Any]]) -> bytes:
    try:
        return json.dumps(events)
    except Exception:  # noqa: BLE001  a field that nobody can write: its text is better than nothing
        return json.dumps([plain(event) for event in events])
