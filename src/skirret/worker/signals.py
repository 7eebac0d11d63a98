"""What the signals of an operator mean to a worker. Handlers only hand over to the loop; they never raise."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from types import FrameType

from skirret import loggers
from skirret.worker.loop import Loop
from skirret.worker.supervisor import Supervisor
from skirret.worker.trial import Trial

logger = loggers.own("skirret.worker")

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)

REMAP = "REMAP_SIGTERM"
"""Set to SIGQUIT, this variable makes TERM mean what QUIT means; the name is Celery's."""


class Signals:
    """TERM warm, INT warm and then as QUIT, QUIT soft or cold, HUP anew, USR1 the stacks of all processes.

    Args:
        loop: the supervisor's loop.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def catch(self, supervisor: Supervisor, trial: Trial) -> None:
        """Listen from now on; the app is tried before HUP is obeyed."""
        ending = supervisor.ending
        remapped = os.environ.get(REMAP, "").upper() in {"SIGQUIT", "QUIT"}
        # A terminal that goes away says HUP as well, and nobody wants to restart then.
        from_terminal = sys.stdin is not None and sys.stdin.isatty()
        ends = {
            signal.SIGTERM: ending.quit if remapped else ending.warm,
            signal.SIGINT: ending.insist,
            signal.SIGQUIT: ending.quit,
            signal.SIGHUP: ending.warm if from_terminal else ending.restart,
        }
        for number, end in ends.items():
            cold = end == ending.quit
            action = partial(shut_down, supervisor, number.name, end, cold=cold)
            self._answer(number, partial(trial.then, action) if end == ending.restart else action)
        self._answer(signal.SIGUSR1, partial(_tell_stacks, supervisor))

    def ignore(self) -> None:
        """Listen no more."""
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)

    def _answer(self, number: int, action: Callable[[], object]) -> None:
        def handler(_signum: int, _frame: FrameType | None) -> None:
            self._loop.call_from_thread(action)

        signal.signal(number, handler)


def shut_down(supervisor: Supervisor, name: str, end: Callable[[], object], *, cold: bool = False) -> None:
    """Tell the node's hooks of the signal `name`, then do what it asks (`end`)."""
    if supervisor.hooks is not None:
        supervisor.hooks.shutting_down(name, "Cold" if cold or not supervisor.ending.running else "Warm", 0)
    end()


def _tell_stacks(supervisor: Supervisor) -> None:
    """Log what every thread of this process is doing, and have the children say the same."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001  the only way there is
        text = "".join(traceback.format_stack(frame))
        logger.warning("Stack of thread %s of the worker (process %d):\n%s", names.get(ident), os.getpid(), text)
    for child in supervisor.pool.children:
        child.signal(signal.SIGUSR1)
