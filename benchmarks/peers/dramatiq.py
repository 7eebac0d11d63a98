"""dramatiq on Redis, with its results middleware."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import work
from benchmarks.peer import PATIENCE, Peer, program, redis_url

broker = RedisBroker(url=redis_url())
broker.add_middleware(Results(backend=RedisBackend(url=redis_url()), store_results=True))
dramatiq.set_broker(broker)
echo = dramatiq.actor(work.echo, actor_name="echo")


class Adapter(Peer):
    """Processes as many as asked for, threads as shipped."""

    def workers(self, concurrency: int) -> list[list[str]]:
        return [[program("dramatiq"), __name__, "--processes", str(concurrency)]]

    def call(self, args: tuple[Any, ...]) -> Any:
        return echo.send(*args)

    def result(self, handle: Any) -> Any:
        return handle.get_result(block=True, timeout=int(PATIENCE * 1000))

    def left(self, sent: int) -> int:
        return int(broker.client.hlen("dramatiq:default.msgs"))
