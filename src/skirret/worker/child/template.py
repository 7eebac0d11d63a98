"""The template process: it imports the app once, describes it, and forks the children of a worker.

It is started as ``python -m skirret.worker.child.template FD`` with one end of a socketpair, and speaks batches of
msgpack over it. Its supervisor waits for each answer before it asks again, so descriptors never mix.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from skirret.errors import SkirretError
from skirret.worker.child.orders import Exited, Failed, Fork, Forked, Imported, Notice, Start, pack, unpack_order
from skirret.worker.frames import LENGTH

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

    def serve(self) -> None:
        """Answer orders until the supervisor is gone."""
        woken, wakeup = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == woken:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        header, fds, _, _ = socket.recv_fds(self._sock, LENGTH.size, 2)
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
        from skirret.worker.child.describe import describe, load_app

        die_with_parent(start.supervisor)
        began = time.perf_counter()
        try:
            app = load_app(start.options)
            manifest = describe(app)
        except SkirretError as exc:
            self._send(Failed(str(exc), "ours"))
            return
        except BaseException:  # noqa: BLE001  whatever user code raises at import is told to the supervisor
            self._send(Failed(traceback.format_exc(), "theirs"))
            return
        manifest.seconds = time.perf_counter() - began
        manifest.threads = _foreign_threads()
        self._fork_safe = not manifest.threads
        self._loaded = (start, app)
        gc.collect()
        gc.freeze()  # children share these pages; a collection in one must not copy them
        self._send(Imported(manifest))

    def _fork(self, order: Fork, sock: int, permits: int) -> None:
        if self._loaded is None:
            raise RuntimeError("a child was ordered before the app was imported")
        start, app = self._loaded
        if self._fork_safe:
            me = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._become_child(app, start, order, sock, permits, me)
        else:
            pid = _spawn(start, order, sock, permits)
        os.close(sock)
        os.close(permits)
        self._send(Forked(order.number, pid))

    def _become_child(self, app: Skirret, start: Start, order: Fork, sock: int, permits: int, parent: int) -> None:
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            die_with_parent(parent)
            self._sock.close()
            from skirret.worker.child.process import run_child

            code = run_child(app, start, order, sock, permits)
        except BaseException:  # noqa: BLE001  a forked child must never return into the template's loop
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._send(Exited(pid, status))

    def _send(self, notice: Notice) -> None:
        self._sock.sendall(pack(notice))


def _spawn(start: Start, order: Fork, sock: int, permits: int) -> int:
    """Start a child afresh, with its orders on standard input; its process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "skirret.worker.child.spawned", str(sock), str(permits), str(os.getpid())],
        stdin=subprocess.PIPE,
        pass_fds=(sock, permits),
    )
    if process.stdin is not None:
        process.stdin.write(msgspec.json.encode((start, order)))
        process.stdin.close()
    process.returncode = 0  # its end is told by waitpid, not by this object
    return process.pid


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
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    with contextlib.suppress(OSError):
        native = len(list(Path("/proc/self/task").iterdir())) - threading.active_count()
        if native > 0:
            names.append(f"{native} native thread(s)")
    return names


def main() -> None:
    """Entry of the template process."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the terminal's Ctrl-C goes to the whole group; we obey the supervisor
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
        Template(sock).serve()


if __name__ == "__main__":
    main()
