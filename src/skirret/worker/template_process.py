"""Starting the process that becomes a template: this process's own fork while it is young, else a fresh Python.

A fork begins where this process is: what both need is imported once, and its pages are shared. It is allowed only to a
process in which nothing can go wrong by it: one thread, no app of anybody, no connection. That is a worker that the
command line has just begun; every later template of it is a fresh one.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn, Protocol

from skirret import clock
from skirret.errors import SkirretError
from skirret.nodes import node_name
from skirret.url import parse
from skirret.worker.child.cooperation import HUBS
from skirret.worker.child.orders import Start, pack
from skirret.worker.options import WorkerOptions

SHARED = (
    "skirret.logs",
    "skirret.settings",
    "skirret.wire.results",
    "skirret.brokers.base",
    "skirret.backends.open",
    "skirret.worker.board",
    "skirret.worker.durations",
    "skirret.worker.child.template",
)
"""What supervisor and template both import, with all that it brings."""

APP = "skirret.app.app"
"""Where this is imported somebody may have made an app, and with it connections, which a fork must not share."""


class Process(Protocol):
    """A process that was started."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, at most so many seconds; how it ended, as ``subprocess.Popen`` says it.

        Raises:
            subprocess.TimeoutExpired: it has not ended.
        """
        ...

    def kill(self) -> None:
        """End it now, if it lives."""
        ...


class Begun(NamedTuple):
    """A template process that was told what to import."""

    process: Process
    line: socket.socket
    """This side's end of the line to it."""


def begin(options: WorkerOptions, hostname: str, start: Callable[[socket.socket], Process] | None = None) -> Begun:
    """Start a template process and tell it what to import.

    Args:
        options, hostname: what it is told.
        start: starts a process that serves at the end of a line that it is given; None is a fresh Python.

    Raises:
        OSError: no process can be started.
    """
    ours, theirs = socket.socketpair()
    try:
        process = (start or _fresh)(theirs)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    with contextlib.suppress(OSError):  # it died at once; the end of its line will say so
        ours.sendall(pack(Start(options, hostname, os.getpid())))
    return Begun(process, ours)


def begin_early(options: WorkerOptions) -> Begun | None:
    """Fork the first template off this process, if it may be: before all that only a supervisor needs is imported.

    Returns:
        The process, which imports the app from now on; None where a fresh Python has to be started in its time.
    """
    unlike = options.pool == "solo" or options.pool in HUBS  # none is needed, or one whose modules are patched first
    other = options.uid is not None or options.gid is not None or options.umask is not None
    if unlike or other or sys.platform != "linux" or threading.active_count() > 1 or APP in sys.modules:
        return None
    for name in SHARED:
        importlib.import_module(name)
    _load_drivers(options)
    with contextlib.suppress(OSError):
        return begin(options, node_name(options.hostname), _fork)
    return None


def _load_drivers(options: WorkerOptions) -> None:
    """Import what speaks to the servers that the command line or the environment names: both processes will need it."""
    from skirret.backends.open import PLUGINS as BACKENDS
    from skirret.brokers.open import PLUGINS as BROKERS

    for plugins, url in ((BROKERS, options.broker), (BACKENDS, options.result_backend)):
        if url:
            with contextlib.suppress(SkirretError):  # it is told where it is used
                plugins.load(parse(url).scheme)


def _fresh(their_end: socket.socket) -> Process:
    os.set_inheritable(their_end.fileno(), True)
    return subprocess.Popen(
        [sys.executable, "-m", "skirret.worker.child.template", str(their_end.fileno())],
        pass_fds=(their_end.fileno(),),
        stdin=subprocess.DEVNULL,
    )


def _fork(their_end: socket.socket) -> Process:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    gc.collect()
    gc.freeze()  # a collection in one of the two must not copy the pages of the other
    pid = os.fork()
    if pid == 0:
        _become_template(their_end)
    return _Fork(pid)


def _become_template(line: socket.socket) -> NoReturn:
    code = 70
    try:
        _let_go_of_all_but(line.fileno())
        from skirret.worker.child.template import serve

        serve(line)
        atexit._run_exitfuncs()  # noqa: SLF001  as a Python that ends would; some of them are the app's modules'
        code = 0
    except BaseException:  # noqa: BLE001  it must never return into the supervisor's code
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _let_go_of_all_but(kept: int) -> None:
    """Close what the process has open beside its output, and read nothing from the terminal."""
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208  no paths, numbers
        if fd > 2 and fd != kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


class _Fork:
    """A forked process; what of ``subprocess.Popen`` is needed of it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        deadline = clock.Deadline(timeout)
        while self._code is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if timeout is None else os.WNOHANG)
            except ChildProcessError:  # whoever started us has children's ends ignored, so nobody knows how it ended
                pid, status = self.pid, 0
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif deadline.passed():
                raise subprocess.TimeoutExpired("template", timeout or 0.0)
            else:
                time.sleep(0.002)
        return self._code

    def kill(self) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
