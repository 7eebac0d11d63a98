"""Event loops in greenlets of one thread: each greenlet has its own idea of which loop runs."""

from __future__ import annotations

import asyncio
import asyncio.events as place
import selectors
import threading
from collections.abc import Coroutine
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import greenlet

from skirret.worker.child.guards import Guard, Interruption, raise_here
from skirret.worker.child.slots.hub import Hub
from skirret.worker.child.slots.steered import Steered

if TYPE_CHECKING:
    from skirret.worker.child.execute import Execution

_running: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Greenlet that is switched away from -> the loop that ran in it."""


def share_loops() -> None:
    """Have every loop that is made in this process from now on share its thread.

    The standard library knows one running loop a thread. In a patched process a loop that waits, or a coroutine that
    blocks, switches to other greenlets, which may have loops of their own or none. So the running loop is changed at
    each switch; only in threads that have made a loop, since that costs a call.
    """

    class Sharing(selectors.DefaultSelector):  # every loop makes one
        def __init__(self) -> None:
            super().__init__()
            before = greenlet.gettrace()
            if getattr(before, "shares_loops", False):
                return

            def switched(event: Any, places: Any) -> None:
                if before is not None:
                    before(event, places)
                _switch(event, places)

            switched.shares_loops = True  # type: ignore[attr-defined]
            greenlet.settrace(switched)

    selectors.DefaultSelector = Sharing  # type: ignore[misc]


def _switch(event: str, places: Any) -> None:
    if event in {"switch", "throw"}:
        origin, target = places
        loop = place._get_running_loop()  # noqa: SLF001
        if loop is not None:
            _running[origin] = loop
        elif not _running:
            return
        mine = _running.pop(target, None)
        if mine is not loop:
            place._set_running_loop(mine)  # noqa: SLF001


class LoopGreenlet:
    """One loop for all coroutines of a child, in a greenlet of its own, made when the first one needs it.

    Args:
        hub: what switches.
    """

    def __init__(self, hub: Hub) -> None:
        self.interrupted: FrameType | None = None
        """Where the last signal came."""
        self._hub = hub
        self._loop: asyncio.AbstractEventLoop | None = None
        self._place: Any = None

    def run(self, execution: Execution, guard: Guard) -> Any:
        """Run an ``async def`` task to its end; other greenlets run meanwhile."""
        loop = self._ready()
        steered = Steered(_attempt(execution, guard))
        throw, guard.throw = guard.throw, partial(self._throw, loop, steered)
        try:
            value, error = asyncio.run_coroutine_threadsafe(steered, loop).result()
        finally:
            guard.throw = throw
        if error is not None:
            raise error
        return value

    def finish(self, hooks: Coroutine[Any, Any, None]) -> None:
        """Run what hooks of the task left to be awaited."""
        asyncio.run_coroutine_threadsafe(hooks, self._ready()).result()

    def _ready(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._place = self._hub.spawn(self._loop.run_forever)
        return self._loop

    def close(self) -> None:
        """Stop the loop, which has nothing left to run."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _throw(self, loop: asyncio.AbstractEventLoop, steered: Steered, error: Interruption) -> None:
        frame, self.interrupted = self.interrupted, None
        here = greenlet.getcurrent() is self._place
        # A coroutine that blocks is either interrupted by the signal itself, or its loop's greenlet waits inside of it.
        if not steered.is_here(loop, frame if here else self._place.gr_frame):
            loop.call_soon_threadsafe(steered.interrupt, error)
        elif here:
            raise_here(error)
        else:
            self._hub.throw(self._place, error(), lambda: steered.is_here(loop, self._place.gr_frame))


async def _attempt(execution: Execution, guard: Guard) -> tuple[Any, BaseException | None]:
    """What a coroutine returned, or raised: a future cannot carry every exception as it is."""
    guard.thread = threading.get_ident()
    try:
        return await execution.call(), None
    except BaseException as exc:  # noqa: BLE001  whatever user code raises is its outcome
        return None, exc
