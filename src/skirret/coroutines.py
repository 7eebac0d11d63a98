"""Running a coroutine from code that is not asynchronous."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, awaited on a loop of its own; in a thread if this thread's loop is running."""
    import asyncio  # heavy, and not needed where nothing is a coroutine

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return _in_thread(lambda: asyncio.run(coroutine))


def _in_thread(work: Callable[[], Any]) -> Any:
    outcome: list[Any] = []
    failure: list[BaseException] = []
    surroundings = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.append(surroundings.run(work))
        except BaseException as exc:  # noqa: BLE001  handed to the caller
            failure.append(exc)

    thread = threading.Thread(target=run, name="skirret-coroutine")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
