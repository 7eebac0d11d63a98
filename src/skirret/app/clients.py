"""An app's connections: broker, result backend, coordination, result reader; opened on first use, once a process."""

from __future__ import annotations

import importlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from skirret import context
from skirret.app.caller import user_frame
from skirret.app.queues import Queues
from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker
from skirret.coordination.base import Coordination
from skirret.errors import EmbeddedBrokerWarning, ImproperlyConfigured
from skirret.results import ResultReader
from skirret.settings import Conf
from skirret.settings.transports import broker_options, coordination_options, result_options
from skirret.url import mask

Client = TypeVar("Client")


class LockType(Protocol):
    """A lock that may be taken again by its holder."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it."""
        ...

    def release(self) -> None:
        """Give it back."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


PATIENCE = 2.0
"""Seconds that a fork waits for a thread that is opening a connection."""

_every: weakref.WeakSet[Clients] = weakref.WeakSet()


class Clients:
    """What one app talks to. Everything is opened on first use, and again in a forked child.

    Args:
        conf: returns the app's settings.
        origin: the file that created the app; it decides which embedded file is the app's.
        forked: called in a forked child.
        queues: returns the queues that the app declares.
    """

    def __init__(
        self,
        conf: Callable[[], Conf],
        origin: Path,
        forked: Callable[[], object],
        queues: Callable[[], Queues] = lambda: Queues((), default="celery"),
    ) -> None:
        self._queues = queues
        self._conf = conf
        self._origin = origin
        self.forked = forked
        self._locks: dict[int, LockType] = {}
        self._process = os.getpid()
        self._open: dict[str, Any] = {}
        # Connections of the parent process: kept, because closing them here would disturb the parent's server session.
        self._inherited: list[Any] = []
        self._warned = False
        _every.add(self)

    def embedded_path(self) -> Path:
        """The file that serves as broker and result store where none is configured."""
        named = self._conf().get("embedded_path")
        if named:
            return Path(named).expanduser().absolute()
        from skirret.stores.sqlite.location import embedded_path

        return embedded_path(self._origin)

    def broker_url(self) -> str:
        """The address that messages are published to: the configured one, else the embedded file's.

        Several, with ``;`` between them, are the servers of one system, such as sentinels.
        """
        conf = self._conf()
        url = conf.get("broker_write_url") or conf.get("broker_url")
        if not url:
            from skirret.stores.sqlite.location import url_of

            return url_of(self.embedded_path())
        return url if isinstance(url, str) else ";".join(map(str, url))

    def is_embedded(self) -> bool:
        """Whether no broker is configured."""
        conf = self._conf()
        return not (conf.get("broker_write_url") or conf.get("broker_url"))

    def backend_url(self) -> str:
        """The address of results: the configured one; the embedded file's with the embedded broker; else none."""
        url = self._conf().get("result_backend")
        if url:
            return str(url)
        return self.broker_url() if self.is_embedded() else "disabled://"

    def coordination_url(self) -> str | None:
        """The address of shared state: the configured one, else the broker's or the result store's if that can keep it.

        None is nowhere.
        """
        url = self._conf().get("coordination_url")
        if url:
            return str(url)
        from skirret.coordination.open import keeps_state

        return next((url for url in (self.broker_url(), self.backend_url()) if keeps_state(url)), None)

    def lock(self) -> LockType:
        """The lock of this process, made on first use: a web server may replace the threading module after its fork."""
        process = os.getpid()
        return self._locks.get(process) or self._locks.setdefault(process, threading.RLock())

    def _get(self, name: str, make: Callable[[], Client]) -> Client:
        found: Client | None = self._open.get(name) if self._process == os.getpid() else None
        if found is not None:
            return found
        with self.lock():
            self.after_fork()
            if name not in self._open:
                self._open[name] = make()
            made: Client = self._open[name]
        # A driver that was loaded while a fork was waiting for it has missed that fork's hooks: no use of it meanwhile.
        _no_fork.wait(PATIENCE)
        return made

    def after_fork(self) -> None:
        """Leave the parent's connections alone, if this is another process than the one that opened them."""
        if self._process == os.getpid():
            return
        self._inherited.extend(self._open.values())
        self._open = {}
        self._process = os.getpid()

    @property
    def broker(self) -> Broker:
        """The broker of this process."""
        return self._get("broker", self._open_broker)

    def _open_broker(self) -> Broker:
        from skirret.brokers.open import open_broker, require_exchanges

        broker = open_broker(self.broker_url(), {} if self.is_embedded() else broker_options(self._conf()))
        require_exchanges(broker, self._queues().values())
        broker.plan(lambda name: self._queues().find(name))
        return broker

    @property
    def backend(self) -> ResultBackend:
        """The result store of this process."""
        return self._get("backend", self._open_backend)

    def _open_backend(self) -> ResultBackend:
        from skirret.backends.open import open_backend

        conf = self._conf()
        options = result_options(conf, self.broker_url()) if conf.get("result_backend") else {}
        return open_backend(self.backend_url(), options)

    def reply_to(self) -> str:
        """Where results of tasks that this process sends go, where they are messages."""
        return self.backend.reply_to or ""

    @property
    def coordination(self) -> Coordination:
        """The shared worker state, as this process sees it."""
        return self._get("coordination", self._open_coordination)

    def _open_coordination(self) -> Coordination:
        from skirret.coordination.open import open_coordination

        url = self.coordination_url()
        if url is None:
            raise ImproperlyConfigured(
                f"neither the broker {mask(self.broker_url())} nor the result store {mask(self.backend_url())} keeps "
                "state that workers share (revokes, pauses, unique keys, limits of the fleet): set coordination_url to "
                "a server that does, such as redis://localhost/0"
            )
        return open_coordination(url, {} if self.is_embedded() else coordination_options(self._conf(), url))

    @property
    def reader(self) -> ResultReader:
        """The one reader of results in this process."""
        return self._get("reader", self._open_reader)

    def _open_reader(self) -> ResultReader:
        # Loaded here, where a fork waits for it, and not by the first result that some thread reads.
        importlib.import_module("skirret.wire.results")
        conf = self._conf()
        accept = conf.get("result_accept_content") or conf.get("accept_content")
        return ResultReader(
            self.backend,
            accept=accept,
            serializer=conf.get("result_serializer") or "json",
            cache_max=conf.get("result_cache_max"),
        )

    def warn_if_embedded(self) -> None:
        """Say once a process that the embedded file is in use, and which; a running task's worker has said so."""
        if self._warned or not self.is_embedded():
            return
        self._warned = True
        request = context.current_request()
        if request is not None and not request.called_directly:
            return
        warnings.warn(
            f"no broker is configured, so tasks go to the embedded file {self.embedded_path()}. A worker of this "
            "project finds the same file. Set broker_url (or SKIRRET_BROKER_URL) to use a server, or to this file's "
            f"own address {self.broker_url()} to silence this warning.",
            EmbeddedBrokerWarning,
            stacklevel=user_frame()[1],
        )

    def close(self) -> None:
        """Let go of this process's connections; they open again on the next use."""
        with self.lock():
            self.after_fork()
            opened, self._open = self._open, {}
        for name in ("backend", "coordination", "broker"):
            client = opened.get(name)
            if client is not None:
                client.close()


_held: list[LockType] = []
_no_fork = threading.Event()
_no_fork.set()


def _before_fork() -> None:
    # A thread that is opening a connection may be importing its driver, and a child would wait for ever for an import
    # that only that thread can finish. So it may finish before the fork; not longer, should it wait for us in turn.
    _no_fork.clear()
    for clients in list(_every):
        lock = clients.lock()
        if lock.acquire(timeout=PATIENCE):
            _held.append(lock)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()
    _no_fork.set()


def _after_fork_in_child() -> None:
    global _no_fork
    _held.clear()  # locks of the parent; this process makes its own
    _no_fork = threading.Event()
    _no_fork.set()
    for clients in list(_every):
        clients.after_fork()
        clients.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
