"""What runs tasks inside a child: one slot, threads, coroutines or greenlets; each a file with one ``serve``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skirret.plugins import Plugins

if TYPE_CHECKING:
    from skirret.worker.child.execute import Executor
    from skirret.worker.child.link import Link

SLOTS = Plugins(
    kind="pool",
    group="skirret.pools",
    builtin={
        "prefork": "skirret.worker.child.slots.single:serve",
        "solo": "skirret.worker.child.slots.single:serve",
        "threads": "skirret.worker.child.slots.threads:serve",
        "asyncio": "skirret.worker.child.slots.coroutines:serve",
        "gevent": "skirret.worker.child.slots.gevent_hub:serve",
        "eventlet": "skirret.worker.child.slots.eventlet_hub:serve",
    },
    extras={"gevent": "gevent", "eventlet": "eventlet"},
)


def serve_with(pool: str) -> Callable[[Executor, Link, int], None]:
    """The function that serves a child of `pool`: ``serve(executor, link, slots)`` returns when work ends."""
    found: Callable[[Executor, Link, int], None] = SLOTS.load(pool)
    return found
