"""The lock that everybody who writes the embedded file holds, and nobody longer than one transaction.

SQLite alone would allow one writer, too, but its waiting is a lottery, and versions up to 3.51.2 may damage a file when
one connection commits while another one checkpoints (sqlite.org/wal.html#walresetbug). Under this lock neither happens.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skirret import clock
from skirret.errors import OperationalError
from skirret.stores.sqlite import files


class WriteLock:
    """An ``flock`` on ``<file>.wlock`` between processes, and a lock between this process's threads.

    Args:
        database: the embedded file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = Path(f"{database}.wlock")
        self._mutex = threading.Lock()
        self._descriptor = -1

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Hold the lock.

        Args:
            timeout: seconds to wait for it.

        Raises:
            OperationalError: others held it all the time.
        """
        deadline = clock.Deadline(timeout)
        if not self._mutex.acquire(timeout=timeout):
            raise self._taken(timeout)
        try:
            self._acquire(deadline, timeout)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def _acquire(self, deadline: clock.Deadline, timeout: float) -> None:
        pause = 0.0001
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                locked = False
            except OSError as exc:
                raise files.in_words(exc, self._path) from exc
            if not os.fstat(descriptor).st_nlink:
                self.forget()  # somebody deleted the file: a lock on it excludes nobody
            elif locked:
                return
            elif deadline.passed():
                raise self._taken(timeout)
            else:
                time.sleep(pause)  # not a blocking flock(), which knows no deadline
                pause = min(0.002, pause * 1.5)

    def _open(self) -> int:
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except OSError as exc:
                raise files.in_words(exc, self._path) from exc
        return self._descriptor

    def _taken(self, timeout: float) -> OperationalError:
        holder = self._holder()
        who = f"process {holder}" if holder else "another process"
        return OperationalError(
            f"{self._database} was locked by {who} for {timeout:g} s. Nothing was stored; if that process hangs or is "
            "stopped, end it, else try again."
        )

    def _holder(self) -> int | None:
        try:
            inode = f":{os.fstat(self._descriptor).st_ino}"
            locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        fields = (line.split() for line in locks if "->" not in line)
        return next((int(f[4]) for f in fields if f[1] == "FLOCK" and f[5].endswith(inode)), None)

    def forget(self) -> None:
        """Close the descriptor; the next use opens it again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Close the descriptor unless a thread holds the lock; the next use opens it again."""
        if self._mutex.acquire(blocking=False):
            try:
                self.forget()
            finally:
                self._mutex.release()

    def after_fork(self) -> None:
        """In a child: a thread of the parent may hold the mutex, and the descriptor is the parent's."""
        self._mutex = threading.Lock()
        self.forget()
