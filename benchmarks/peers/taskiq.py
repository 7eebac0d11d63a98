"""taskiq with its Redis stream broker, the one that acknowledges, and its Redis result backend."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks import work
from benchmarks.peer import PATIENCE, AsyncPeer, program, redis_url

broker = RedisStreamBroker(redis_url()).with_result_backend(RedisAsyncResultBackend(redis_url()))


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
        return max(0, sent + 1 - int(await self.client.dbsize()))
