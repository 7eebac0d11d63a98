"""The result store inside one process: the reference that says what every other backend must do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skirret import clock, states
from skirret.backends.base import ResultBackend
from skirret.errors import BackendError
from skirret.message import Record
from skirret.stores.memory import server
from skirret.url import Url


class MemoryBackend(ResultBackend):
    """Results in this process's memory, on the server that ``MemoryBroker`` of the same name uses.

    Args:
        name: ``memory://name``.
    """

    def __init__(self, name: str = "") -> None:
        self._server = server(name)
        self._interrupts = 0
        self._answered = 0  # how many of them some `wait` has answered

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> MemoryBackend:
        """The backend at ``memory://name``; `options` holds none that it knows."""
        return cls(url.host or "")

    @property
    def identity(self) -> str:
        """Process and name: ``MemoryBroker`` of the same name has the same identity."""
        return self._server.identity

    def store(self, records: Sequence[Record]) -> list[bool]:
        """Write in order, each by compare-and-set."""
        with self._server.reach(BackendError):
            return [self._server.write_result(record) for record in records]

    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        """What is there."""
        with self._server.reach(BackendError):
            found = {task_id: self._server.results.get(task_id) for task_id in task_ids}
            return {task_id: record.payload for task_id, record in found.items() if record is not None}

    def wait(self, task_ids: Sequence[str], timeout: float) -> dict[str, bytes]:
        """Look at each news until one is ready, for the timeout, or for an interrupt."""
        deadline = clock.Deadline(timeout)
        with self._server.changed:
            answered = self._answered
        while True:
            with self._server.reach(BackendError):
                found = {task_id: self._server.results.get(task_id) for task_id in task_ids}
                ready = {
                    task_id: record.payload
                    for task_id, record in found.items()
                    if record is not None and record.state in states.READY_STATES
                }
                if ready or deadline.passed():
                    return ready
                if self._interrupts > answered:
                    self._answered = self._interrupts
                    return {}
                self._server.changed.wait(deadline.left())

    def forget(self, task_ids: Sequence[str]) -> int:
        """Delete what is there."""
        with self._server.reach(BackendError):
            return sum(self._server.results.remove(task_id) for task_id in task_ids)

    def interrupt(self) -> None:
        """Make all waits of this backend, or else the next one, return at once."""
        with self._server.changed:
            self._interrupts += 1
            self._server.changed.notify_all()

    def cleanup(self) -> int:
        """Delete what has expired."""
        with self._server.reach(BackendError):
            return self._server.results.drop_ended()

    def close(self) -> None:
        """Nothing to let go of."""
