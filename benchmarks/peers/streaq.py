"""streaq, on Redis streams."""

from __future__ import annotations

from typing import Any

from streaq import Worker

from benchmarks import work
from benchmarks.peer import PATIENCE, AsyncPeer, program, redis_url

worker: Worker[None] = Worker(redis_url=redis_url())


@worker.task(name="echo")
async def echo(payload: str = "", milliseconds: float = 0.0) -> str:
    """The task."""
    return work.echo(payload, milliseconds)


class Adapter(AsyncPeer):
    """Processes as many as asked for, coroutines as shipped."""

    async def open(self) -> None:
        await worker.__aenter__()

    def workers(self, concurrency: int) -> list[list[str]]:
        return [[program("streaq"), "run", f"{__name__}:worker", "--workers", str(concurrency)]]

    async def acall(self, args: tuple[Any, ...]) -> Any:
        return await echo.enqueue(*args)

    async def amany(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        tasks = [echo.enqueue(*args) for args in calls]
        await worker.enqueue_many(tasks)
        return tasks

    async def aresult(self, handle: Any) -> Any:
        return (await handle.result(timeout=int(PATIENCE))).result

    async def aread(self, handle: Any) -> Any:
        # Its own way subscribes first, which takes 0.1 s each; this is the rest of it.
        data = await worker.deserialize(await worker.redis.get(worker.results_key + handle.id))
        return data["r"]

    async def aleft(self, sent: int) -> int:
        return sent - int(await worker.redis.zcard(worker._results_set))  # noqa: SLF001 - it has no other counter
