"""The supervisor's end of the line to its template process: import the app, fork children, tell of deaths."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from functools import partial

from skirret.errors import ImproperlyConfigured, SkirretError
from skirret.worker.child.orders import (
    Exited,
    Failed,
    Fork,
    Forked,
    Imported,
    Notice,
    pack,
    unpack_notice,
)
from skirret.worker.frames import Splitter
from skirret.worker.loop import READ, Loop
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions, WrongArguments
from skirret.worker.template_process import Begun, begin


class AppFailed(SkirretError):
    """The user's own code raised while it was imported; the message is its traceback."""


class TemplateLine:
    """One template process.

    Args:
        options, hostname: what the template is told.
        forked: called with what became of an order.
        exited: called with a child's process id, and how it ended in words.
        gone: called once when the template itself died.
        broken: called when the app could not be imported, once attached.
        imported: called with the manifest when it was imported, once attached.
        begun: the process, if it was started before; else one is started now.
    """

    def __init__(
        self,
        options: WorkerOptions,
        hostname: str,
        *,
        forked: Callable[[Forked], object],
        exited: Callable[[int, str], object],
        gone: Callable[[], object],
        broken: Callable[[SkirretError], object],
        imported: Callable[[Manifest], object] = lambda _manifest: None,
        begun: Begun | None = None,
    ) -> None:
        self._imported = imported
        self._forked = forked
        self._exited = exited
        self._gone = gone
        self._broken = broken
        self.is_gone = False
        self._splitter = Splitter()
        self._orders: deque[tuple[Fork, list[int]]] = deque()
        self._waiting = True  # until the app is imported
        self._unwatch: Callable[[], object] = lambda: None
        self._process, self._sock = begin(options, hostname) if begun is None else begun

    @property
    def pid(self) -> int:
        """The template's process id."""
        return self._process.pid

    def manifest(self) -> Manifest:
        """Wait until the app is imported.

        Raises:
            ImproperlyConfigured: there is no such app, or its settings are wrong.
            AppFailed: the user's code raised; the message is its traceback.
            WrongArguments: the command line does not fit the options that the app adds.
        """
        while True:
            data = self._sock.recv(65536)
            if not data:
                status = self._process.wait()
                raise ImproperlyConfigured(f"the process that imports the app ended at once (status {status})")
            for body in self._splitter.feed(data):
                notice = unpack_notice(body)
                if isinstance(notice, Imported):
                    self._waiting = False
                    return notice.manifest
                if isinstance(notice, Failed):
                    raise _fault(notice)

    def attach(self, loop: Loop) -> None:
        """Hear the template through `loop` from now on."""
        self._sock.setblocking(False)
        loop.watch(self._sock.fileno(), READ, self._readable)
        self._unwatch = partial(loop.unwatch, self._sock.fileno())

    def fork(self, order: Fork, fds: list[int]) -> None:
        """Ask for a child; the descriptors stay the caller's, the child gets copies."""
        self._orders.append((order, fds))
        self._send_next()

    def listen(self, timeout: float) -> None:
        """Hear the template once without a loop, waiting at most `timeout` seconds."""
        if not self.is_gone and select.select([self._sock], [], [], timeout)[0]:
            self._readable(0)

    def dismiss(self) -> None:
        """Let the template end, which has no children any more; ``gone`` is called when it has."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the template, and with it whatever children it still has."""
        self._unwatch()
        self._sock.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send_next(self) -> None:
        # One order at a time: descriptors that travel beside bytes must not meet another order's.
        if self._waiting or not self._orders:
            return
        order, fds = self._orders.popleft()
        self._waiting = True
        try:
            socket.send_fds(self._sock, [pack(order)], fds)
        except OSError:
            self._waiting = False  # it died; `_readable` will say so

    def _readable(self, _mask: int) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.is_gone = True
            self._unwatch()
            self._sock.close()
            self._process.kill()
            self._process.wait()
            self._gone()
            return
        for body in self._splitter.feed(data):
            self._notice(unpack_notice(body))

    def _notice(self, notice: Notice) -> None:
        if isinstance(notice, Forked):
            self._waiting = False
            self._forked(notice)
            self._send_next()
        elif isinstance(notice, Exited):
            self._exited(notice.pid, _in_words(notice.status))
        elif isinstance(notice, Imported):
            self._waiting = False
            self._imported(notice.manifest)
            self._send_next()
        else:
            self._broken(_fault(notice))


def _fault(notice: Failed) -> SkirretError:
    kinds: dict[str, type[SkirretError]] = {"ours": ImproperlyConfigured, "usage": WrongArguments}
    return kinds.get(notice.fault, AppFailed)(notice.text)


def _in_words(status: int) -> str:
    """How a process ended, in words, from ``os.waitpid``'s status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"killed by {name}{hint}"
    return f"exited with code {os.waitstatus_to_exitcode(status)}"
