"""rq with its worker pool, in which each worker forks for each task."""

from __future__ import annotations

from typing import Any

from redis import Redis
from rq import Queue

from benchmarks import work
from benchmarks.peer import PATIENCE, Peer, program, redis_url

client = Redis.from_url(redis_url())
queue = Queue(connection=client)


class Adapter(Peer):
    """Its default worker; `enqueue_many` for many."""

    def workers(self, concurrency: int) -> list[list[str]]:
        command = [program("rq"), "worker-pool", "default", "--url", redis_url(), "--logging-level", "WARNING"]
        return [[*command, "--num-workers", str(concurrency)]]

    def call(self, args: tuple[Any, ...]) -> Any:
        return queue.enqueue(work.echo, *args)

    def many(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        return queue.enqueue_many([Queue.prepare_data(work.echo, args) for args in calls])

    def result(self, handle: Any) -> Any:
        found = handle.latest_result(timeout=int(PATIENCE))
        return found.return_value

    def left(self, sent: int) -> int:
        return sent - int(client.zcard("rq:finished:default"))
