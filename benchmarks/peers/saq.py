"""saq on Redis."""

from __future__ import annotations

from typing import Any

from saq import Queue
from saq.job import Job, Status

from benchmarks import work
from benchmarks.peer import PATIENCE, AsyncPeer, program, redis_url

queue = Queue.from_url(redis_url())


async def echo(_context: Any, *, payload: str = "", milliseconds: float = 0.0) -> str:
    """The task."""
    return work.echo(payload, milliseconds)


settings = {"queue": queue, "functions": [echo]}


class Adapter(AsyncPeer):
    """Processes as many as asked for, coroutines as shipped."""

    async def open(self) -> None:
        await queue.connect()

    def workers(self, concurrency: int) -> list[list[str]]:
        return [[program("saq"), f"{__name__}.settings", "--workers", str(concurrency)]]

    async def acall(self, args: tuple[Any, ...]) -> Any:
        return await queue.enqueue("echo", **dict(zip(("payload", "milliseconds"), args, strict=False)))

    async def aresult(self, handle: Any) -> Any:
        job: Job = handle
        await job.refresh(until_complete=PATIENCE)
        return job.result if job.status is Status.COMPLETE else repr(job)

    async def aleft(self, sent: int) -> int:
        return await queue.count("incomplete")
