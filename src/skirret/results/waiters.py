"""The three kinds of those who wait for results: a blocked thread, an awaiting coroutine, a callback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from skirret.results.raising import fresh

if TYPE_CHECKING:
    import asyncio


class Waiter:
    """Somebody who waits for results. All fields belong to the room's lock, except where a subclass says otherwise.

    Args:
        ids: the tasks to wait for.
    """

    __slots__ = ("error", "found", "pending")

    detached = False
    """True for waiters without a thread of their own that could lead."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.pending = set(ids)
        self.found: dict[str, bytes] = {}
        self.error: Exception | None = None

    def served(self) -> bool:
        """Whether there is something to take."""
        return bool(self.found) or self.error is not None

    def take(self) -> dict[str, bytes]:
        """What was found since the last call, by task id.

        Raises:
            Exception: what the backend raised while it waited on this waiter's behalf.
        """
        if self.found:
            found, self.found = self.found, {}
            return found
        if self.error is not None:
            error, self.error = self.error, None
            # Several waiters share the backend's exception; each raises its own.
            raise fresh(error) from error
        return {}

    def wake(self) -> None:
        """Tell the waiter to look again."""


class Blocked(Waiter):
    """A thread (or greenlet) inside a blocking call."""

    __slots__ = ("_event",)

    def __init__(self, ids: Iterable[str]) -> None:
        super().__init__(ids)
        # Made when it must follow: the thread that leads, the usual case, needs none.
        self._event: threading.Event | None = None

    def rest(self) -> threading.Event:
        """The event to wait on, cleared; under the room's lock."""
        if self._event is None:
            self._event = threading.Event()
        self._event.clear()
        return self._event

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()


class Awaiting(Waiter):
    """A coroutine. `future` is touched only in the loop's own thread."""

    __slots__ = ("future", "loop")

    detached = True

    def __init__(self, ids: Iterable[str], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(ids)
        self.loop = loop
        self.future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        wake_all([self])

    def resolve(self) -> None:
        """Resume the coroutine; in the loop's thread."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Calling(Waiter):
    """A function to be called with this waiter once it was served, by the reader's thread."""

    __slots__ = ("call",)

    detached = True

    def __init__(self, ids: Iterable[str], call: Callable[[Calling], Any]) -> None:
        super().__init__(ids)
        self.call = call


def _resolve_all(waiters: list[Awaiting]) -> None:
    for waiter in waiters:
        waiter.resolve()


def wake_all(waiters: Iterable[Waiter]) -> None:
    """Wake each of `waiters`; coroutines with one call a loop, because each call writes to the loop's pipe."""
    loops: dict[asyncio.AbstractEventLoop, list[Awaiting]] = {}
    for waiter in waiters:
        if isinstance(waiter, Awaiting):
            loops.setdefault(waiter.loop, []).append(waiter)
        else:
            waiter.wake()
    for loop, awaiting in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, awaiting)
        except RuntimeError:
            # The loop was closed with its coroutines: nobody awaits any more.
            continue
