"""Results as messages to who sent the task, in Celery's format: nothing is stored, and only he can read them."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from skirret import clock, loggers
from skirret.backends.base import ResultBackend
from skirret.backends.rpc.kept import Kept
from skirret.backends.rpc.letter import outgoing
from skirret.backends.rpc.mailbox import Mailbox
from skirret.backends.rpc.queue import ReplyQueue
from skirret.errors import BackendError, CapabilityError, EncodeError, ImproperlyConfigured, OperationalError
from skirret.message import Record
from skirret.serializers.registry import get
from skirret.stores.amqp.address import SCHEMES
from skirret.stores.amqp.faults import Refused, in_words
from skirret.stores.amqp.store import Store, store_at
from skirret.url import Url, parse

logger = loggers.own("skirret.results")

KEPT = 100_000
"""Results that a process keeps until they are read and forgotten, unless ``result_cache_max`` says otherwise."""

NO_GROUPS = (
    "results of rpc:// are messages to the process that sent the task, so a group cannot be saved there for others. "
    "Keep the GroupResult itself, or set result_backend to a store, such as redis://localhost/0"
)

_backends: weakref.WeakSet[RpcBackend] = weakref.WeakSet()


class RpcBackend(ResultBackend):
    """Results at one queue of each process that sends tasks, on the broker's RabbitMQ server.

    Args:
        store: the server.
        life: seconds for which a result, and a queue that nobody uses, live (``result_expires``); None is without end.
        persistent: whether results outlive a restart of the server (``result_persistent``).
        most: how many results a process keeps; None is without bound.
        serializer: how payloads are encoded, by name (``result_serializer``).
    """

    shared: ClassVar[bool] = False

    def __init__(
        self,
        store: Store,
        *,
        life: float | None = 86400.0,
        persistent: bool = False,
        most: int | None = KEPT,
        serializer: str = "json",
    ) -> None:
        self._store = store
        self._life = life
        self._mode = 2 if persistent else 1
        self._most = most
        self._serializer = serializer
        self._boxes: dict[int, Mailbox] = {}  # by process: a forked child has a queue of its own
        self._kind: tuple[str, str] | None = None
        self._warned = False

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> RpcBackend:
        """The results of ``rpc://``, whose server is the broker's; a host in the address is not heeded, as in Celery.

        Args:
            url: the address.
            options: ``broker_url`` and ``broker_options`` say where the broker is; ``expires``, ``persistent``,
                ``cache_max`` and ``serializer`` are the settings ``result_…``.

        Raises:
            ImproperlyConfigured: the broker is no RabbitMQ server.
        """
        broker = parse(str(options.get("broker_url") or "none"))
        if broker.scheme not in SCHEMES:
            raise ImproperlyConfigured(
                f"result_backend = {str(url)!r} sends results through the broker, which must be RabbitMQ "
                f"({', '.join(f'{scheme}://' for scheme in SCHEMES)}) and is {str(broker)!r}. Set broker_url, or "
                "result_backend to the address of a result store"
            )
        cache_max = options.get("cache_max", -1)
        return cls(
            store_at(broker, options.get("broker_options") or {}),
            life=options.get("expires", 86400.0),
            persistent=bool(options.get("persistent")),
            most=KEPT if cache_max is None or cache_max < 0 else cache_max or None,
            serializer=options.get("serializer") or "json",
        )

    @property
    def identity(self) -> str:
        """The cluster's name and the virtual host, as the broker has it."""
        with _as_backend_error():
            return self._store.identity

    # -- who sends tasks

    @property
    def reply_to(self) -> str:
        """The name of this process's queue."""
        return self._box().queue.name

    def expect(self) -> None:
        """See to it that the queue is there before a task is sent whose result goes to it.

        Raises:
            OperationalError: the server cannot be reached.
        """
        self._box().queue.declare()

    # -- who runs them

    def store(self, records: Sequence[Record]) -> list[bool]:
        """Send results to where each was asked for, all confirmed; False for those without an address.

        Whether one is newer than another is for him to judge who gets them; where his queue is gone, so is the result.
        """
        kind = self._kind or self._content_kind()
        letters = [outgoing(record, *kind, self._mode) for record in records]
        sendable = [one for one in letters if one is not None]
        if sendable:
            with _as_backend_error():
                try:
                    self._store.publish(sendable)
                except Refused as exc:  # one is too large, and will be: no patience helps
                    raise EncodeError(str(in_words(exc, self._store.address))) from exc
        return [one is not None for one in letters]

    def _content_kind(self) -> tuple[str, str]:
        try:
            codec = get(self._serializer)
        except ImproperlyConfigured:  # known to the app, which a supervisor does not import
            self._kind = (f"application/x-{self._serializer}", "binary")
        else:
            self._kind = (codec.content_type, codec.content_encoding)
        return self._kind

    # -- who waits

    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        """What came to this process, and was neither forgotten nor too old or one too many."""
        if not task_ids:
            return {}
        with _as_backend_error():
            return self._asked().fetch(list(dict.fromkeys(task_ids)))

    def wait(self, task_ids: Sequence[str], timeout: float) -> dict[str, bytes]:
        """Hear what comes to this process's queue until something wanted is finished."""
        with _as_backend_error():
            return self._asked().wait(task_ids, clock.Deadline(timeout))

    def forget(self, task_ids: Sequence[str]) -> int:
        """Drop what came."""
        with _as_backend_error():
            return self._box().forget(task_ids)

    def interrupt(self) -> None:
        """Make all waits of this process, or else the next one, return at once."""
        self._box().interrupt()

    def cleanup(self) -> int:
        """Drop what has ended here; the server does so in its queues."""
        with _as_backend_error():
            return self._box().cleanup()

    def close(self) -> None:
        """Hang up; queue and results stay, for this process may go on."""
        box = self._boxes.get(os.getpid())
        if box is not None:
            box.close()
        self._store.close()

    def depart(self) -> None:
        """Delete the queue of this process."""
        box = self._boxes.get(os.getpid())
        if box is not None and box.queue.is_made:
            box.queue.delete()

    def _box(self) -> Mailbox:
        pid = os.getpid()
        found = self._boxes.get(pid)
        if found is None:
            kept = Kept(self._most, self._life)
            made = Mailbox(ReplyQueue(self._store, self._life), kept, self._store.address.deadline)
            found = self._boxes.setdefault(pid, made)  # decides between two threads that come first together
            _backends.add(self)
        return found

    def _asked(self) -> Mailbox:
        fresh = os.getpid() not in self._boxes
        box = self._box()
        if fresh and not self._warned:
            self._warned = True
            logger.warning(
                "This process asks for results without having sent a task. With rpc:// a result goes to the process "
                "that sent the task, and to no other: here it stays PENDING. A result store, such as redis://, can be "
                "read by all."
            )
        return box

    # -- groups

    def store_group(self, group_id: str, payload: bytes, ttl: float | None = None) -> NoReturn:
        """Raise CapabilityError."""
        raise CapabilityError(NO_GROUPS)

    def fetch_group(self, group_id: str) -> NoReturn:
        """Raise CapabilityError."""
        raise CapabilityError(NO_GROUPS)

    def forget_group(self, group_id: str) -> NoReturn:
        """Raise CapabilityError."""
        raise CapabilityError(NO_GROUPS)


@contextmanager
def _as_backend_error() -> Iterator[None]:
    try:
        yield
    except OperationalError as exc:
        raise BackendError(str(exc)) from exc


def _depart() -> None:
    for backend in list(_backends):
        backend.depart()


atexit.register(_depart)
