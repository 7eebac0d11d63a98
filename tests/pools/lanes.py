"""Runs the proofs of several pools side by side: they wait for most of their time, each for its own worker."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.pools.catalogue import FEATURES
from tests.pools.stage import Stage

AT_ONCE = 6
"""Workers on trial at a time."""

Cell = tuple[str, str]
"""(pool, feature)"""


class Lanes:
    """What cells show. A lane is the features of one worker, one after another.

    Args:
        cells: those that are asked for.
        directory: where projects are made.
    """

    def __init__(self, cells: Iterable[Cell], directory: Path) -> None:
        self._futures: dict[Cell, Future[str | None]] = {cell: Future() for cell in cells}
        self._directory = directory
        self._over = threading.Event()
        self._executor = ThreadPoolExecutor(AT_ONCE)
        for pool, kind in dict.fromkeys((pool, FEATURES[name].worker) for pool, name in self._futures):
            self._executor.submit(self._run, pool, kind)

    def shown(self, cell: Cell, seconds: float) -> str | None:
        """What one cell showed: None, or the words of a refusal.

        Raises:
            AssertionError: the feature does not work, and whatever else its proof raised.
        """
        return self._futures[cell].result(seconds)

    def close(self) -> None:
        """Begin no more proofs, and wait for those that run."""
        self._over.set()
        self._executor.shutdown()

    def _run(self, pool: str, kind: str) -> None:
        directory = self._directory / f"{pool}-{kind}"
        directory.mkdir()
        stage = Stage(pool, kind, directory)
        try:
            for (lane, name), future in self._futures.items():
                if lane == pool and FEATURES[name].worker == kind and not self._over.is_set():
                    try:
                        future.set_result(FEATURES[name].proof(stage))
                    except BaseException as exc:
                        future.set_exception(exc)
        finally:
            stage.close()
            stage.project.app.close()
