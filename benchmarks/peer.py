"""What the benchmark asks of a task queue: a peer says how its worker starts, how tasks are sent and results read."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

BATCH = 1000  # tasks a call, where a library can send many in one call
TOGETHER = 100  # concurrent coroutines, where it cannot but is asynchronous
PATIENCE = 60.0  # seconds for one result


def redis_url() -> str:
    """The Redis of this run, which keeps the results whatever the broker is."""
    return os.environ["BENCH_REDIS"]


def broker_url() -> str:
    """The broker of this run: the same Redis, or a RabbitMQ."""
    return os.environ["BENCH_BROKER"]


def is_rabbitmq() -> bool:
    """Whether the broker is a RabbitMQ. It does not count what is taken; results in an emptied Redis can be counted."""
    return broker_url().startswith("amqp:")


def program(name: str) -> str:
    """A console script of the environment that this runs in."""
    return str(Path(sys.executable).parent / name)


def batches(calls: Iterable[tuple[Any, ...]], length: int) -> Iterator[list[tuple[Any, ...]]]:
    """`calls` in lists of `length`, the last one shorter."""
    rest = iter(calls)
    while batch := list(islice(rest, length)):
        yield batch


class Peer:
    """A task queue whose client blocks.

    Args:
        name: which entry of `benchmarks.peers.ENTRIES` it is.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def workers(self, concurrency: int) -> list[list[str]]:
        """The commands that start a worker; several where the library leaves several processes to its user."""
        raise NotImplementedError

    def call(self, args: tuple[Any, ...]) -> Any:
        """Send one task; gives a handle that `result` takes."""
        raise NotImplementedError

    def result(self, handle: Any) -> Any:
        """The result of a task, waited for."""
        raise NotImplementedError

    def left(self, sent: int) -> int:
        """How many of the `sent` tasks are not done, from something the server counts."""
        raise NotImplementedError

    def many(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Send many tasks in the fastest way that the library has."""
        return [self.call(args) for args in calls]

    def single(self, calls: Iterable[tuple[Any, ...]], seconds: float) -> tuple[int, float]:
        """Send one after another, for at most so many seconds; gives how many were sent and how long it took."""
        sent = 0
        began = time.perf_counter()
        for args in calls:
            self.call(args)
            sent += 1
            if time.perf_counter() - began > seconds:
                break
        return sent, time.perf_counter() - began

    def bulk(self, calls: Iterable[tuple[Any, ...]], seconds: float) -> tuple[list[Any], float]:
        """Send batch after batch, for at most so many seconds; gives the handles and how long it took."""
        handles: list[Any] = []
        began = time.perf_counter()
        for batch in batches(calls, BATCH):
            handles += self.many(batch)
            if time.perf_counter() - began > seconds:
                break
        return handles, time.perf_counter() - began

    def results(self, handles: list[Any]) -> Iterator[Any]:
        """All results."""
        return map(self.result, handles)

    def trips(self, count: int, seconds: float) -> list[float]:
        """Seconds from a call to its result, one call after another, for at most so many seconds."""
        took: list[float] = []
        end = time.perf_counter() + seconds
        while len(took) < count and (began := time.perf_counter()) < end:
            self.result(self.call(()))
            took.append(time.perf_counter() - began)
        return took

    def own_figures(self, count: int) -> dict[str, float]:
        """Figures that this peer alone is asked for, from about `count` calls; no worker runs."""
        return {}


class AsyncPeer(Peer):
    """A task queue whose client is asynchronous: the same questions, answered on one event loop."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.open())

    async def open(self) -> None:
        """Connect."""

    async def acall(self, args: tuple[Any, ...]) -> Any:
        """`call`, awaited."""
        raise NotImplementedError

    async def aresult(self, handle: Any) -> Any:
        """`result`, awaited."""
        raise NotImplementedError

    async def aread(self, handle: Any) -> Any:
        """The result of a task that is done, awaited."""
        return await self.aresult(handle)

    async def aleft(self, sent: int) -> int:
        """`left`, awaited."""
        raise NotImplementedError

    async def amany(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        """`many`, awaited: coroutines together, for the libraries that have no call for many."""
        handles: list[Any] = []
        for batch in batches(calls, TOGETHER):
            handles += await asyncio.gather(*map(self.acall, batch))
        return handles

    def call(self, args: tuple[Any, ...]) -> Any:
        return self.loop.run_until_complete(self.acall(args))

    def result(self, handle: Any) -> Any:
        return self.loop.run_until_complete(self.aresult(handle))

    def left(self, sent: int) -> int:
        return self.loop.run_until_complete(self.aleft(sent))

    def many(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        return self.loop.run_until_complete(self.amany(calls))

    def single(self, calls: Iterable[tuple[Any, ...]], seconds: float) -> tuple[int, float]:
        async def one_after_another() -> tuple[int, float]:
            sent = 0
            began = time.perf_counter()
            for args in calls:
                await self.acall(args)
                sent += 1
                if time.perf_counter() - began > seconds:
                    break
            return sent, time.perf_counter() - began

        return self.loop.run_until_complete(one_after_another())

    def results(self, handles: list[Any]) -> Iterator[Any]:
        async def some(batch: list[Any]) -> list[Any]:
            return await asyncio.gather(*map(self.aread, batch))

        rest = iter(handles)
        while batch := list(islice(rest, TOGETHER)):
            yield from self.loop.run_until_complete(some(batch))

    def trips(self, count: int, seconds: float) -> list[float]:
        async def there_and_back() -> list[float]:
            took: list[float] = []
            end = time.perf_counter() + seconds
            while len(took) < count and (began := time.perf_counter()) < end:
                await self.aresult(await self.acall(()))
                took.append(time.perf_counter() - began)
            return took

        return self.loop.run_until_complete(there_and_back())
