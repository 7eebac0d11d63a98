"""Skirret on Redis or RabbitMQ, with results in Redis, as it is shipped."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import redis

from benchmarks import work
from benchmarks.peer import PATIENCE, Peer, broker_url, is_rabbitmq, redis_url
from skirret import Skirret

app = Skirret("bench", broker=broker_url(), backend=redis_url())
echo = app.task(work.echo, name="echo")

SLICE = 100  # calls of ours, then as many of a bare client, and so on: both meet the same machine
TOGETHER = 1000


class Adapter(Peer):
    """Its prefork pool; `send_many` for many."""

    def workers(self, concurrency: int) -> list[list[str]]:
        servers = ["--broker", broker_url(), "--result-backend", redis_url()]
        command = [sys.executable, "-m", "skirret", "--quiet", *servers, "-A", __name__]
        return [[*command, "worker", "--loglevel", "WARNING", "--concurrency", str(concurrency)]]

    def call(self, args: tuple[Any, ...]) -> Any:
        return echo.delay(*args)

    def many(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        return app.send_many(echo.s(*args) for args in calls)

    def result(self, handle: Any) -> Any:
        return handle.get(timeout=PATIENCE)

    def left(self, sent: int) -> int:
        if is_rabbitmq():
            return max(0, sent - int(redis.Redis.from_url(redis_url()).dbsize()))
        size = app.broker.size("celery")
        return size.ready + size.held

    def trips(self, count: int, seconds: float) -> list[float]:
        app.backend  # noqa: B018 - connected before the clock runs, as the other peers' clients are
        return super().trips(count, seconds)

    def own_figures(self, count: int) -> dict[str, float]:
        return self.concurrent_calls() | ({} if is_rabbitmq() else self.beside_bare_client(count))

    def beside_bare_client(self, count: int) -> dict[str, float]:
        """`delay()` and a redis-py LPUSH of as many bytes in the same process, in turns."""
        client = redis.Redis.from_url(redis_url())
        echo.delay()
        message = client.lindex("celery", 0) or b"x" * 1000
        ours = bare = 0.0
        slices = max(1, count // SLICE)
        for _ in range(slices):
            began = time.perf_counter()
            for _ in range(SLICE):
                echo.delay()
            between = time.perf_counter()
            for _ in range(SLICE):
                client.lpush("bare", message)
            ours += between - began
            bare += time.perf_counter() - between
        return {"delay() in turns with LPUSH": slices * SLICE / ours, "bare redis-py LPUSH": slices * SLICE / bare}

    def concurrent_calls(self) -> dict[str, float]:
        """1,000 concurrent `adelay()` beside 1,000 `delay()` in a row."""

        async def together() -> float:
            await echo.adelay()
            began = time.perf_counter()
            await asyncio.gather(*(echo.adelay() for _ in range(TOGETHER)))
            return time.perf_counter() - began

        concurrent = asyncio.run(together())
        began = time.perf_counter()
        for _ in range(TOGETHER):
            echo.delay()
        return {"1,000 concurrent adelay()": (time.perf_counter() - began) / concurrent}
