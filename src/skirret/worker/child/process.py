"""One child process: signals, logs and the title set, then its slots served until the end."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from skirret import context, loggers, logs
from skirret.backends.open import PLUGINS
from skirret.nodes import node_path
from skirret.url import parse
from skirret.worker.board import Chalk
from skirret.worker.child import monitors, stacks
from skirret.worker.child.execute import Executor
from skirret.worker.child.handler import Handler
from skirret.worker.child.handler import serve as serve_handler
from skirret.worker.child.link import Link, open_link
from skirret.worker.child.node import worker_node
from skirret.worker.child.orders import HANDLER
from skirret.worker.child.slots import serve_with
from skirret.worker.frames import ASKED, MEANT, Ready

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.worker.child.orders import Fork, Start

logger = loggers.own("skirret.worker")


DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
"""A terminal's Ctrl-C and a `kill` of the process or control group are the supervisor's to answer."""


def run_child(app: Skirret, start: Start, order: Fork, sock: int, permits: int, board: int) -> int:
    """Serve one child until its supervisor wants no more; the exit code."""
    for number in DEAF_TO:  # a handler, not SIG_IGN: programs that tasks start would inherit that
        signal.signal(number, _not_mine)
        signal.siginterrupt(number, False)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    options = start.options
    logfile = node_path(options.logfile or app.conf.worker_logfile or "", start.hostname, order.index) or None
    logs.setup_from(app.conf, options.loglevel, logfile, json=options.log_json, color=options.color, redirect=True)
    _tell_stacks_on_demand()
    logs.name_process("Handler" if order.pool == HANDLER else f"ForkPoolWorker-{order.index}")
    if order.pool == HANDLER:
        os.close(permits)
        os.close(board)
        serve_handler(Handler(app, worker_node(app, start.hostname, options)), sock)
        return 0
    link = open_link(sock, permits, Chalk(board, order.slots))
    _let_forks_go(link)
    stacks.answer(link.report)
    _end_if_meant(link.chalk)
    serve_link(app, start.hostname, link, order.pool, order.slots)
    return 0


def preload(app: Skirret) -> None:
    """Import what each child will need, before the first fork: such pages are shared by all of them."""
    PLUGINS.load(parse(app.backend_url_in_use()).scheme)
    importlib.import_module("skirret.app.events")
    if any(task.is_async for task in app.tasks.values()):
        importlib.import_module("asyncio")


def leave(code: int) -> NoReturn:
    """End this process at once: threads that tasks left, and what belongs to the template, are not waited for."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _tell_stacks_on_demand() -> None:
    """On USR1 write the stacks of all threads to the log, also while a task holds the interpreter's lock."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    with contextlib.suppress(OSError, ValueError):  # a log without a descriptor: then there is nowhere to write to
        fd = handlers[0].stream.fileno() if handlers else 2
        faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True)


def _not_mine(_signum: int, _frame: FrameType | None) -> None:
    return


def _end_if_meant(chalk: Chalk) -> None:
    """See to it that a task that is terminated, and has no handler of its own for the signal, dies of it.

    Not by the handlers above: after those system calls go on, so that Python would hear of the signal only when the
    program or the lock that a task waits for is done. This one is sent to a child that must not go on anyway.
    """
    ours = {int(number): signal.getsignal(number) for number in signal.valid_signals()}

    def meant(_signum: int, _frame: FrameType | None) -> None:
        number = chalk.ended_by
        if not any(map(chalk.runs, range(chalk.slots))):
            return  # the task has ended, so it took its handler away itself: hooks of this process are run to their end
        if number and signal.getsignal(number) is ours.get(number):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    signal.signal(MEANT, meant)


def _let_forks_go(link: Link) -> None:
    """See to it that a process which a task forks (multiprocessing) is no child of ours, and can be ended as any."""
    mask = threading.local()

    def before() -> None:  # a signal that comes while the new process still has our handlers must not be lost
        mask.old = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.old)

    def after_in_child() -> None:
        link.abandon()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGURG, signal.SIGUSR1, ASKED, MEANT):
            signal.signal(number, signal.SIG_DFL)
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)


def serve_link(app: Skirret, hostname: str, link: Link, pool: str, slots: int) -> None:
    """Serve one line to a supervisor with the slots of `pool`."""
    context.set_default_app(app)
    context.set_current_app(app)
    hooks, node = app.middleware, worker_node(app, hostname)
    hooks.tell(hooks.process_init, node)
    serve = serve_with(pool)
    executor = Executor(app, hostname, link.report)
    executor.chalk = link.chalk
    link.report(Ready(os.getpid()))
    with monitors.through(app.events, executor.report):
        serve(executor, link, slots)
    hooks.tell(hooks.process_shutdown, node, os.getpid(), 0)
    app.backend.depart()
