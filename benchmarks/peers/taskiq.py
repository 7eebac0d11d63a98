"""taskiq with its Redis stream broker, the one that acknowledges, or on RabbitMQ; with its Redis result backend."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from taskiq_redis import RedisAsyncResultBackend

from benchmarks import work
from benchmarks.peer import PATIENCE, AsyncPeer, broker_url, is_rabbitmq, program, redis_url


def make_broker() -> Any:
    """The broker of this run."""
    if is_rabbitmq():
        from taskiq_aio_pika import AioPikaBroker

        return AioPikaBroker(broker_url())
    from taskiq_redis import RedisStreamBroker

    return RedisStreamBroker(broker_url())


broker = make_broker().with_result_backend(RedisAsyncResultBackend(redis_url()))


@broker.task(task_name="echo")
async def echo(payload: str = "", milliseconds: float = 0.0) -> str:
    """The task."""
    return work.echo(payload, milliseconds)


class Adapter(AsyncPeer):
    """Processes as many as asked for, coroutines as shipped."""

    async def open(self) -> None:
        self.client = Redis.from_url(redis_url())
        await broker.startup()

    def workers(self, concurrency: int) -> list[list[str]]:
        command = [program("taskiq"), "worker", f"{__name__}:broker", "--log-level", "WARNING"]
        return [[*command, "--workers", str(concurrency)]]

    async def acall(self, args: tuple[Any, ...]) -> Any:
        return await echo.kiq(*args)

    async def aresult(self, handle: Any) -> Any:
        # Its default looks every 0.2 s.
        found = await handle.wait_result(check_interval=0.001, timeout=PATIENCE)
        return found.return_value

    async def aleft(self, sent: int) -> int:
        # All keys but the stream are results (and, now and then, a lock).
        streams = 0 if is_rabbitmq() else 1
        return max(0, sent + streams - int(await self.client.dbsize()))
