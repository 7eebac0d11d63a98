"""How fast tasks are sent, one by one and in bulk, and what a queued task costs the server's memory."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.plan import Plan
from benchmarks.sample import Quantity
from benchmarks.server import Server
from benchmarks.session import Session
from benchmarks.work import KIB

SIZES = {"no arguments": 0, "1 KiB": KIB, "100 KiB": 100 * KIB}
SINGLE = {
    name: Quantity(f"single enqueue, {name}", "calls/s", budget=">= bare LPUSH" if not size else "")
    for name, size in SIZES.items()
}
BULK = {
    name: Quantity(f"bulk enqueue, {name}", "tasks/s", budget=">= 20,000" if not size else "")
    for name, size in SIZES.items()
}
MEMORY = Quantity("server memory per queued task", "bytes", more_is_better=False)
BESIDE = Quantity("delay() in turns with LPUSH", "calls/s", budget=">= bare LPUSH")
BARE = Quantity("bare redis-py LPUSH", "calls/s")
TOGETHER = Quantity("1,000 concurrent adelay()", "x sequential delay()", budget=">= 5x")
EXTRA = {quantity.name: quantity for quantity in (BESIDE, BARE, TOGETHER)}


def measure(session: Session, server: Server, plan: Plan) -> Iterator[tuple[Quantity, float]]:
    """Send without a worker."""
    bulk = plan.tasks or 20_000
    for name, size in SIZES.items():
        fewer = 10 if size > 10 * KIB else 1
        session.ask("single", count=20, size=size, seconds=5.0)  # connects
        said = session.ask("single", count=plan.calls // fewer, size=size, seconds=plan.seconds / 3)
        yield SINGLE[name], said["sent"] / said["seconds"]
        server.purge()
        before = server.used_memory()
        said = session.ask("bulk", count=bulk // fewer, size=size, kind="none", seconds=plan.seconds / 3)
        yield BULK[name], said["sent"] / said["seconds"]
        if not size:
            yield MEMORY, (server.used_memory() - before) / said["sent"]
        server.purge()
    for name, value in session.ask("extra", count=plan.calls).items():
        yield EXTRA[name], value
    server.purge()
