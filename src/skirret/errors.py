"""Every error that Skirret raises, in one tree.

    SkirretError
    ├── ImproperlyConfigured        a setting, a URL or an option cannot be used
    │   └── MissingDependency       a driver is not installed; the message names the extra
    ├── SecurityError               content that this process refuses to read or write
    │   └── ContentDisallowed       a serializer that is not in ``accept_content``
    ├── SerializationError          a value or a body that a serializer cannot handle
    │   ├── EncodeError
    │   └── DecodeError
    ├── OperationalError            a broker cannot be reached, is full, or refuses
    ├── BackendError                a result store cannot be read or written
    │   ├── BackendGetMetaError
    │   ├── BackendStoreError
    │   └── ResultsDisabled         this app keeps no results; the message says how to turn them on
    ├── CapabilityError             this broker or pool declares that it cannot do that
    ├── TaskPredicate               raised by a task to say what becomes of it
    │   ├── Ignore
    │   ├── Reject
    │   └── Retry
    └── TaskError
        ├── QueueNotFound, NotRegistered, AlreadyRegistered, InvalidTaskError, IncompleteStream
        ├── TimeoutError            a result was not ready in time (also Python's TimeoutError)
        ├── MaxRetriesExceededError, TaskRevokedError, ChordError
        ├── WorkerLostError         the process that ran the task died
        ├── Terminated              somebody terminated the task
        └── TimeLimitExceeded       the hard limit
    SoftTimeLimitExceeded           raised inside the task; of its own, so that `except SkirretError` does not eat it
    RemoteError                     stand-in for an exception whose class is not loaded here

A message says what happened, why, and what to do next. Names are those of Celery 5.7's ``celery.exceptions``.
"""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any


class SkirretError(Exception):
    """Root of Skirret's errors."""


class ImproperlyConfigured(SkirretError):
    """A setting, a URL or an option cannot be used as given."""


class MissingDependency(ImproperlyConfigured):
    """An optional library is not installed; the message names the extra that brings it."""


class SecurityError(SkirretError):
    """Content that this process refuses to read or write."""


class ContentDisallowed(SecurityError):
    """A content type that ``accept_content`` does not list."""


class SerializationError(SkirretError):
    """A value or a body that a serializer cannot handle."""


class EncodeError(SerializationError):
    """A value cannot be serialised."""


class DecodeError(SerializationError):
    """Bytes cannot be deserialised."""


class OperationalError(SkirretError):
    """A broker cannot be reached, is full, or refuses; nothing was lost and the call may be repeated."""


class BackendError(SkirretError):
    """A result store failed."""


class BackendGetMetaError(BackendError):
    """A result could not be read."""

    def __init__(self, *args: Any, task_id: str | None = None) -> None:
        super().__init__(*args)
        self.task_id = task_id


class BackendStoreError(BackendError):
    """A result could not be written."""

    def __init__(self, *args: Any, state: str | None = None, task_id: str | None = None) -> None:
        super().__init__(*args)
        self.state = state
        self.task_id = task_id


class ResultsDisabled(BackendError, NotImplementedError):
    """A result was asked for, but this app keeps none. Celery raises NotImplementedError there."""


class CapabilityError(SkirretError):
    """The broker, backend or pool in use declares that it cannot do this; the message names what can."""


class TaskPredicate(SkirretError):
    """Raised by a task to say what becomes of it."""


class Ignore(TaskPredicate):
    """The task asks that no state be recorded for this run."""


class Reject(TaskPredicate):
    """The task refuses its message.

    Args:
        reason: shown in the dead letters.
        requeue: true puts the message back into its queue, false sends it to the dead letters.
    """

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class Retry(TaskPredicate):
    """The task is to run again later.

    Args:
        message: free text.
        exc: the exception that caused the retry.
        when: seconds from now, or the aware moment, of the next run.
        is_eager: the retry happens in the caller's process.
        sig: the signature of the next run (eager mode).
        publication: the next run's ``message.Publication`` (worker).
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
        publication: Any = None,
    ) -> None:
        super().__init__(message, exc, when)
        self.message = message
        self.exc = exc
        self.when = when
        self.is_eager = is_eager
        self.sig = sig
        self.publication = publication

    @property
    def excs(self) -> str | None:
        """Text of the causing exception."""
        return None if self.exc is None else repr(self.exc)

    def humanize(self) -> str:
        """When the next run is due, in words."""
        if self.when is None:
            return "now"
        if isinstance(self.when, (int, float)):
            return f"in {self.when:g}s"
        return f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"Retry {self.humanize()}" + (f": {self.exc!r}" if self.exc is not None else "")


class TaskError(SkirretError):
    """Something is wrong with a task, its name or its result."""


class QueueNotFound(KeyError, TaskError):
    """A route names a queue that ``task_queues`` lacks, and ``task_create_missing_queues`` is off."""


class NotRegistered(KeyError, TaskError):
    """No task of that name is registered in this app."""


class AlreadyRegistered(TaskError):
    """A different task of that name is registered."""


class IncompleteStream(TaskError):
    """A stream of results ended early."""


class InvalidTaskError(TaskError):
    """The message's task data is invalid."""


class TimeoutError(TaskError, builtins.TimeoutError):  # noqa: A001  Celery's public name
    """A result was not ready in time; a plain ``except TimeoutError`` catches it too."""


class MaxRetriesExceededError(TaskError):
    """The task used up its retries."""

    def __init__(self, *args: Any, task_args: Any = (), task_kwargs: Any = None) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = {} if task_kwargs is None else task_kwargs


class TaskRevokedError(TaskError):
    """The task was revoked, expired or terminated before it finished."""


class ChordError(TaskError):
    """A part of a chord failed, so its body cannot run."""


class WorkerLostError(TaskError):
    """The process that ran the task died."""


class Terminated(TaskError):
    """Somebody terminated the task while it ran."""


class TimeLimitExceeded(TaskError):
    """The task ran longer than its hard time limit."""


class SoftTimeLimitExceeded(Exception):
    """Raised inside a task when its soft time limit passes."""


class WorkerStopping(SoftTimeLimitExceeded):
    """Raised inside a task shortly before its worker ends: leave now; a task that lets it through runs again."""


class RemoteError(SkirretError):
    """A faithful stand-in for an exception of a worker whose class is not loaded in this process.

    Nothing is ever imported because a message names it. ``exc_module`` and ``exc_type`` tell what it was.
    """

    exc_module: str = ""
    exc_type: str = ""


class SkirretWarning(UserWarning):
    """Root of Skirret's warnings."""


class FixupWarning(SkirretWarning):
    """An app could not be fitted to the framework in whose program it was made."""


class AlwaysEagerIgnored(SkirretWarning):
    """``send_task`` does not run tasks eagerly."""


class DuplicateTaskNameWarning(SkirretWarning):
    """Two different functions were registered under one name."""


class DuplicateNodenameWarning(SkirretWarning):
    """Two workers share one node name."""


class NotConfigured(SkirretWarning):
    """The app runs on defaults because nothing configured it."""


class EmbeddedBrokerWarning(SkirretWarning):
    """No broker is configured, so the project's embedded file is used."""


class SecurityWarning(SkirretWarning):
    """Something works, but not safely."""
