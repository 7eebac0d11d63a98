"""What a monitor knows of all workers and tasks, from their events; bounded in memory. Safe for threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from skirret import clock, states
from skirret.events.tasks import Task
from skirret.events.workers import Worker, heartbeat_expires

__all__ = ["State", "Task", "Worker", "heartbeat_expires"]

Value = TypeVar("Value")
MAX_WORKERS, MAX_TASKS = 5000, 10_000


class Recent(OrderedDict[str, Value]):
    """A mapping that forgets what was not touched longest when it grows beyond `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def touch(self, key: str) -> Value | None:
        """The value of a key, which is the youngest from now on; None if there is none."""
        found = self.get(key)
        if found is not None:
            self.move_to_end(key)
        return found

    def __setitem__(self, key: str, value: Value) -> None:
        super().__setitem__(key, value)
        while len(self) > self.limit:
            del self[next(iter(self))]


class Grouping(Mapping[str, set[Task]]):
    """Tasks by a property of theirs: ``state.tasks_by_type[name]`` is a set, ``state.tasks_by_type(name)`` in order.

    Args:
        state: knows the tasks.
        key: a task's property.
    """

    def __init__(self, state: State, key: Callable[[Task], str | None]) -> None:
        self._state = state
        self._key = key

    def __call__(self, name: str, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, Task]]:
        """(id, task) of at most `limit` tasks, the latest first unless `reverse` is false."""
        found = self._state.tasks_by_time(reverse=reverse)
        return islice((pair for pair in found if self._key(pair[1]) == name), 0, limit)

    def __getitem__(self, name: str) -> set[Task]:
        return {task for task in self._state.snapshot() if self._key(task) == name}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({key for task in self._state.snapshot() if (key := self._key(task)) is not None}))

    def __len__(self) -> int:
        return len(list(iter(self)))


class State:
    """The workers and tasks of a fleet.

    Args:
        callback: called with the state and each event after it was taken in.
        workers, tasks: mappings to begin with.
        taskheap: accepted for Celery's sake; the order is worked out when it is asked for.
        max_workers_in_memory, max_tasks_in_memory: beyond them the longest unheard-of is forgotten.
        on_node_join, on_node_leave: called with a worker that came, or said good-bye.
        tasks_by_type, tasks_by_worker: accepted for Celery's sake.
    """

    def __init__(
        self,
        callback: Callable[[State, dict[str, Any]], object] | None = None,
        workers: Mapping[str, Worker] | None = None,
        tasks: Mapping[str, Task] | None = None,
        taskheap: Any = None,
        max_workers_in_memory: int = MAX_WORKERS,
        max_tasks_in_memory: int = MAX_TASKS,
        on_node_join: Callable[[Worker], object] | None = None,
        on_node_leave: Callable[[Worker], object] | None = None,
        tasks_by_type: Any = None,
        tasks_by_worker: Any = None,
    ) -> None:
        self.event_callback = callback
        self.max_workers_in_memory = max_workers_in_memory
        self.max_tasks_in_memory = max_tasks_in_memory
        self.on_node_join = on_node_join
        self.on_node_leave = on_node_leave
        self.workers: Recent[Worker] = Recent(max_workers_in_memory)
        self.tasks: Recent[Task] = Recent(max_tasks_in_memory)
        self.workers.update(workers or {})
        self.tasks.update(tasks or {})
        self.event_count = 0
        self.task_count = 0
        self.tasks_by_type = Grouping(self, lambda task: task.name)
        self.tasks_by_worker = Grouping(self, lambda task: None if task.worker is None else task.worker.hostname)
        self.handlers: dict[str, Callable[[str, dict[str, Any]], Any]] = {"task": self._task, "worker": self._worker}
        self._orphans: Recent[list[Task]] = Recent(max_tasks_in_memory)
        self._lock = threading.RLock()

    # -- taking in -----------------------------------------------------------------------------------------------

    def event(self, event: Mapping[str, Any]) -> tuple[tuple[Any, bool], str] | None:
        """Take in an event.

        Returns:
            ((the worker or task, whether it is new), the type without its group); None for an event of another group,
            or one that does not say whom it concerns.
        """
        with self._lock:
            self.event_count += 1
            fields = dict(event)
            if not isinstance(fields.get("clock"), int):
                fields["clock"] = 0
            group, _, subject = str(fields.get("type", "")).partition("-")
            handler = self.handlers.get(group)
            told = None if handler is None else handler(subject, fields)
            if self.event_callback is not None:
                self.event_callback(self, dict(event))
            return told

    def _worker(self, subject: str, fields: dict[str, Any]) -> tuple[tuple[Worker, bool], str] | None:
        hostname = fields.get("hostname")
        if not isinstance(hostname, str):
            return None
        worker, created = self.get_or_create_worker(hostname)
        timestamp, local_received = _moments(fields)
        worker.heard(subject, timestamp, local_received, _without(fields, _ENVELOPE))
        if subject == "online" and self.on_node_join is not None:
            self.on_node_join(worker)
        if subject == "offline" and self.on_node_leave is not None:
            self.on_node_leave(worker)
        return (worker, created), subject

    def _task(self, subject: str, fields: dict[str, Any]) -> tuple[tuple[Task, bool], str] | None:
        uuid, hostname = fields.get("uuid"), fields.get("hostname")
        if not isinstance(uuid, str) or not isinstance(hostname, str):
            return None
        task, created = self.get_or_create_task(uuid)
        timestamp, local_received = _moments(fields)
        if subject == "sent":
            task.client = hostname
        else:
            worker, _ = self.get_or_create_worker(hostname, pid=fields.get("pid"))
            worker.seen(timestamp, local_received)
            worker.clock = max(worker.clock, fields["clock"])
            task.worker = worker
        if subject == "received":
            self.task_count += 1
        known = task.parent_id
        task.heard(subject, timestamp, _without(fields, _ENVELOPE))
        if task.parent_id and task.parent_id != known:
            self._adopt(task, task.parent_id)
        return (task, created), subject

    def _adopt(self, task: Task, parent_id: str) -> None:
        parent = self.tasks.get(parent_id)
        if parent is not None:
            parent.children.add(task)
        else:
            self._orphans.setdefault(parent_id, []).append(task)

    def get_or_create_worker(self, hostname: str, **kwargs: Any) -> tuple[Worker, bool]:
        """(the worker of that name, whether it is new); `kwargs` are fields to take in."""
        worker = self.workers.touch(hostname)
        created = worker is None
        if worker is None:
            worker = self.workers[hostname] = Worker(hostname)
        worker.update(kwargs)
        return worker, created

    def get_or_create_task(self, uuid: str) -> tuple[Task, bool]:
        """(the task of that id, whether it is new)."""
        task = self.tasks.touch(uuid)
        if task is not None:
            return task, False
        task = self.tasks[uuid] = Task(uuid, cluster_state=self)
        task.children.update(self._orphans.pop(uuid, ()))
        return task, True

    # -- asking --------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Task]:
        """All tasks in memory, in no order."""
        with self._lock:
            return list(self.tasks.values())

    def itertasks(self, limit: int | None = None) -> Iterator[tuple[str, Task]]:
        """(id, task) of at most `limit` tasks."""
        with self._lock:
            pairs = list(self.tasks.items())
        return islice(iter(pairs), 0, limit)

    def tasks_by_time(self, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, Task]]:
        """(id, task) by their last events, the latest first unless `reverse` is false."""
        ordered = sorted(self.snapshot(), key=lambda task: (task.clock or 0, task.timestamp or 0.0), reverse=reverse)
        return islice(((str(task.uuid), task) for task in ordered), 0, limit)

    tasks_by_timestamp = tasks_by_time

    def task_types(self) -> list[str]:
        """Names of the tasks in memory, sorted."""
        return list(self.tasks_by_type)

    def alive_workers(self) -> Iterator[Worker]:
        """Workers that were heard lately and have not said good-bye."""
        with self._lock:
            workers = list(self.workers.values())
        return (worker for worker in workers if worker.alive)

    def freeze_while(self, fun: Callable[..., Value], *args: Any, **kwargs: Any) -> Value:
        """What ``fun(*args, **kwargs)`` returns, while no event is taken in.

        With ``clear_after=True`` ended tasks are forgotten afterwards.
        """
        clear_after = kwargs.pop("clear_after", False)
        with self._lock:
            try:
                return fun(*args, **kwargs)
            finally:
                if clear_after:
                    self.clear()

    # -- forgetting ----------------------------------------------------------------------------------------------

    def clear_tasks(self, ready: bool = True) -> None:
        """Forget ended tasks; with ``ready=False`` all."""
        with self._lock:
            kept = {} if not ready else {k: t for k, t in self.tasks.items() if t.state not in states.READY_STATES}
            self.tasks.clear()
            self.tasks.update(kept)
            self._orphans.clear()

    def clear(self, ready: bool = True) -> None:
        """Forget workers, ended tasks (with ``ready=False`` all tasks) and the counts."""
        with self._lock:
            self.workers.clear()
            self.clear_tasks(ready)
            self.event_count = self.task_count = 0

    def __repr__(self) -> str:
        return f"<State: events={self.event_count} tasks={self.task_count}>"

    def __reduce__(self) -> Any:
        limits = (self.max_workers_in_memory, self.max_tasks_in_memory)
        return _again, (type(self), *limits, list(self.workers.items()), [_told(task) for task in self.snapshot()])


_ENVELOPE = frozenset({"type", "hostname", "timestamp", "local_received", "utcoffset", "uuid", "heartbeats"})


def _without(fields: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _moments(fields: Mapping[str, Any]) -> tuple[float, float]:
    now = clock.wall()
    timestamp, received = fields.get("timestamp"), fields.get("local_received")
    sent = float(timestamp) if isinstance(timestamp, (int, float)) else now
    return sent, float(received) if isinstance(received, (int, float)) else now


def _told(task: Task) -> dict[str, Any]:
    return _without(task.__dict__, frozenset({"cluster_state", "children"}))


def _again(kind: type[State], most_workers: int, most_tasks: int, workers: Any, tasks: Any) -> State:
    """A pickled state, come back."""
    state = kind(max_workers_in_memory=most_workers, max_tasks_in_memory=most_tasks, workers=dict(workers))
    for told in tasks:
        task = state.tasks[told["uuid"]] = Task(cluster_state=state, **told)
        if task.worker is not None:
            task.worker = state.workers.get(task.worker.hostname or "", task.worker)
    return state
