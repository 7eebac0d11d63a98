"""The template process: it imports the app once, describes it, and forks the children of a worker.

It is forked off a supervisor that has just begun, or started as ``python -m skirret.worker.child.template FD``, both
times with one end of a socketpair, and speaks batches of msgpack over it. Its supervisor waits for each answer before
it asks again, so descriptors never mix.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback

# Bound here, before a greenlet pool patches their modules: this process waits for real.
from os import fork, waitpid
from pathlib import Path
from signal import signal as set_handler
from typing import TYPE_CHECKING

import msgspec

from skirret.errors import SkirretError
from skirret.worker.child.cooperation import forked_for, patch_for
from skirret.worker.child.node import worker_node
from skirret.worker.child.orders import (
    HANDLER,
    Exited,
    Failed,
    Fork,
    Forked,
    Imported,
    Notice,
    Start,
    pack,
    unpack_order,
)
from skirret.worker.frames import LENGTH
from skirret.worker.options import WrongArguments

if TYPE_CHECKING:
    from skirret.app import Skirret

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux); elsewhere the closed sockets tell."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


class Template:
    """The life of one template process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loaded: tuple[Start, Skirret] | None = None
        self._fork_safe = True
        self._frozen = False
        self._woken, self._wakeup = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakeup, False)

    def serve(self) -> None:
        """Answer orders until the supervisor is gone."""
        self._listen_to_signals()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _listen_to_signals(self) -> None:
        """Of children that died; those that stop a worker are its supervisor's to answer."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
            set_handler(number, signal.SIG_IGN)
        set_handler(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)

    def _obey(self) -> bool:
        header, fds, _, _ = socket.recv_fds(self._sock, LENGTH.size, 3)
        if not header:
            return False
        header += _exactly(self._sock, LENGTH.size - len(header))
        order = unpack_order(_exactly(self._sock, LENGTH.unpack(header)[0]))
        if isinstance(order, Start):
            self._import(order)
        else:
            self._fork(order, *fds)
        return True

    def _import(self, start: Start) -> None:
        die_with_parent(start.supervisor)
        began = time.perf_counter()
        try:
            patch_for(start.options.pool)
            from skirret.worker.child.describe import describe, load_app  # its locks are the hub's, if there is one

            app = load_app(start.options, start.hostname)
            manifest = describe(app)
        except WrongArguments as exc:
            self._send(Failed(str(exc), "usage"))
            return
        except SkirretError as exc:
            self._send(Failed(str(exc), "ours"))
            return
        except BaseException:  # noqa: BLE001  whatever user code raises at import is told to the supervisor
            self._send(Failed(traceback.format_exc(), "theirs"))
            return
        self._listen_to_signals()  # what the app's modules did to them must not make us deaf
        manifest.seconds = time.perf_counter() - began
        manifest.threads = _foreign_threads()
        if start.options.reload:
            from skirret.worker.child.sources import source_files

            manifest.sources = source_files()
        self._fork_safe = not manifest.threads and app.conf.worker_pool_start_method != "spawn"
        self._loaded = (start, app)
        self._send(Imported(manifest))
        if self._fork_safe:
            from skirret.worker.child.process import preload  # while the supervisor connects to its servers

            with contextlib.suppress(SkirretError):  # what cannot be loaded is told where it is used
                preload(app)

    def _fork(self, order: Fork, *ends: int) -> None:
        if self._loaded is None:
            raise RuntimeError("a child was ordered before the app was imported")
        start, app = self._loaded
        me = os.getpid()
        if self._fork_safe and not self._frozen:
            from skirret.worker.child.slots import serve_with

            if order.pool != HANDLER:
                serve_with(order.pool)
            self._frozen = True
            gc.collect()
            gc.freeze()  # children share these pages; a collection in one must not copy them
        hooks = app.middleware
        if hooks.before_create_process and order.pool != HANDLER:
            hooks.tell(hooks.before_create_process, worker_node(app, start.hostname, start.options))
        try:
            pid = fork() if self._fork_safe else _spawn(start, order, ends)
        except OSError as exc:  # out of memory or of process numbers: that must not cost the children that there are
            self._send(Forked(order.number, 0, str(exc)))
        else:
            if pid == 0:
                self._become_child(app, start, order, ends, me)
            self._send(Forked(order.number, pid))
        for fd in ends:
            os.close(fd)

    def _become_child(self, app: Skirret, start: Start, order: Fork, ends: tuple[int, ...], parent: int) -> None:
        from skirret.worker.child.process import leave, run_child

        code = 70
        try:
            signal.set_wakeup_fd(-1)
            die_with_parent(parent)
            forked_for((start.options.pool or "") if order.pool == HANDLER else order.pool)
            self._sock.close()
            os.close(self._woken)
            os.close(self._wakeup)
            code = run_child(app, start, order, *ends)
        except BaseException:  # noqa: BLE001  a forked child must never return into the template's loop
            traceback.print_exc()
        finally:
            leave(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._send(Exited(pid, status))

    def _send(self, notice: Notice) -> None:
        self._sock.sendall(pack(notice))


def _spawn(start: Start, order: Fork, ends: tuple[int, ...]) -> int:
    """Start a child afresh, with its orders on standard input; its process id."""
    reading, writing = os.pipe()
    for fd in ends:
        os.set_inheritable(fd, True)
    try:  # not by subprocess, which greenlet pools replace
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "skirret.worker.child.spawned", *map(str, ends), str(os.getpid())],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)],
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        os.close(reading)
        with os.fdopen(writing, "wb") as orders, contextlib.suppress(BrokenPipeError):  # waitpid will tell
            orders.write(msgspec.json.encode((start, order)))
    return pid


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError("the supervisor closed the line in the middle of an order")
        data += more
    return data


def _foreign_threads() -> list[str]:
    """Names of threads that the app's import started; native ones that Python does not know are counted."""
    names = [thread.name for thread in _other_threads()]
    with contextlib.suppress(OSError):
        native = len(list(Path("/proc/self/task").iterdir())) - threading.active_count()
        if native > 0:
            names.append(f"{native} native thread(s)")
    return names


def _other_threads() -> list[threading.Thread]:
    # By name: after eventlet's patches there are two objects of the one main thread.
    return [thread for thread in threading.enumerate() if thread.name != "MainThread"]


def serve(line: socket.socket) -> None:
    """Be a template until the supervisor at the other end of `line` is gone."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        Template(line).serve()
    if any(not thread.daemon for thread in _other_threads()):
        os._exit(0)  # threads of the app's import: Python would wait for them for ever


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
