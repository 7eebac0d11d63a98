"""arq, which runs one process a worker and leaves it to its user to start several."""

from __future__ import annotations

from typing import Any, ClassVar

from arq import create_pool, func
from arq.connections import RedisSettings

from benchmarks import work
from benchmarks.peer import PATIENCE, AsyncPeer, program, redis_url


async def run(_context: dict[Any, Any], payload: str = "", milliseconds: float = 0.0) -> str:
    """The task."""
    return work.echo(payload, milliseconds)


class Settings:
    """What its command line is given."""

    functions: ClassVar = [func(run, name="echo")]
    redis_settings = RedisSettings.from_dsn(redis_url())


class Adapter(AsyncPeer):
    """Processes as many as asked for, coroutines as shipped."""

    async def open(self) -> None:
        self.pool = await create_pool(Settings.redis_settings)

    def workers(self, concurrency: int) -> list[list[str]]:
        return [[program("arq"), f"{__name__}.Settings"]] * concurrency

    async def acall(self, args: tuple[Any, ...]) -> Any:
        return await self.pool.enqueue_job("echo", *args)

    async def aresult(self, handle: Any) -> Any:
        # Its default looks every 0.5 s.
        return await handle.result(timeout=PATIENCE, poll_delay=0.001)

    async def aleft(self, sent: int) -> int:
        return int(await self.pool.zcard("arq:queue"))
