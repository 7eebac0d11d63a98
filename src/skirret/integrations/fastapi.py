"""Skirret in FastAPI (and any Starlette) programs: connections opened and closed with the program, and a dependency."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.requests import HTTPConnection

from skirret.app import Skirret

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]

STATE = "skirret"


def lifespan(app: Skirret, also: Lifespan | None = None) -> Lifespan:
    """A lifespan for ``FastAPI(lifespan=...)``.

    At the start it opens the broker and the result store, so that the first request need not, and a server that is not
    there is told at once; at the end it closes them. ``request.state.skirret`` is the app.

    Args:
        app: what handlers send with.
        also: the program's own lifespan, entered after this one; what it yields is the state too.
    """

    @asynccontextmanager
    async def open_and_close(program: Any) -> AsyncIterator[dict[str, Any]]:
        await asyncio.to_thread(connect, app)
        try:
            async with AsyncExitStack() as stack:
                state = await stack.enter_async_context(also(program)) if also is not None else None
                yield {**(state or {}), STATE: app}
        finally:
            await asyncio.to_thread(app.close)

    return open_and_close


def connect(app: Skirret) -> None:
    """Open what an app's calls and results need; blocks.

    Raises:
        OperationalError: the broker cannot be reached.
        BackendError: the result store cannot.
    """
    app.finalize()
    app.broker.identity  # noqa: B018  asks the server
    if app.backend.enabled:
        app.backend.identity  # noqa: B018


def skirret_app(connection: HTTPConnection) -> Skirret:
    """The dependency: ``queue: Annotated[Skirret, Depends(skirret_app)]`` in a handler is the app of `lifespan`."""
    found: Skirret = getattr(connection.state, STATE)
    return found
