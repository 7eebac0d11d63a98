"""The result store in the embedded file, which the embedded broker's workers settle into."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skirret import clock
from skirret.backends.base import ResultBackend
from skirret.errors import BackendError, OperationalError
from skirret.message import Record
from skirret.stores.sqlite import results
from skirret.stores.sqlite.bells import RESULTS, Bell
from skirret.stores.sqlite.location import path_of
from skirret.stores.sqlite.options import timeout_of
from skirret.stores.sqlite.store import TIMEOUT, Session, store_at
from skirret.stores.sqlite.text import storable
from skirret.url import Url

LOOK_SECONDS = 0.2
"""A wait asks this often whether the file has changed, for bells may be lost."""

REST = 20.0
"""A wait for many results looks at all of them for at most one part in this many of its time."""

CLEAN_BATCH = 2000
"""Expired results that one transaction deletes, so that others get their turn."""


class SqliteBackend(ResultBackend):
    """Results in one file, for all processes of this machine.

    Args:
        path: the file; made with its directory when it is needed.
        timeout: seconds that a call waits for others who write.
    """

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self._store = store_at(path, timeout)
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: set[Bell] = set()
        self._interrupted = False

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> SqliteBackend:
        """The result store at ``sqlite:///path``; see ``SqliteBroker.from_url``."""
        return cls(path_of(url), timeout_of(url, options))

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.path

    @property
    def identity(self) -> str:
        """Device and inode of the file: equal to that of the broker on the same file."""
        with _as_backend_error():
            return self._store.identity

    def store(self, records: Sequence[Record]) -> list[bool]:
        """Write in order, each by compare-and-set, in one transaction that is on the disk when this returns."""
        if not records:
            return []
        with _as_backend_error(), self._store.writing() as connection:
            flags = results.write_and_tell(connection, records, clock.wall())
        done = results.finished(record for record, flag in zip(records, flags, strict=True) if flag)
        if done:
            self._store.bells.ring(RESULTS, done)
        return flags

    def fetch(self, task_ids: Sequence[str]) -> dict[str, bytes]:
        """What is there."""
        with _as_backend_error(), self._store.reading() as connection:
            return results.read(connection, task_ids, clock.wall())

    def wait(self, task_ids: Sequence[str], timeout: float) -> dict[str, bytes]:
        """Look at what bells name, and at everything when the file has changed, until one is ready."""
        if self._pid != os.getpid():  # forked: another thread may have held the lock
            self._start()
        deadline = clock.Deadline(timeout)
        found = self._read(None, task_ids)
        if found or deadline.passed():
            return found
        bell = self._store.bells.hang(RESULTS)
        try:
            with self._lock:
                if self._interrupted:
                    self._interrupted = False
                    return {}
                self._waiting.add(bell)
            with self._store.lent() as session:
                return self._listen(bell, session, task_ids, deadline)
        finally:
            with self._lock:
                self._waiting.discard(bell)
            bell.close()

    def _listen(
        self, bell: Bell, session: Session, task_ids: Sequence[str], deadline: clock.Deadline
    ) -> dict[str, bytes]:
        asked = {storable(task_id): task_id for task_id in task_ids}
        version = self._version(session)
        found = self._read(session, task_ids)  # what came before the bell hung
        rest = clock.Deadline(0.0)
        while not found and not deadline.passed():
            words = bell.wait(min(LOOK_SECONDS, deadline.left() or 0.0))
            if bell.was_interrupted():
                break
            named = [] if words is None else [asked[word] for word in words if word in asked]
            if named:
                found = self._read(session, named)
            elif not words and rest.passed():
                now = self._version(session)
                if words is None or now != version or deadline.passed():
                    start = clock.monotonic()
                    found = self._read(session, task_ids)
                    rest = clock.Deadline(REST * (clock.monotonic() - start))
                version = now
        return found

    def _read(self, session: Session | None, task_ids: Sequence[str]) -> dict[str, bytes]:
        with _as_backend_error(), self._store.reading(session) as connection:
            return results.read(connection, task_ids, clock.wall(), only_finished=True)

    def _version(self, session: Session) -> tuple[int, int]:
        # Changes with each commit of others; a connection that was opened again may start with the same number.
        with _as_backend_error(), self._store.reading(session) as connection:
            return id(connection), connection.execute("PRAGMA data_version").fetchone()[0]

    def forget(self, task_ids: Sequence[str]) -> int:
        """Delete what is there."""
        if not task_ids:
            return 0
        with _as_backend_error(), self._store.writing() as connection:
            return results.delete(connection, task_ids, clock.wall())

    def interrupt(self) -> None:
        """Make all waits of this backend, or else the next one, return at once."""
        if self._pid != os.getpid():
            self._start()
        with self._lock:
            self._interrupted = not self._waiting
            for bell in self._waiting:
                bell.interrupt()

    def cleanup(self) -> int:
        """Delete what has expired, some thousands a transaction."""
        dropped = 0
        while True:
            with _as_backend_error(), self._store.writing() as connection:
                batch = results.delete_expired(connection, clock.wall(), CLEAN_BATCH)
            dropped += batch
            if batch < CLEAN_BATCH:
                return dropped

    def close(self) -> None:
        """Close idle connections."""
        self._store.close()


@contextmanager
def _as_backend_error() -> Iterator[None]:
    try:
        yield
    except OperationalError as exc:
        raise BackendError(str(exc)) from exc
