"""Trying whether the app can be imported as it is now, before a worker that serves gives way to a new one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from skirret import loggers
from skirret.errors import SkirretError
from skirret.worker.options import WorkerOptions
from skirret.worker.template_line import TemplateLine

logger = loggers.own("skirret.worker")


class Trial:
    """Imports the app in a process of its own, which makes no children and ends afterwards.

    Args:
        options, hostname: what the app is imported with.
        call: runs a callable on the worker's loop.
    """

    def __init__(self, options: WorkerOptions, hostname: str, call: Callable[[Callable[[], object]], object]) -> None:
        self._options = options
        self._hostname = hostname
        self._call = call
        self._runs = threading.Lock()

    def then(self, action: Callable[[], object], otherwise: Callable[[], object] = bool) -> None:
        """Import on a thread; if that succeeds, call `action` on the loop, else say why nothing happens.

        Args:
            action: what is tried for.
            otherwise: called on the loop where that fails, or another trial is on its way.
        """
        threading.Thread(target=self._run, args=(action, otherwise), name="skirret-trial", daemon=True).start()

    def _run(self, action: Callable[[], object], otherwise: Callable[[], object]) -> None:
        if not self._runs.acquire(blocking=False):
            self._call(otherwise)
            return
        try:
            self._import()
        except (SkirretError, OSError) as exc:
            logger.error("The app cannot be imported now, so this worker goes on as it is:\n%s", exc)  # noqa: TRY400
            self._call(otherwise)
        else:
            self._call(action)
        finally:
            self._runs.release()

    def _import(self) -> None:
        line = TemplateLine(self._options, self._hostname, forked=_ignore, exited=_ignore, gone=_ignore, broken=_ignore)
        try:
            line.manifest()
        finally:
            line.close()


def _ignore(*_told: object) -> None:
    return
