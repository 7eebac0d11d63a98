"""A coroutine into which an exception can be thrown where it waits, or where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import FrameType
from typing import Any

from skirret.worker.child.guards import Interruption


class Steered(Coroutine[Any, Any, Any]):
    """Drives `inner`; a cancellation that `interrupt` asked for arrives in it as that exception.

    A task of asyncio drives it as any coroutine; what else looks at it (stacks, names) sees `inner`.
    """

    __slots__ = ("_inner", "_interruption")

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner
        self._interruption: Interruption | None = None

    def interrupt(self, error: Interruption) -> None:
        """Throw the exception in where the coroutine waits; called on its loop."""
        for task in asyncio.all_tasks():
            if task.get_coro() is self:
                self._interruption = error
                task.cancel()

    def is_here(self, loop: asyncio.AbstractEventLoop, frame: FrameType | None) -> bool:
        """Whether a signal handler of the thread of `loop`, called in `frame`, interrupts this very coroutine.

        Then the exception can be raised right there, also in a call that blocks the loop.
        """
        task = asyncio.current_task(loop)
        if frame is None or task is None or task.get_coro() is not self:
            return False
        return frame.f_code not in (Steered.send.__code__, Steered.throw.__code__)

    def send(self, value: Any) -> Any:
        """Go on."""
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an exception."""
        if self._interruption is not None and isinstance(error[0], asyncio.CancelledError):
            interruption, self._interruption = self._interruption, None
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return self._inner.throw(interruption())
        return self._inner.throw(*error)

    def close(self) -> None:
        """End it."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
