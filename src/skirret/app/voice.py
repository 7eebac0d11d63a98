"""What a running task can say of itself: its state, how far it is, that it lives, an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from skirret import context
from skirret.app.progress import board, step

if TYPE_CHECKING:
    from skirret.app.task_app import TaskApp
    from skirret.request import Context

_beats: dict[str, Callable[[], object]] = {}
"""By task id: says for a task with a ``stall_limit`` that it lives."""


class TaskVoice:
    """The half of a task that speaks."""

    if TYPE_CHECKING:

        @property
        def app(self) -> TaskApp:
            """The app that the task belongs to."""
            ...

        @property
        def request(self) -> Context:
            """The call that runs here."""
            ...

    stall_limit: float | None = None
    """Seconds without a `heartbeat` after which a run has failed as by its hard time limit; None is without end."""

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        """Store a state of the running call, at once.

        Args:
            task_id: another task's id; None is the running one.
            state: a name, Celery's or your own, such as ``COMPRESSING``.
            meta: what ``AsyncResult.info`` shows; a dict that the result serializer can carry.
        """
        from skirret.app.storing import store_state

        store_state(self.app, self.request, task_id or self.request.id, state or "", meta, **options)

    def progress(self, done: float, total: float | None = None, **more: Any) -> None:
        """Say how far the running call is: state PROGRESS, with ``current``, ``total`` and ``percent``.

        It may be called as often as you like: the latest is stored about five times a second, without waiting for
        the store. Where no worker runs the task, nothing happens.

        Args:
            done: how much is done, in any unit.
            total: how much there is; None is unknown.
            **more: further fields of the meta, such as ``file="a.csv"``.
        """
        _progress(self.app, self.request, done, total, more)

    def heartbeat(self) -> None:
        """Say that the running call gets on; only a task with a ``stall_limit`` needs to."""
        beat = _beats.get(self.request.id or "") if _beats else None
        if beat is not None:
            beat()

    def send_event(
        self, type_: str, retry: bool = True, retry_policy: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Send an event about the running call, whether or not its worker sends those of tasks.

        Args:
            type_: such as ``task-progress``; monitors then show the state PROGRESS.
            retry, retry_policy: accepted for Celery's sake: it never fails, and waits for a broker that is away.
            **fields: the event's fields.
        """
        del retry, retry_policy
        request = self.request
        with self.app.events.default_dispatcher(hostname=request.hostname) as dispatcher:
            dispatcher.send(type_, **{"uuid": request.id, **fields})


def progress(done: float, total: float | None = None, **more: Any) -> None:
    """`Task.progress` of the task that runs here, for functions that have no ``self``; outside of tasks nothing."""
    task, request = context.current_task(), context.current_request()
    if task is not None and request is not None:
        _progress(task.app, request, done, total, more)


def heartbeat() -> None:
    """`Task.heartbeat` of the task that runs here; outside of tasks nothing."""
    task = context.current_task()
    if task is not None:
        task.heartbeat()


def _progress(app: Any, request: Context, done: float, total: float | None, more: dict[str, Any]) -> None:
    here = board()
    if here is not None and not (request.called_directly or request.is_eager):
        here.say(app, request, step(done, total, more))


def beats_of(task_id: str, beat: Callable[[], object]) -> None:
    """A run of a task with a ``stall_limit`` began; `beat` is what its heartbeats do."""
    _beats[task_id] = beat


def fall_silent(task_id: str) -> None:
    """The run is over."""
    _beats.pop(task_id, None)
