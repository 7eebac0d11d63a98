"""The hooks of a middleware, each a contract that does nothing: when it is called, where, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skirret.excinfo import ExceptionInfo
    from skirret.middleware.outgoing import Outgoing
    from skirret.request import Context


class Middleware:
    """Subclass it, define the hooks you need, and add an instance: ``app.middleware.add(Mine())``.

    A hook may be ``async def``. It is awaited in ``adelay`` and by coroutine tasks' loops; elsewhere it is run to its
    end on the spot. What a hook raises is logged and hurts nobody, with one exception: `before_publish` and
    `before_run` may veto, by raising `Ignore`, `Reject` or `Retry`. What nobody defines costs nothing.

    ``before_`` hooks are called in the stack's order, those that tell of an end in reverse. A task's ``task`` is the
    task itself, ``request`` is its ``self.request``; treat both as read-only.
    """

    def listens(self, hook: str) -> bool:
        """Whether `hook` is to be called: by default, whether the class defines it."""
        return getattr(type(self), hook) is not getattr(Middleware, hook)

    # -- sending: in the process that calls the task

    def before_publish(self, outgoing: Outgoing) -> Any:
        """A message is about to be sent. May change its headers and properties; may veto: the caller gets the error."""

    def after_publish(self, outgoing: Outgoing) -> Any:
        """The broker has the message; one that leaves with a task's outcome (a retry, a callback) is on its way."""

    # -- a run: in the child that runs the task

    def before_run(self, task: Any, request: Context) -> Any:
        """The task is about to be called. May veto: the run ends as if the task itself had raised that."""

    def succeeded(self, task: Any, request: Context, value: Any, runtime: float) -> Any:
        """The task returned `value` after `runtime` seconds."""

    def failed(self, task: Any, request: Context, error: ExceptionInfo, runtime: float) -> Any:
        """The task raised something that is not a retry, after `runtime` seconds."""

    def retried(self, task: Any, request: Context, reason: BaseException, error: ExceptionInfo) -> Any:
        """The task asked for another run; `reason` is the `Retry`."""

    def internal_error(self, task: Any, request: Context, error: ExceptionInfo) -> Any:
        """The run's end could not be recorded as it was; it counts as failed."""

    def after_run(self, task: Any, request: Context, state: str, value: Any) -> Any:
        """The run is over, however it ended; `value` is what it returned or raised."""

    # -- a message at a worker: in the worker's handler process

    def received(self, request: Any, node: Any) -> Any:
        """A worker took a message that it will run; `request` is what it asks for."""

    def revoked(self, task: Any, request: Any, terminated: bool, signum: int | None, expired: bool) -> Any:
        """A message was dropped, or its run ended, because it was revoked or had expired."""

    def rejected(self, message: Any, error: BaseException, node: Any) -> Any:
        """A message cannot be run and goes to the dead letters."""

    def unknown(self, message: Any, name: str, task_id: str, error: BaseException, node: Any) -> Any:
        """No task `name` is registered here; the message is tried again, perhaps by another worker."""

    # -- a worker's life

    def celeryd_init(self, node: Any, conf: Any, options: dict[str, Any]) -> Any:
        """The app was imported; settings may still be changed. Once, before anything is forked."""

    def worker_init(self, node: Any) -> Any:
        """A worker begins. Once, before anything is forked: children inherit what is made here."""

    def celeryd_after_setup(self, node: Any, conf: Any) -> Any:
        """Logging and queues are set up; queues may still be declared. Once, before anything is forked."""

    def before_create_process(self, node: Any) -> Any:
        """A child is about to be forked. In the process that forks it."""

    def process_init(self, node: Any) -> Any:
        """A child begins, in the child, before its first task."""

    def process_shutdown(self, node: Any, pid: int, exitcode: int) -> Any:
        """A child leaves, in the child, after its last task; one that is killed does not say so."""

    def worker_ready(self, node: Any) -> Any:
        """The worker takes messages. In its handler process, as are those below."""

    def worker_shutting_down(self, node: Any, sig: str, how: str, exitcode: int) -> Any:
        """The worker was told to stop: `how` is Warm or Cold."""

    def worker_shutdown(self, node: Any) -> Any:
        """The worker has stopped; its handler process ends after this."""

    def heartbeat_sent(self, node: Any) -> Any:
        """The worker said that it lives."""
