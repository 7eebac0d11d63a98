"""One run of a task, told as a sentence: read the message, enter the task, call it, conclude with an Outcome."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skirret import clock, context, loggers, states
from skirret.app.manner import manner_of
from skirret.app.progress import open_board
from skirret.app.requests import request_of, request_of_usual
from skirret.app.task import Task
from skirret.app.voice import beats_of, fall_silent
from skirret.canvas.steps import pop_next
from skirret.errors import (
    EncodeError,
    Ignore,
    InvalidTaskError,
    Reject,
    Retry,
    TimeLimitExceeded,
    WorkerLostError,
    WorkerStopping,
)
from skirret.excinfo import ExceptionInfo, frames_of
from skirret.message import Envelope, Malformed, Publication, Record
from skirret.request import Context
from skirret.saferepr import saferepr
from skirret.serializers.limits import MAX_BYTES
from skirret.wire import envelope as wire_envelope
from skirret.wire import task as wire_task
from skirret.wire import usual
from skirret.worker.board import Chalk
from skirret.worker.child import monitors
from skirret.worker.child.describe import acks_on_failure
from skirret.worker.child.errbacks import run_errbacks
from skirret.worker.child.guards import Guards
from skirret.worker.child.hearing import Hearing
from skirret.worker.child.recorder import Recorder
from skirret.worker.frames import Conclude, Conclusion, Outcome, Report, Run, Said, Told

if TYPE_CHECKING:
    from skirret.app import Skirret

logger = loggers.own("skirret.worker.task")

UNRETURNED = frozenset({states.IGNORED, states.REJECTED, states.RETRY})
"""Ends of a run that ``after_return`` is not told of, as in Celery: the task has not returned yet, or never will."""


class Executor:
    """Runs this process's tasks for one node.

    Args:
        app: the finalised app.
        hostname: the node's name, for requests and results.
        report: sends a frame while a task runs.
    """

    def __init__(self, app: Skirret, hostname: str, report: Callable[[Report | Told | Said], None]) -> None:
        self.app = app
        self.hooks = app.middleware
        self.hostname = hostname
        self.guards = Guards()
        self._send = report
        self.recorder = Recorder(app)
        self.accept = frozenset(app.conf.accept_content)
        self.reads_usual = "json" in self.accept or "application/json" in self.accept
        self.pid = os.getpid()
        self.progress = open_board(lambda told: self.report(Report([told])))
        self.chalk: Chalk | None = None
        """Says whether monitors want to hear how runs end."""

    def report(self, frame: Report | Told | Said) -> None:
        """Send a frame while a task runs; an interruption of the task does not cut it in two."""
        with self.guards.mask():
            self._send(frame)

    def prepare(self, run: Run) -> Execution | Outcome:
        """Read a message. An Outcome comes back when there is nothing to call."""
        try:
            found = self._read(run)
            if type(run) is Conclude and isinstance(found, Execution):
                return found.conclude(run.conclusion)
            return found
        except Exception as exc:
            logger.exception("A message could not be read; it goes to the dead letters")
            return Outcome(run.seq, "reject", -1.0, "", reason=f"malformed message: {exc!r}")

    def _read(self, run: Run) -> Execution | Outcome:
        call = usual.read(run.raw, MAX_BYTES) if self.reads_usual else None
        if call is None:
            return self._read_carefully(run)
        task = self.app.tasks.get(call.headers.task)
        if task is None:
            return Outcome(run.seq, "unknown", -1.0, call.headers.task)
        return Execution(self, run, task, request_of_usual(call, run.queue, run.deliveries, self.hostname, self.pid))

    def _read_carefully(self, run: Run) -> Execution | Outcome:
        received = wire_envelope.decode(run.raw)
        if isinstance(received, Malformed):
            return Outcome(run.seq, "reject", -1.0, "", reason=f"malformed message: {received.reason}")
        message = wire_task.decode(received.envelope, accept=self.accept)
        if isinstance(message, Malformed):
            return self._unreadable(run, received.envelope, message.reason)
        task = self.app.tasks.get(message.task)
        if task is None:
            return Outcome(run.seq, "unknown", -1.0, message.task)
        request = request_of(
            message,
            delivery_info={
                "exchange": "",
                "routing_key": run.queue,
                "priority": message.priority,
                "redelivered": run.deliveries > 0,
            },
            hostname=self.hostname,
            properties=_properties(received.envelope),
            deliveries=run.deliveries,
            worker_pid=self.pid,
        )
        return Execution(self, run, task, request)

    def _unreadable(self, run: Run, envelope: Envelope, reason: str) -> Outcome:
        """A message whose headers can be read and whose body cannot: its caller is told."""
        text = f"malformed message: {reason}"
        task_id, name = envelope.headers.get("id"), envelope.headers.get("task")
        result = None
        if self.recorder.stores and isinstance(task_id, str) and not envelope.headers.get("ignore_result"):
            result = self.recorder.fault(task_id, InvalidTaskError(text), envelope.reply_to)
        return Outcome(run.seq, "reject", -1.0, str(name or ""), result, reason=text)


class Execution(Hearing):
    """One message about to run, or running. `call` may be replaced by awaiting `task.run` where a loop is at hand."""

    __slots__ = ("args", "began", "executor", "id", "kwargs", "left", "manner", "name", "request", "run", "task")

    def __init__(self, executor: Executor, run: Run, task: Any, request: Context) -> None:
        self.executor = executor
        self.run = run
        self.task = task
        self.request = request
        self.manner = manner_of(task)
        self.name = str(request.task)
        self.id = str(request.id)
        self.began = clock.monotonic()
        self.left = True
        self.hooks = self.waits = None
        self.args = request.args
        self.kwargs = request.kwargs

    def enter(self) -> None:
        """Make the task current, say that it started, and call ``before_start``."""
        task, request = self.task, self.request
        context.push_task(task, request)
        self.left = False
        self.began = clock.monotonic()
        if self.manner.stalls and self.executor.chalk is not None:
            beats_of(self.id, self.executor.chalk.heartbeat_of(self.run.seq))
        if self.executor.hooks.runs:
            self.hooks = self.executor.hooks
            self.tell(self.hooks.before_run, task, request, veto=True)
        if self.manner.track_started and self._keeps_result():
            where = {"pid": self.executor.pid, "hostname": self.executor.hostname}
            self.executor.report(Report([self._record(states.STARTED, where)]))
        if self.waits:
            self.in_turn(task.before_start, request.id, self.args, self.kwargs)
        else:
            task.before_start(request.id, self.args, self.kwargs)

    def call(self) -> Any:
        """Run the user's function, through the task's own ``__call__`` if it has one."""
        task = self.task
        if type(task).__call__ is Task.__call__:
            return task.run(*self.args, **self.kwargs)
        self.request.awaits_call = True
        return task(*self.args, **self.kwargs)

    def succeeded(self, value: Any) -> Outcome:
        """The outcome of a run that returned `value`, with its callbacks and the next step of its chain."""
        runtime = clock.monotonic() - self.began
        task, request = self.task, self.request
        try:
            successors = request.outbox
            if request.callbacks or request.chain:
                successors = [*successors, *self._callbacks(value)]
            result = None
            if self._keeps_result():
                result = self.executor.recorder.success(self.request, self.id, value)
        except BaseException as exc:  # noqa: BLE001  the value or a callback cannot be encoded: the run has failed, and says why
            return self.failed(exc)
        self._hook(task.on_success, value, request.id, self.args, self.kwargs)
        if self.hooks is not None:
            self.sent(successors)
            self.tell(self.hooks.succeeded, task, request, value, runtime)
        if logger.isEnabledFor(logging.INFO):
            text = saferepr(value, task.resultrepr_maxsize)
            logger.info("Task %s[%s] succeeded in %.6fs: %s", self.name, request.id, runtime, text)
        self._leave(states.SUCCESS, value, None)
        return Outcome(self.run.seq, "done", runtime, self.name, result, successors)

    def failed(self, exc: BaseException) -> Outcome:
        """The outcome of a run that raised."""
        runtime = clock.monotonic() - self.began
        try:
            if isinstance(exc, Retry):
                return self._retried(exc, runtime)
            if isinstance(exc, Ignore):
                logger.info("Task %s[%s] ignored", self.name, self.request.id)
                self._leave(states.IGNORED, exc, None)
                return Outcome(self.run.seq, "done", runtime, self.name, None, list(self.request.outbox))
            if isinstance(exc, Reject):
                logger.warning("Task %s[%s] %r", self.name, self.request.id, exc)
                self._leave(states.REJECTED, exc, None)
                reason = f"rejected by the task: {exc.reason}"
                return Outcome(self.run.seq, "requeue" if exc.requeue else "reject", runtime, self.name, reason=reason)
            if isinstance(exc, WorkerStopping) and self.task.acks_late:
                logger.warning(
                    "Task %s[%s] was interrupted, because its worker stops; it runs again", self.name, self.id
                )
                self._leave(states.REJECTED, exc, None)
                return Outcome(self.run.seq, "release", runtime, self.name)
            return self._failure(exc, runtime)
        except BaseException as fault:  # noqa: BLE001  every run has an outcome, whatever its exception does when looked at
            return self._speechless(exc, fault, runtime)
        finally:
            if not self.waits:  # hooks that wait shall see it
                exc.__traceback__ = None  # frames would keep the task's locals alive

    def _retried(self, exc: Retry, runtime: float) -> Outcome:
        info = ExceptionInfo.of(exc)
        again = exc.publication
        if again is None:  # raised by hand, not by Task.retry: it must not be lost either
            again = self.executor.app.publisher.again(self.task, self.request, due=_due(exc.when))
        result = None
        if self._keeps_result():
            cause = exc.exc if exc.exc is not None else exc
            result = self._record(states.RETRY, cause, info.traceback)
        self._hook(self.task.on_retry, exc, self.request.id, self.args, self.kwargs, info)
        if self.hooks is not None:
            self.sent([again])
            self.tell(self.hooks.retried, self.task, self.request, exc, info)
        logger.info("Task %s[%s] retry: %s", self.name, self.request.id, exc)
        self._leave(states.RETRY, exc, info)
        return Outcome(self.run.seq, "retry", runtime, self.name, result, publication=again)

    def _failure(self, exc: BaseException, runtime: float) -> Outcome:
        task, request = self.task, self.request
        info = ExceptionInfo.of(exc)
        result = None
        if self._keeps_result(failed=True):
            result = self._record(states.FAILURE, exc, info.traceback)
        self._hook(task.on_failure, exc, request.id, self.args, self.kwargs, info)
        successors = [*request.outbox, *run_errbacks(self.executor.app, request, info)]
        if self.hooks is not None:
            self.tell(self.hooks.failed, task, request, info, runtime)
            self.sent(successors)
        if isinstance(exc, tuple(task.throws or ())):
            logger.info("Task %s[%s] raised expected: %r", self.name, request.id, exc)
        else:
            told = (type(exc), exc, frames_of(exc))
            logger.error("Task %s[%s] raised unexpected: %r", self.name, request.id, exc, exc_info=told)
        self._leave(states.FAILURE, exc, info)
        outcome = Outcome(self.run.seq, "done", runtime, self.name, result, successors)
        if task.acks_late and not acks_on_failure(task):
            outcome.kind, outcome.reason = "reject", f"the task raised {type(exc).__name__}"
        return outcome

    def conclude(self, ended: Conclusion) -> Outcome:
        """The outcome of a run that ended in another process, which could not tell of it."""
        context.push_task(self.task, self.request)
        self.left = False
        self.hooks = self.executor.hooks if self.executor.hooks.runs else None
        lost = WorkerLostError(f"the process that ran this task was {ended.how}")
        error = TimeLimitExceeded(ended.seconds) if ended.fault == "time" else lost
        outcome = self.failed(Retry(exc=error, when=self.task.default_retry_delay) if ended.again else error)
        outcome.runtime = -1.0
        self.catch_up_alone()
        if not ended.again:
            outcome.kind, outcome.reason = ("reject", ended.dead) if ended.dead else ("done", "")
        return outcome

    def _speechless(self, exc: BaseException, fault: BaseException, runtime: float) -> Outcome:
        """The outcome of a run whose end cannot be told as it should be."""
        text = f"the task ended with {type(exc).__name__}, which could not be recorded: {type(fault).__name__}"
        where = "".join(traceback.format_tb(fault.__traceback__))  # frames only: they look at no exception
        logger.error("Task %s[%s]: %s\n%s", self.name, self.request.id, text, where)
        result = None
        if self._keeps_result(failed=True):
            result = self.executor.recorder.fault(self.id, EncodeError(text), self.request.reply_to)
        if self.hooks is not None:
            self.tell(self.hooks.internal_error, self.task, self.request, ExceptionInfo(fault, where))
        self._leave(states.FAILURE, fault, None)
        return Outcome(self.run.seq, "done", runtime, self.name, result, list(self.request.outbox))

    def _callbacks(self, value: Any) -> list[Publication]:
        request, publisher = self.request, self.executor.app.publisher
        found = [publisher.successor(callback, (value,), request) for callback in request.callbacks or ()]
        if request.chain:
            step, rest = pop_next(request.chain)
            if step is not None:
                found.append(publisher.successor(step, (value,), request, chain=rest or None))
        return found

    def _keeps_result(self, *, failed: bool = False) -> bool:
        if not self.executor.recorder.stores:
            return False
        ignored = self.request.ignore_result or self.manner.ignores_result
        return not ignored or (failed and self.manner.keeps_errors)

    def _record(self, status: str, result: Any, traceback: str | None = None) -> Record:
        return self.executor.recorder.record(self.request, self.id, status, result, traceback)

    def _hook(self, hook: Callable[..., Any], *args: Any) -> None:
        try:
            hook(*args)
        except BaseException:
            logger.exception("%s of task %s[%s] raised; the outcome stands", hook.__name__, self.name, self.request.id)

    def _leave(self, status: str, value: Any, info: ExceptionInfo | None) -> None:
        if not self.left:
            self.left = True
            if self.executor.chalk is not None and self.executor.chalk.tells:
                self._hook(self._tell_monitors, status, value, info)
            if self.executor.progress.said:
                self.executor.progress.forget(self.id)
            if self.manner.stalls:
                fall_silent(self.id)
            if status not in UNRETURNED:
                self._hook(self.task.after_return, status, value, self.request.id, self.args, self.kwargs, info)
            if self.hooks is not None:
                self.tell(self.hooks.after_run, self.task, self.request, status, value)
                self.leave_task()
            else:
                context.pop_task()

    def _tell_monitors(self, status: str, value: Any, info: ExceptionInfo | None) -> None:
        told = monitors.told(self.run.seq, status, value, info, self.task.resultrepr_maxsize)
        if told is not None:
            self.executor.report(told)


def _properties(envelope: Envelope) -> dict[str, Any]:
    return {
        **envelope.properties,
        "correlation_id": envelope.correlation_id,
        "reply_to": envelope.reply_to,
        "delivery_mode": envelope.delivery_mode,
        "priority": envelope.priority,
    }


def _due(when: Any) -> float | None:
    if when is None:
        return None
    return float(when.timestamp()) if hasattr(when, "timestamp") else clock.wall() + float(when)
