"""Celery on Redis or RabbitMQ, with JSON and its Redis result backend, as it is shipped."""

from __future__ import annotations

from typing import Any

from celery import Celery

from benchmarks import work
from benchmarks.peer import PATIENCE, Peer, broker_url, is_rabbitmq, program, redis_url

app = Celery("bench", broker=broker_url(), backend=redis_url())
echo = app.task(work.echo, name="echo")


class Adapter(Peer):
    """`celery` runs with the prefork pool, `celery-threads` with the pool of threads."""

    module = __name__

    def workers(self, concurrency: int) -> list[list[str]]:
        pool = self.name.partition("-")[2] or "prefork"
        command = [program("celery"), "-A", self.module, "worker", "--loglevel", "WARNING"]
        return [[*command, "--pool", pool, "--concurrency", str(concurrency)]]

    def call(self, args: tuple[Any, ...]) -> Any:
        return echo.delay(*args)

    def many(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        # Celery has no call for many; this is the way its documentation gives for loops.
        with app.producer_pool.acquire(block=True) as producer:
            return [echo.apply_async(args, producer=producer) for args in calls]

    def result(self, handle: Any) -> Any:
        return handle.get(timeout=PATIENCE)

    def left(self, sent: int) -> int:
        client = app.backend.client
        if is_rabbitmq():
            return max(0, sent - int(client.dbsize()))
        return int(client.llen("celery")) + int(client.hlen("unacked"))
