"""``AsyncResult.then``: a callback for the moment a result is ready."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

from skirret import loggers, states
from skirret.meta import ResultMeta
from skirret.results.raising import remote_error
from skirret.results.reader import ResultReader

logger = loggers.own("skirret.results")


class Awaited(Protocol):
    """What is needed of the result."""

    id: str

    @property
    def reader(self) -> ResultReader:
        """Calls back."""
        ...

    def known(self) -> ResultMeta | None:
        """The result meta if it is known."""

    def keep(self, meta: ResultMeta) -> ResultMeta:
        """Remember the result meta."""
        ...


class Then:
    """One callback of one result.

    Args:
        result: passed to `callback` once it is ready.
        callback: called in every ready state.
        on_error: called with the exception of a failed task, with what `callback` raised, and with the error of a store
            that cannot be read.
        weak: hold `callback` weakly.
    """

    def __init__(
        self,
        result: Awaited,
        callback: Callable[[Any], object],
        on_error: Callable[[BaseException], object] | None,
        *,
        weak: bool,
    ) -> None:
        self._result = result
        self._on_error = on_error
        self._callback: Callable[[], Callable[[Any], object] | None] = lambda: callback
        if weak:
            self._callback = weakref.WeakMethod(callback) if hasattr(callback, "__self__") else weakref.ref(callback)

    def start(self) -> None:
        """Call back at once if the result is known, otherwise when it comes."""
        meta = self._result.known()
        if meta is not None:
            self._call(meta)
        else:
            self._result.reader.notify(self._result.id, self._arrived, self._on_error)

    def _arrived(self, meta: ResultMeta) -> None:
        self._call(self._result.keep(meta))

    def _call(self, meta: ResultMeta) -> None:
        if self._on_error is not None and meta.status in states.PROPAGATE_STATES:
            self._on_error(remote_error(meta))
        callback = self._callback()
        if callback is None:
            return
        try:
            callback(self._result)
        except Exception as exc:
            if self._on_error is None:
                raise
            logger.debug("The callback of task %s raised %r, which goes to its on_error.", self._result.id, exc)
            self._on_error(exc)
