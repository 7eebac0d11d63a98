"""The seam between Skirret and a result store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from skirret import states
from skirret.message import Record


class ResultBackend(ABC):
    """A result store, as the client of one process sees it. Methods are safe to call from several threads.

    Every method raises BackendError within its deadline when the store cannot be reached. State is dropped after a
    fork.
    """

    enabled: ClassVar[bool] = True
    """False for the disabled backend only: storing does nothing and reading raises with advice."""

    shared: ClassVar[bool] = True
    """False where a result is a message to the process that sent the task (``Record.reply_to``), and no other can read
    it; `store` then cannot tell which of two results will stand, and groups cannot be saved."""

    @property
    def reply_to(self) -> str | None:
        """Where results of tasks that this process sends must go; None where a store finds them by the task's id."""
        return None

    def expect(self) -> None:  # noqa: B027  most have nothing to do
        """See to it that results find their way to `reply_to`; called before tasks are sent. A store has nothing to do.

        Raises:
            OperationalError: the server that is to take them cannot be reached.
        """

    def depart(self) -> None:  # noqa: B027  as above
        """Take along what no other process can read; called where this one ends. A store has nothing to do."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names the server (not the URL): equal to ``Broker.identity`` where one transaction can serve both."""

    @abstractmethod
    def store(self, records: Sequence[Record]) -> list[bool]:
        """Write results by compare-and-set (``states.supersedes``); one flag each, False where the old one stays.

        Where results are messages (not `shared`): send them; False for those without an address.
        """

    def begin_store(self, records: Sequence[Record]) -> Callable[[], object]:
        """Begin `store`; what is returned waits until it is done. To be called once, by the same thread."""
        self.store(records)
        return lambda: None

    @abstractmethod
    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        """The payloads of those results that exist and have not expired."""

    @abstractmethod
    def wait(self, task_ids: Sequence[str], timeout: float) -> dict[str, bytes]:
        """Payloads of those tasks that are in a ready state, as soon as there is one; {} after `timeout` seconds.

        A notification is only a hint: the store is read again on a timer.
        """

    @abstractmethod
    def forget(self, task_ids: Sequence[str]) -> int:
        """Delete results; how many existed."""

    def store_group(self, group_id: str, payload: bytes, ttl: float | None = None) -> None:
        """Keep which results belong to a group, in place of what was kept under that id; `ttl` as in ``Record``.

        Here it is kept as a result; a store that Celery knows keeps it where Celery looks for it.
        """
        self.forget([group_id])
        self.store([Record(task_id=group_id, state=states.SUCCESS, payload=payload, ttl=ttl)])

    def fetch_group(self, group_id: str) -> bytes | None:
        """What `store_group` kept, or None."""
        return self.fetch([group_id]).get(group_id)

    def forget_group(self, group_id: str) -> int:
        """Delete what `store_group` kept; how many there were."""
        return self.forget([group_id])

    @abstractmethod
    def interrupt(self) -> None:
        """Make the waits of other threads, or else the next one, return at once with {}."""

    @abstractmethod
    def cleanup(self) -> int:
        """Delete what has expired; how many."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the backend may be used again."""
