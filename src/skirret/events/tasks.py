"""A task as the events of clients and workers tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol
from weakref import WeakSet

from skirret import states
from skirret.events.schema import TASK_STATES
from skirret.events.workers import Worker

MERGED: Final = frozenset({"name", "args", "kwargs", "parent_id", "root_id", "retries", "eta", "expires"})
"""What a ``task-received`` still tells of a task that has begun already: events may overtake each other."""


class Tasks(Protocol):
    """Where a task finds its relatives: what ``State`` is to it."""

    tasks: Any


class Task:
    """One task. Moments are seconds since the epoch; ``worker`` is the worker that runs it, ``client`` who sent it.

    Args:
        uuid: its id.
        cluster_state: knows its relatives.
        children: the known tasks that it sent.
        **kwargs: fields by name.
    """

    name: str | None = None
    state: str = states.PENDING
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    succeeded: float | None = None
    failed: float | None = None
    retried: float | None = None
    revoked: float | None = None
    rejected: float | None = None
    args: str | None = None
    kwargs: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    worker: Worker | None = None
    result: str | None = None
    exception: str | None = None
    timestamp: float | None = None
    runtime: float | None = None
    traceback: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    client: str | None = None
    clock: int = 0

    _fields = (
        "uuid", "name", "state", "received", "sent", "started", "rejected", "succeeded", "failed", "retried", "revoked",
        "args", "kwargs", "eta", "expires", "retries", "worker", "result", "exception", "timestamp", "runtime",
        "traceback", "exchange", "routing_key", "clock", "client", "root", "root_id", "parent", "parent_id", "children",
    )  # fmt: skip
    _info_fields = (
        "args", "kwargs", "retries", "result", "eta", "runtime", "expires", "exception", "exchange", "routing_key",
        "root_id", "parent_id",
    )  # fmt: skip
    _kept = frozenset(_fields) - {"uuid", "state", "worker", "client", "root", "parent", "children"}

    def __init__(
        self,
        uuid: str | None = None,
        cluster_state: Tasks | None = None,
        children: Iterable[Task] | None = None,
        **kwargs: Any,
    ) -> None:
        self.uuid = uuid
        self.cluster_state = cluster_state
        self.children: WeakSet[Task] = WeakSet(children or ())
        self.__dict__.update(kwargs)

    def heard(self, kind: str, timestamp: float, fields: Mapping[str, Any]) -> None:
        """Take in one of its events.

        Args:
            kind: what stands behind ``task-``; another one than Celery's is a custom state.
            timestamp: when it was sent.
            fields: the others.
        """
        state = TASK_STATES.get(kind, kind.upper())
        # Late: it was overtaken by an event of a later state. A retried task begins again.
        begins = states.RETRY in {state, self.state}
        late = not begins and states.precedence(state) > states.precedence(self.state)
        if kind in TASK_STATES:
            setattr(self, kind, timestamp)
        if late and state == states.RECEIVED:
            fields = {name: value for name, value in fields.items() if name in MERGED}
        elif not late:
            self.state = state
            self.timestamp = timestamp
        for name, value in fields.items():
            if name in self._kept or not (name.startswith("_") or hasattr(type(self), name) or name in _OURS):
                setattr(self, name, value)

    @property
    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in states.READY_STATES

    @property
    def id(self) -> str | None:
        """Its id."""
        return self.uuid

    @property
    def origin(self) -> str | None:
        """Who told of it last: its worker, else its client."""
        return self.client if self.worker is None else self.worker.id

    @property
    def parent(self) -> Task | None:
        """The task that sent it, if it is known."""
        return self._relative(self.parent_id)

    @property
    def root(self) -> Task | None:
        """The first task of its workflow, if it is known."""
        return self._relative(self.root_id)

    def _relative(self, uuid: str | None) -> Task | None:
        found: Task | None = self.cluster_state.tasks.get(uuid) if uuid and self.cluster_state is not None else None
        return found

    def info(self, fields: Iterable[str] | None = None, extra: Iterable[str] = ()) -> dict[str, Any]:
        """What is known of it, without what is not.

        Args:
            fields: names; None is what a monitor shows beside name, state and moments.
            extra: further names.
        """
        names = [*(self._info_fields if fields is None else fields), *extra]
        told = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in told.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """All fields; relatives as ids."""
        told = {name: getattr(self, name, None) for name in self._fields}
        told.update(root=self.root_id, parent=self.parent_id, children=[child.uuid for child in self.children])
        return told

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.uuid == other.uuid

    def __hash__(self) -> int:
        return hash(self.uuid)

    def __repr__(self) -> str:
        return f"<Task: {self.name}({self.uuid}) {self.state} clock:{self.clock}>"


_OURS = frozenset({"uuid", "cluster_state", "children"})
