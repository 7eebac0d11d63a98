"""The worker's answer to ``skirret health``: whoever connects to its socket is told its state, by the loop itself.

So an answer is proof that the loop makes progress, and it costs nothing while nobody asks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skirret import loggers, rundir
from skirret.worker.loop import READ, Loop

logger = loggers.own("skirret.worker")


class StatusSocket:
    """One listening socket in the user's run directory; a worker without one works as well.

    Args:
        loop: the supervisor's loop.
        hostname: the node's name.
        state: gives what to tell.
    """

    def __init__(self, loop: Loop, hostname: str, state: Callable[[], dict[str, Any]]) -> None:
        self._loop = loop
        self._state = state
        self._socket: socket.socket | None = None
        self._path = ""
        directory = rundir.directory()
        try:
            Path(directory).mkdir(mode=0o700, exist_ok=True)
            fault = rundir.fault(directory)
            if fault:
                raise OSError(fault)
            rundir.sweep(directory)
            self._listen(rundir.socket_path(directory, os.getpid(), hostname))
        except OSError as exc:
            logger.warning(
                "`skirret health` will not find this worker: %s cannot be used (%s). %s names another directory.",
                directory, exc.strerror or exc, rundir.VARIABLE,
            )  # fmt: skip

    def close(self) -> None:
        """Answer no more."""
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                Path(self._path).unlink()

    def _listen(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)  # of a process that had our number and is gone
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            listener.listen(16)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._socket, self._path = listener, path
        self._loop.watch(listener.fileno(), READ, self._answer)

    def _answer(self, _mask: int) -> None:
        if self._socket is None:
            return
        try:
            asking, _ = self._socket.accept()
        except OSError:  # it did not wait
            return
        with asking, contextlib.suppress(OSError):
            asking.setblocking(False)
            asking.send(json.dumps(self._state()).encode())
