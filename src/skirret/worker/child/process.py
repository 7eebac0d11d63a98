"""One child process: signals, logs and the title set, then its slots served until the end."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from skirret import context, logs
from skirret.worker.child.execute import Executor
from skirret.worker.child.link import Link
from skirret.worker.child.slots import serve_with
from skirret.worker.frames import Ready

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.worker.child.orders import Fork, Start

logger = logging.getLogger("skirret.worker")


def run_child(app: Skirret, start: Start, order: Fork, sock: int, permits: int) -> int:
    """Serve one child until its supervisor wants no more; the exit code."""
    # A terminal's Ctrl-C and a `kill` of the process group are the supervisor's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    options = start.options
    logs.setup_from(
        app.conf, options.loglevel, options.logfile, json=options.log_json, color=options.color, redirect=True
    )
    os.set_blocking(permits, False)
    serve_link(app, start.hostname, Link(socket.socket(fileno=sock), permits), order.pool, order.slots)
    return 0


def serve_link(app: Skirret, hostname: str, link: Link, pool: str, slots: int) -> None:
    """Serve one line to a supervisor with the slots of `pool`."""
    context.set_default_app(app)
    context.set_current_app(app)
    serve = serve_with(pool)
    executor = Executor(app, hostname, link.report)
    link.report(Ready(os.getpid()))
    serve(executor, link, slots)
