"""saq on Redis."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from saq import Queue
from saq.job import Job, Status

from benchmarks import work
from benchmarks.peer import PATIENCE, AsyncPeer, program, redis_url

queue = Queue.from_url(redis_url())


async def echo(_context: Any, *, payload: str = "", milliseconds: float = 0.0) -> str:
    """The task."""
    return work.echo(payload, milliseconds)


MISSED = 0.5  # seconds

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
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not job.completed and asyncio.get_running_loop().time() < deadline:
            # It subscribes after it has looked, and so may miss the word: it looks again.
            with contextlib.suppress(asyncio.TimeoutError):
                await job.refresh(until_complete=MISSED)
        return job.result if job.status is Status.COMPLETE else repr(job)

    async def aleft(self, sent: int) -> int:
        return await queue.count("incomplete")
