"""``--reload``, for development: when a source file of the app changes, new children serve the app imported anew.

The new code is imported beside the old one. If that fails, what it said is shown and the running children go on with
the old code; the next change is the next try. If it succeeds, new children take over, and the old ones finish what they
run: nothing is lost, and no task sees half of a change.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path

from skirret import loggers
from skirret.errors import MissingDependency
from skirret.worker.ending import Children
from skirret.worker.loop import Loop
from skirret.worker.manifest import Manifest, TaskTraits

logger = loggers.own("skirret.worker")

BUSY = 0.2
"""Seconds after which a change is looked at again that came while another one was being imported."""


def need_library() -> None:
    """See early that files can be watched.

    Raises:
        MissingDependency: the library is not there.
    """
    if importlib.util.find_spec("watchfiles") is None:
        raise MissingDependency('--reload needs a library: pip install "skirret[reload]"')


class Reloader(threading.Thread):
    """Watches the directories of an app's source files.

    Args:
        sources: the files; new ones beside them count too.
        loop: the supervisor's, on which all but the watching happens.
        pool: the children.
        tasks: the traits by task name; the new app's take the place of the old one's.
    """

    def __init__(self, sources: Sequence[str], loop: Loop, pool: Children, tasks: dict[str, TaskTraits]) -> None:
        super().__init__(name="skirret-reload", daemon=True)
        self._directories = _places(sources)
        self._loop = loop
        self._pool = pool
        self._tasks = tasks
        self._over = threading.Event()
        self._moved = threading.Event()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._moved.set()

    def run(self) -> None:
        """Watch until ``stop``."""
        import watchfiles

        while not self._over.is_set():
            self._moved.clear()
            logger.info("Watching %s for changes.", ", ".join(self._directories))
            for found in watchfiles.watch(
                *self._directories,
                watch_filter=watchfiles.PythonFilter(),
                stop_event=self._moved,
                recursive=False,
                raise_interrupt=False,
                step=50,
                debounce=400,
            ):
                names = ", ".join(sorted({Path(path).name for _, path in found}))
                self._loop.call_from_thread(lambda names=names: self._change(names))  # type: ignore[misc]

    def _change(self, names: str) -> None:
        if self._pool.renewing:
            self._loop.call_later(BUSY, lambda: self._change(names))
            return
        logger.warning("%s changed: the app is imported anew.", names)
        self._pool.restart(self._imported)

    def _imported(self, manifest: Manifest) -> None:
        self._tasks.clear()
        self._tasks.update(manifest.tasks)
        places = _places(manifest.sources)
        if places != self._directories:
            self._directories = places
            self._moved.set()


def _places(sources: Sequence[str]) -> list[str]:
    return sorted({str(Path(source).parent) for source in sources})
