"""One embedded file as one process sees it: connections, transactions, checkpoints."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from skirret import clock
from skirret.errors import OperationalError
from skirret.stores.shared import Shared
from skirret.stores.sqlite import faults, files, forking, layout
from skirret.stores.sqlite.bells import Bells
from skirret.stores.sqlite.writelock import WriteLock

TIMEOUT = 5.0
"""Seconds that a call waits for others who write, unless said otherwise."""

CHECKPOINT_PAGES = 2000
"""Pages in the write-ahead log, as estimated from what this process wrote, after which they move to the file."""

CHECKPOINT_SECONDS = 5.0
"""Seconds after which they move, however few."""

CACHE_KIB = 4096
"""Page cache of one connection: results are written at random places of their index."""

MAX_IDLE = 4
"""Connections kept open for the next use."""

_abandoned: list[sqlite3.Connection] = []
# Never closed: of a file that was replaced, SQLite's last close would delete the log of the new one, by its name; and
# of a parent's, it would release locks.


class Session:
    """One connection, opened when it is used and opened again after a fork, a failure or a change of the file."""

    __slots__ = ("__weakref__", "connection", "durable", "inode", "pid")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.inode: tuple[int, int] = (0, 0)
        self.pid = 0
        self.durable = True

    def close(self) -> None:
        """Close the connection, if it is this process's."""
        connection, self.connection = self.connection, None
        if connection is not None:
            if self.pid == os.getpid():
                connection.close()
            else:
                _abandoned.append(connection)

    def abandon(self) -> None:
        """Let go of the connection without closing it."""
        if self.connection is not None:
            _abandoned.append(self.connection)
            self.connection = None

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be ending
            self.close()


class Store:
    """An embedded file. Methods are safe to call from several threads.

    Args:
        path: the file; it and its directory are made when they are needed.
        timeout: seconds that a call waits for others who write.
    """

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        self.path = path
        self.timeout = timeout
        self.bells = Bells(path)
        self._lock = WriteLock(path)
        self._opening = threading.Lock()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._idle: list[Session] = []
        self._known: tuple[int, int] = (0, 0)  # the inode whose layout was checked
        self._pid = os.getpid()
        self._unsafe = False
        self._pages = 0.0
        self._checkpoint_at = clock.monotonic() + CHECKPOINT_SECONDS
        forking.enrol(self)

    @property
    def identity(self) -> str:
        """Names the file itself, whatever path leads to it: ``sqlite:<device>:<inode>``."""
        with self.reading():
            pass
        device, inode = self._known
        return f"sqlite:{device}:{inode}"

    def session(self) -> Session:
        """A connection for one user who wants the same one each time."""
        with forking.gate.passed():
            return self._make()

    def _make(self) -> Session:
        made = Session()
        self._sessions.add(made)
        return made

    @contextmanager
    def reading(self, session: Session | None = None) -> Iterator[sqlite3.Connection]:
        """A connection for queries, each seeing the file as it is then. Never nested.

        Raises:
            OperationalError, ImproperlyConfigured: what SQLite reports, in words.
        """
        with forking.gate.passed():
            own = session or self._borrow()
            try:
                yield self._ready(own)
            except sqlite3.Error as exc:
                self._complain(own, exc)
            finally:
                if session is None:
                    self._give_back(own)

    @contextmanager
    def writing(self, session: Session | None = None, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that is committed in the end, or rolled back if an exception leaves it.

        Args:
            session: the connection to use.
            durable: the commit outlives a power failure; otherwise it outlives the process, and a power failure
                unless the machine fails within seconds (what was committed in order stays in order).

        Raises:
            OperationalError, ImproperlyConfigured: as `reading`; nothing was written.
        """
        with forking.gate.passed():
            own = session or self._borrow()
            try:
                connection = self._ready(own)
                with self._lock.held(self.timeout):
                    self._set_durable(own, connection, durable)
                    before = connection.total_changes
                    with transaction(connection):
                        yield connection
                    self._checkpoint(connection, connection.total_changes - before)
            except sqlite3.Error as exc:
                self._complain(own, exc)
            finally:
                if session is None:
                    self._give_back(own)

    def _complain(self, session: Session, exc: sqlite3.Error) -> NoReturn:
        broken = faults.code_of(exc) in faults.BROKEN_CONNECTION
        if broken or (session.connection is not None and session.connection.in_transaction):
            session.close()
        words = faults.in_words(exc, self.path)
        if words is exc:
            raise exc
        raise words from exc

    @contextmanager
    def lent(self) -> Iterator[Session]:
        """A connection for several uses in a row, such as a wait."""
        session = self._borrow()
        try:
            yield session
        finally:
            with forking.gate.passed():  # it may be closed, which must not meet a fork
                self._give_back(session)

    def close(self) -> None:
        """Close the connections that nobody uses; they open again when they are needed."""
        self.bells.close()
        with forking.gate.passed():
            while self._idle:
                try:
                    session = self._idle.pop()
                except IndexError:
                    break
                self._close(session)
        self._lock.close()

    def _close(self, session: Session) -> None:
        # Without the write lock: only the last close of all processes checkpoints, and then nobody commits.
        if self._is_in_place(session.inode):
            session.close()
        else:
            session.abandon()

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be ending
            self.bells.close()
            self._lock.forget()

    def _is_in_place(self, inode: tuple[int, int]) -> bool:
        try:
            stat = os.stat(self.path)  # noqa: PTH116  1 us on every use, a third of Path.stat
        except OSError:
            return False
        return (stat.st_dev, stat.st_ino) == inode

    # -- connections

    def _borrow(self) -> Session:
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def _give_back(self, session: Session) -> None:
        # Where forks come unannounced, there will be no moment to close it before one.
        if forking.is_unannounced() or len(self._idle) >= MAX_IDLE:
            self._close(session)
        else:
            self._idle.append(session)

    def _ready(self, session: Session) -> sqlite3.Connection:
        if self._pid != os.getpid():
            self._begin_anew()
        if self._unsafe:
            raise OperationalError(
                f"this process was forked while its parent had {self.path} open, so its connection cannot be trusted. "
                "Open it after the fork only (uWSGI: lazy-apps = true)."
            )
        if session.connection is not None and not self._is_in_place(session.inode):
            session.abandon()
        return session.connection or self._connect(session)

    def _connect(self, session: Session) -> sqlite3.Connection:
        with self._opening:
            if not self._is_in_place(self._known):
                files.make(self.path)
            connection = sqlite3.connect(
                self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            try:
                inode = self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            session.connection, session.inode, session.pid = connection, inode, os.getpid()
            session.durable = True
            return connection

    def _prepare(self, connection: sqlite3.Connection) -> tuple[int, int]:
        try:
            stat = os.stat(self.path)  # noqa: PTH116
        except OSError as exc:
            raise files.in_words(exc, self.path) from exc
        inode = (stat.st_dev, stat.st_ino)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if inode != self._known and not layout.is_current(connection, self.path):
            with self._lock.held(self.timeout):
                self._write_ahead(connection)
                layout.bring_up_to_date(connection, self.path)
        self._write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._known = inode
        return inode

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise OperationalError(
                f"{self.path} cannot have a write-ahead log: its file system has no shared memory. Set SKIRRET_HOME to "
                "a directory on a local disk."
            )

    # -- transactions

    def _set_durable(self, session: Session, connection: sqlite3.Connection, durable: bool) -> None:
        if session.durable != durable:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            session.durable = durable

    def _checkpoint(self, connection: sqlite3.Connection, changes: int) -> None:
        # Under the write lock. A transaction touches some three pages, and half a page more for each row.
        self._pages += 3 + changes / 2
        now = clock.monotonic()
        if self._pages < CHECKPOINT_PAGES and now < self._checkpoint_at:
            return
        self._pages = 0.0
        self._checkpoint_at = now + CHECKPOINT_SECONDS
        with suppress(sqlite3.Error):  # the commit is safe in the log; the next checkpoint may succeed
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    # -- forks

    def before_fork(self) -> None:
        """Close every connection of this process; nobody is in a transaction now."""
        for session in list(self._sessions):
            self._close(session)

    def after_fork_in_child(self, clean: bool) -> None:
        """Let go of what is the parent's; refuse service if connections of it were inherited."""
        sessions = list(self._sessions)
        if any(session.connection is not None for session in sessions) or (sessions and not clean):
            self._unsafe = True
        for session in sessions:
            session.abandon()
        self._lock.forget()
        self.bells.after_fork()
        self._pid = 0

    def _begin_anew(self) -> None:
        # Not right after the fork, but on first use: gunicorn's gevent workers patch threading's locks in between, and
        # a lock of before would stop the greenlet that is to release it.
        with _stores.guard:
            if self._pid == os.getpid():
                return
            if self._pid:  # forked by C code, which runs no hooks of Python
                self.after_fork_in_child(clean=True)
            self._opening = threading.Lock()
            self._lock.after_fork()
            self._pid = os.getpid()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction on the connection."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # what is raised is the cause
                connection.execute("ROLLBACK")
        raise


_stores: Shared[tuple[str, float], Store] = Shared()


def store_at(path: Path, timeout: float = TIMEOUT) -> Store:
    """The store of a file, shared by all who ask for it in this process."""
    return _stores.at((os.path.realpath(path), timeout), lambda: Store(path, timeout))
