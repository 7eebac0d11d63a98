"""From what happened to a task to the event that tells of it. Pure; run on the events' own thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skirret import states
from skirret.serializers import json
from skirret.wire.envelope import Head
from skirret.worker.frames import Said, Told

Event = dict[str, Any]
Note = tuple[Any, ...]
"""One of the functions below and its arguments; `when` is seconds since the epoch."""


def received(when: float, head: Head) -> Event:
    """The worker has it and will run it."""
    return {
        "uuid": head.id,
        "name": head.task,
        "args": head.argsrepr,
        "kwargs": head.kwargsrepr,
        "root_id": head.root_id,
        "parent_id": head.parent_id,
        "retries": head.retries,
        "eta": head.eta,
        "expires": head.expires,
        "timestamp": when,
        "type": "task-received",
    }


def started(when: float, head: Head) -> Event:
    """Its function runs."""
    return {"uuid": head.id, "timestamp": when, "type": "task-started"}


def revoked(when: float, head: Head, terminated: bool, signum: int | None, expired: bool) -> Event:
    """It will not run, or was ended."""
    fields = {"terminated": terminated, "signum": signum, "expired": expired}
    return {"uuid": head.id, **fields, "timestamp": when, "type": "task-revoked"}


def rejected(when: float, head: Head, requeue: bool) -> Event:
    """It went to the dead letters, or back to its queue."""
    return {"uuid": head.id, "requeue": requeue, "timestamp": when, "type": "task-rejected"}


def cancelled(when: float, head: Head) -> Event:
    """It was interrupted and runs again elsewhere."""
    return {"uuid": head.id, "timestamp": when, "type": "task-cancelled"}


def failed(when: float, head: Head, exception: str, traceback: str | None = None) -> Event:
    """It failed without a child that could tell of it."""
    return {
        "uuid": head.id,
        "exception": exception,
        "traceback": traceback or "",
        "timestamp": when,
        "type": "task-failed",
    }


def ended(when: float, head: Head, kind: str, runtime: float, told: Told | None) -> Event | None:
    """How its run ended (`kind` as of ``Outcome``); None for an end that Celery tells nothing of (``Ignore``)."""
    if kind in {"reject", "requeue"} and (told is None or told.state == states.REJECTED):
        return rejected(when, head, kind == "requeue")
    if told is None:
        return None
    if told.state == states.SUCCESS:
        return {
            "uuid": head.id,
            "result": told.text,
            "runtime": runtime,
            "timestamp": when,
            "type": "task-succeeded",
        }
    event = failed(when, head, told.text, told.traceback)
    if told.state == states.RETRY:
        event["type"] = "task-retried"
    return event


def said(frame: Said) -> list[Event]:
    """What a task sent of its own."""
    found: list[Event] = json.loads(frame.events)
    return found


def worker(when: float, kind: str, fields: Event) -> Event:
    """What the worker says of itself."""
    return {**fields, "timestamp": when, "type": f"worker-{kind}"}


def events_of(note: Note) -> list[Event]:
    """The events of one note."""
    write: Callable[..., Event | list[Event] | None] = note[0]
    told = write(*note[1:])
    return told if isinstance(told, list) else [] if told is None else [told]
