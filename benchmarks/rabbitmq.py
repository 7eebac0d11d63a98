"""A private RabbitMQ beside the private Redis, which keeps the results."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import server
from benchmarks.plan import CORES
from benchmarks.processes import cpu_seconds
from tests.servers.rabbitmq_programs import rabbitmq
from tests.servers.rabbitmq_servers import RabbitServer, binary

HOST = "bench"


class Server(server.Server):
    """What the benchmark itself asks of the two.

    Args:
        port: of the Redis.
        rabbit: the broker.
    """

    def __init__(self, port: int, rabbit: RabbitServer) -> None:
        super().__init__(port)
        self.rabbit = rabbit
        self.about["rabbitmq"] = rabbit.ask("rabbit_misc:version()").strip('"')
        rabbit.add_host(HOST)

    @property
    def env(self) -> dict[str, str]:
        return super().env | {"BENCH_BROKER": self.rabbit.url_of(HOST)}

    def empty(self) -> None:
        super().empty()
        self.rabbit.delete_host(HOST)
        self.rabbit.add_host(HOST)

    def purge(self) -> None:
        super().empty()
        self.rabbit.ask(f"[rabbit_amqqueue:purge(Queue) || Queue <- rabbit_amqqueue:list({binary(HOST)})]")

    def used_memory(self) -> int:
        self.rabbit.ask("[garbage_collect(Each) || Each <- processes()], ok")
        return super().used_memory() + int(self.rabbit.ask("erlang:memory(total)"))

    def cpu(self) -> float:
        assert self.rabbit.process
        return super().cpu() + cpu_seconds(self.rabbit.process.pid)

    def commands(self) -> None:
        """RabbitMQ has none that could be counted."""


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Both for as long as the block lasts."""
    with server.running() as redis, tempfile.TemporaryDirectory(prefix="bench-rabbitmq-") as directory:
        print("... starting RabbitMQ", file=sys.stderr, flush=True)
        # Tests give it less; as shipped it takes 0.4 of the machine's memory, and a scheduler a core.
        settings = {"vm_memory_high_watermark.absolute": "2GB"}
        rabbit = RabbitServer(rabbitmq(), Path(directory), settings, schedulers=CORES)
        try:
            yield Server(redis.port, rabbit)
        finally:
            rabbit.stop()
