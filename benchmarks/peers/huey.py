"""huey on Redis, with worker processes."""

from __future__ import annotations

import sys
from typing import Any

from huey import RedisHuey

from benchmarks import work
from benchmarks.peer import PATIENCE, Peer, program, redis_url

huey = RedisHuey("bench", url=redis_url())
echo = huey.task(name="echo")(work.echo)


class Adapter(Peer):
    """Worker processes rather than threads: faster here, and what the others have."""

    def workers(self, concurrency: int) -> list[list[str]]:
        command = [sys.executable, program("huey_consumer"), f"{__name__}.huey", "--quiet"]
        return [[*command, "--worker-type", "process", "--workers", str(concurrency)]]

    def call(self, args: tuple[Any, ...]) -> Any:
        return echo(*args)

    def result(self, handle: Any) -> Any:
        # Its default looks after 0.1 s, then ever more rarely.
        return handle.get(blocking=True, timeout=PATIENCE, backoff=1, max_delay=0.001)

    def left(self, sent: int) -> int:
        return sent - int(huey.storage.conn.hlen(huey.storage.result_key))
