"""Going into the background: a process of its own session, its output in a file, its start watched from the terminal.

The command that is typed waits until the worker has started. What goes wrong before that is shown where it was typed,
and the exit code is the worker's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import click

from skirret.cli import exits
from skirret.errors import ImproperlyConfigured
from skirret.nodes import node_name, node_path
from skirret.worker.options import WorkerOptions

FAKE_FORK: Final = "C_FAKEFORK"
"""Set to anything, this variable keeps a worker in the foreground; the name is Celery's."""

TELL: Final = "SKIRRET_DETACHED"
"""Names the descriptor on which a worker that another Python runs tells that it has started."""

_STARTED: Final = b"+"


class Watcher:
    """The worker's line to the command that waits for its start; a worker in the foreground has one to nobody.

    Args:
        fd: the line's descriptor, or -1.
    """

    def __init__(self, fd: int = -1) -> None:
        self._fd = fd
        if fd >= 0:
            os.set_inheritable(fd, False)

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits."""
        return self._fd >= 0

    def started(self) -> None:
        """The worker has started; whoever waits may go."""
        self._say(_STARTED)

    def failed(self, code: int) -> None:
        """The worker ends with this exit code; nothing is said if it had started."""
        self._say(b"-%d\n" % code)

    def _say(self, words: bytes) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # whoever waited has gone
                os.write(fd, words)
            os.close(fd)


def stays() -> bool:
    """Whether ``--detach`` is to be left aside, for looking at what a background worker would do."""
    return bool(os.environ.get(FAKE_FORK))


def detach(options: WorkerOptions, *, executable: str | None) -> int:
    """Run a worker in the background, and return when it has started or failed; see `background`.

    Args:
        options: the worker's; with a log file, where stdout and stderr go too.
        executable: another Python, which then runs this very command line.
    """
    from skirret.worker import run
    from skirret.worker.identity import identity, take_on

    _check_executable(executable)
    take_on(identity(options.uid, options.gid, options.umask))  # the log file is the new user's already
    name = node_name(options.hostname)
    logfile = node_path(options.logfile or os.devnull, name)
    return background(name, logfile, partial(run, options), quiet=options.quiet, executable=executable)


def background(
    name: str, logfile: str, run: Callable[[Callable[[], object]], int], *, quiet: bool, executable: str | None
) -> int:
    """Run something in the background, and return when it has started or failed.

    Args:
        name: what it is called.
        logfile: where its stdout and stderr go.
        run: runs it; gets what is to be called once it has started, and gives the exit code.
        quiet: do not tell its process id.
        executable: another Python, which then runs this very command line.

    Returns:
        0 once it has started, else its exit code.

    Raises:
        ImproperlyConfigured: the log file cannot be written, no process can be made, or there is no such Python.
    """
    _check_executable(executable)
    log = _open_log(logfile)
    begins_at = os.fstat(log).st_size
    hear, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        middle = os.fork()
    except OSError as exc:
        raise ImproperlyConfigured(f"no process can be started for {name}: {exc}") from exc
    if middle == 0:
        os.close(hear)
        _become_daemon(run, log, tell, executable)
    os.close(tell)
    os.close(log)
    os.waitpid(middle, 0)
    pid, code = _hear(hear)
    if code != exits.OK:
        click.echo(_since(logfile, begins_at), err=True, nl=False)
    elif not quiet:
        click.echo(f"{name} runs in the background: process {pid}, log {logfile}", err=True)
    return code


def watcher() -> Watcher:
    """The line of this process: to the command that started it with another Python, or to nobody."""
    fd = os.environ.pop(TELL, "")
    return Watcher(int(fd) if fd.isdigit() else -1)


def _check_executable(executable: str | None) -> None:
    if executable and not os.access(executable, os.X_OK):
        raise ImproperlyConfigured(f"--executable {executable!r} is no program that can be run")


def serve(run: Callable[[Callable[[], object]], int], told: Watcher) -> int:
    """Run a program here; its exit code. A worker that is to restart becomes a new one of the same command line."""
    code = run(told.started)
    if code == exits.RESTART:
        _begin_anew()
    told.failed(code)
    return code


def _begin_anew() -> NoReturn:
    """This process, with its number and its descriptors 0 to 2, becomes the same command line anew."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.set_inheritable(nobody, True)
    os.environ[TELL] = str(nobody)  # it is where it belongs: nothing is detached once more
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "skirret", *sys.argv[1:]])  # noqa: S606  no shell is meant


def _become_daemon(run: Callable[[Callable[[], object]], int], log: int, tell: int, executable: str | None) -> NoReturn:
    """The second half of the double fork: what is left has no terminal and can never get one again."""
    code = exits.BUG
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDONLY)
        for theirs, ours in ((null, 0), (log, 1), (log, 2)):
            os.dup2(theirs, ours)
        os.close(null)
        os.close(log)
        os.write(tell, b"%d\n" % os.getpid())
        if executable:
            os.set_inheritable(tell, True)
            os.environ[TELL] = str(tell)
            os.execv(executable, [executable, "-m", "skirret", *sys.argv[1:]])  # noqa: S606  no shell is meant
        told = Watcher(tell)
        code = serve(run, told)
    except BaseException as exc:  # noqa: BLE001  a forked process must never return into its parent's code
        with contextlib.suppress(OSError):
            os.write(2, f"{exits.describe_bug(exc)}\n".encode())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _hear(fd: int) -> tuple[int, int]:
    """Wait for the worker's word: (process id, exit code, 0 if it has started)."""
    said = b""
    try:
        while _STARTED not in said and (more := os.read(fd, 256)):
            said += more
    except KeyboardInterrupt:
        if said.partition(b"\n")[0].isdigit():
            os.kill(int(said.partition(b"\n")[0]), signal.SIGTERM)
        raise
    finally:
        os.close(fd)
    pid, _, rest = said.decode("ascii", "replace").partition("\n")
    if rest.startswith(_STARTED.decode()):
        return int(pid), exits.OK
    return int(pid or 0), int(rest[1:]) if rest.startswith("-") else exits.BUG


def _open_log(path: str) -> int:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise ImproperlyConfigured(
            f"the log file {path!r} cannot be written: {exc.strerror or exc}; give another with --logfile"
        ) from None


def _since(path: str, begins_at: int) -> str:
    """What was written to the log since this command began."""
    with Path(path).open("rb") as file:
        file.seek(begins_at)
        return file.read(1 << 20).decode("utf-8", "replace")
