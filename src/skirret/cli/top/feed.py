"""What feeds the live view, in threads of its own: events, sizes of queues; and what it asks of the fleet."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skirret.cli.known import queue_names
from skirret.cli.top.fleet import Fleet, QueueRow
from skirret.errors import SkirretError

if TYPE_CHECKING:
    from skirret.app import Skirret

LOOK_SECONDS = 1.0
"""Between two looks at the queues."""


class Feed:
    """Between an app's servers and a fleet.

    Args:
        app: whose fleet.
        fleet: is told what is heard.
    """

    def __init__(self, app: Skirret, fleet: Fleet) -> None:
        self._app = app
        self._fleet = fleet
        self._over = threading.Event()
        self._receiver = app.events.Receiver(handlers={"*": fleet.hear})

    def start(self) -> None:
        """Begin."""
        for run in (self._listen, self._look):
            threading.Thread(target=run, name=f"skirret-top{run.__name__}", daemon=True).start()

    def stop(self) -> None:
        """End soon."""
        self._over.set()
        self._receiver.should_stop = True

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self._receiver.capture()
            except SkirretError as exc:
                self._fleet.trouble = str(exc)
                self._over.wait(LOOK_SECONDS)

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                self._fleet.queues = self.queues()
                self._fleet.trouble = ""
            except SkirretError as exc:
                self._fleet.trouble = str(exc)
            self._over.wait(LOOK_SECONDS)

    def queues(self) -> list[QueueRow]:
        """The queues with their sizes.

        Raises:
            OperationalError: the broker cannot be reached.
        """
        paused = set(self._app.paused_queues())
        rows = []
        for name in queue_names(self._app):
            size = self._app.broker.size(name)
            rows.append(
                QueueRow(
                    name=name,
                    ready=size.ready,
                    held=size.held,
                    delayed=size.delayed,
                    dead=size.dead,
                    paused=name in paused,
                )
            )
        return rows

    # -- steering: each gives a sentence about what was done; they wait for servers, so they belong in a thread ----

    def revoke(self, task_id: str, *, terminate: bool) -> str:
        """Keep a task from running; with `terminate`, end it if it runs."""
        self._app.control.revoke(task_id, terminate=terminate)
        return f"Task {task_id} is {'terminated' if terminate else 'revoked'}."

    def pause(self, queue: str, *, on: bool) -> str:
        """Let no worker take from a queue, or let them again."""
        if on:
            self._app.pause_queue(queue)
        else:
            self._app.resume_queue(queue)
        self._fleet.queues = self.queues()
        return f"Queue {queue} is {'paused' if on else 'resumed'}."

    def resize(self, worker: str, by: int) -> str:
        """Give a worker's pool more or fewer children."""
        control = self._app.control
        replies = (control.pool_grow if by > 0 else control.pool_shrink)(abs(by), destination=[worker], reply=True)
        return _said(replies, worker)

    def tell_events(self, workers: Sequence[str]) -> str:
        """Let workers send events of their tasks."""
        self._app.control.enable_events(destination=list(workers))
        return f"{', '.join(workers)} will tell of their tasks."

    def shut_down(self, worker: str) -> str:
        """Stop a worker when its tasks are done."""
        self._app.control.shutdown(destination=[worker])
        return f"{worker} shuts down when its tasks are done."


def _said(replies: Any, worker: str) -> str:
    for reply in replies or ():
        told = reply.get(worker, {})
        if "error" in told:
            return f"{worker}: {told['error']}"
        if "ok" in told:
            return f"{worker}: {told['ok']}"
    return f"{worker} did not answer."
