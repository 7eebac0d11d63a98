"""A file that holds a worker's process id, so that no second worker of that name starts and scripts find the first.

Its one line is the number, as every init system reads it. That its process lives is told by a lock on the file, which
the kernel lets go of at the owner's end; where locks do not tell (another program's file, some network file systems),
by a process of that number that was started no later than the file was written. A symbolic link is never followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from skirret import clock
from skirret.errors import ImproperlyConfigured

ATTEMPTS = 50

CLOCK_SLACK = 2.0
"""Seconds by which two ways to learn a start time may differ."""


class PidFileTaken(ImproperlyConfigured):
    """A living process holds the pid file."""


class PidFile:
    """The pid file of this process.

    Args:
        path: where; its directory must exist.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    def acquire(self) -> None:
        """Write it; a stale one is replaced.

        Raises:
            PidFileTaken: a living process has it.
            ImproperlyConfigured: it cannot be written.
        """
        for _ in range(ATTEMPTS):  # between seeing that a file is stale and writing ours, another may do the same
            try:
                fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                _remove_stale(self.path)
                continue
            except OSError as exc:
                raise ImproperlyConfigured(f"the pid file {self.path!r} cannot be written: {exc.strerror}") from exc
            if _lock(fd) and os.write(fd, b"%d\n" % os.getpid()) and _is_at(fd, self.path):
                self._fd = fd
                return
            time.sleep(0.001)
            os.close(fd)  # somebody looked at it before it was locked, and may take it for a stale one
        raise PidFileTaken(f"the pid file {self.path!r} is being written by others; is this worker started twice?")

    def release(self) -> None:
        """Remove it, if it is still ours."""
        if self._fd < 0:
            return
        if _is_at(self._fd, self.path):
            with contextlib.suppress(OSError):
                Path(self.path).unlink()
        os.close(self._fd)
        self._fd = -1


def owner(path: str) -> int:
    """The process that lives and has the pid file at `path`; 0 if there is none.

    Raises:
        ImproperlyConfigured: it is a file that cannot be read, or no pid file.
    """
    fd = _open(path)
    if fd < 0:
        return 0
    try:
        return max(0, _judge(fd, path, locked=not _lock(fd, fcntl.LOCK_SH)))
    finally:
        os.close(fd)


def _remove_stale(path: str) -> None:
    fd = _open(path)
    if fd < 0:
        return
    try:
        mine = _lock(fd)
        pid = _judge(fd, path, locked=not mine)
        if pid > 0:
            raise PidFileTaken(f"the pid file {path!r} belongs to process {pid}, which runs; stop that one first")
        if mine and _is_at(fd, path):  # only who holds a file's lock removes it: it is still this one when we do
            Path(path).unlink()
    finally:
        os.close(fd)


def _open(path: str) -> int:
    """A descriptor, or -1 if there is no such file."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    except OSError as exc:
        why = "it is a symbolic link, which is not followed" if exc.errno == errno.ELOOP else exc.strerror
        raise ImproperlyConfigured(f"the pid file {path!r} cannot be used: {why}") from exc


def _judge(fd: int, path: str, *, locked: bool) -> int:
    """The living process that an open pid file belongs to; 0 if there is none, -1 if it is just being written."""
    text = os.read(fd, 64).decode("ascii", "replace").strip()
    if not text:
        return -1 if locked else 0
    if not text.isdigit():
        raise ImproperlyConfigured(f"{path!r} is no pid file: it says {text[:20]!r}; remove it, or give another path")
    pid = int(text)
    if not lives(pid):
        return 0
    if locked:
        return pid
    started = start_time(pid)
    return pid if started is None or started <= os.fstat(fd).st_mtime + CLOCK_SLACK else 0


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), Path(path).lstat())
    except OSError:
        return False


def _lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock of an open file; False if another has it. A file system without locks lets everybody."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def start_time(pid: int) -> float | None:
    """When a process was started, as a Unix time; None where the system does not tell."""
    try:
        ticks = int(_stat(pid)[19])
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return clock.wall() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, which follow the name in brackets."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):  # a dead process that nobody waited for is dead
        return _stat(pid)[0] != "Z"
    return True
