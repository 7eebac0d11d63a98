"""dramatiq on Redis or RabbitMQ, with its results middleware on Redis."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import work
from benchmarks.peer import PATIENCE, Peer, broker_url, is_rabbitmq, program, redis_url


def make_broker() -> Any:
    """The broker of this run."""
    if is_rabbitmq():
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        return RabbitmqBroker(url=broker_url())
    from dramatiq.brokers.redis import RedisBroker

    return RedisBroker(url=broker_url())


results = RedisBackend(url=redis_url())
broker = make_broker()
broker.add_middleware(Results(backend=results, store_results=True))
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
        if is_rabbitmq():
            return max(0, sent - int(results.client.dbsize()))
        return int(broker.client.hlen("dramatiq:default.msgs"))
