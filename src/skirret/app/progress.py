"""How far running tasks are: what they say is kept, and stored now and then, so that a million calls cost little."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from skirret import loggers
from skirret.app.storing import meta_of, record
from skirret.message import Record
from skirret.request import Context

logger = loggers.own("skirret.worker")

PROGRESS = "PROGRESS"
"""The state of a task that says how far it is."""

PAUSE = 0.2
"""Seconds between two stored steps of a task."""

Store = Callable[[Record], object]


class Latest:
    """What one running task said last, and whether that is stored."""

    __slots__ = ("app", "meta", "request", "stored")

    def __init__(self, app: Any, request: Context) -> None:
        self.app = app
        self.request = request
        self.meta: dict[str, Any] | None = None
        self.stored: dict[str, Any] | None = None


class ProgressBoard:
    """What the running tasks of this process said last. A thread stores it while there is something new.

    Args:
        store: takes a record; called by that thread, and by a task's own for its first step.
        pause: seconds between two stored steps of a task.
    """

    def __init__(self, store: Store, pause: float = PAUSE) -> None:
        self.said: dict[str, Latest] = {}
        """By task id; empty while no task says anything."""
        self._store = store
        self._pause = pause
        self._lock = threading.Lock()
        self._watching = False

    def say(self, app: Any, request: Context, meta: dict[str, Any]) -> None:
        """A task is so far; the first step is stored at once, later ones soon."""
        latest = self.said.get(request.id or "")
        if latest is not None:
            latest.meta = meta
            if self._watching:
                return
        else:
            latest = Latest(app, request)
            latest.meta = meta
            with self._lock:
                self.said[request.id or ""] = latest
                self._keep(latest)
        with self._lock:
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="skirret-progress", daemon=True).start()

    def forget(self, task_id: str) -> None:
        """The run is over: nothing that it said is stored after this."""
        with self._lock:
            self.said.pop(task_id, None)

    def _keep(self, latest: Latest) -> None:
        meta = latest.meta
        if meta == latest.stored:
            return
        latest.stored = meta
        try:
            told = meta_of(latest.request, latest.request.id or "", PROGRESS, meta)
            self._store(record(latest.app, told, latest.request.reply_to))
        except Exception:
            logger.exception("The progress of task %s[%s] cannot be stored", latest.request.task, latest.request.id)

    def _watch(self) -> None:
        rested = threading.Event()
        while True:
            rested.wait(self._pause)
            with self._lock:
                if not self.said:
                    self._watching = False
                    return
                for latest in self.said.values():
                    self._keep(latest)


_board: ProgressBoard | None = None
_process = 0


def board() -> ProgressBoard | None:
    """The board of this process, if it runs tasks for a worker."""
    return _board if _process == os.getpid() else None


def open_board(store: Store) -> ProgressBoard:
    """Begin to take what tasks of this process say."""
    global _board, _process
    _board, _process = ProgressBoard(store), os.getpid()
    return _board


def step(done: float, total: float | None, more: dict[str, Any]) -> dict[str, Any]:
    """What is stored of a step: ``current``, ``total`` and ``percent`` (0 to 100; None without a total)."""
    percent = round(100.0 * done / total, 2) if total else None
    return {"current": done, "total": total, "percent": percent, **more}
