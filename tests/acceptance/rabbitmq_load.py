"""RabbitMQ under load: the fault tasks on a server or cluster, and what must not be left there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skirret.brokers.amqp.topology import REGISTRY, dead_queue
from tests.acceptance.faulty import wait_until
from tests.acceptance.load import LoadedProject
from tests.servers.rabbitmq_servers import RabbitServer

QUEUE = "celery"


class RabbitProject(LoadedProject):
    """The fault tasks on RabbitMQ, with results elsewhere. Queues stand, so that none is made while it is killed.

    Args:
        directory: of its own.
        url: the server's or cluster's.
        results: the address of another server, or the embedded file.
        ask: who tells what queues of the virtual host hold; see `RabbitServer.messages`.
        delays: whether tasks are delayed: the queues in which they wait take seconds to make.
        **tasks: another file of tasks, as `Project` is told.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        results: str = "",
        *,
        ask: Callable[[], dict[str, int]],
        delays: bool = False,
        **tasks: Any,
    ) -> None:
        file = f"sqlite:///{directory / '.skirret' / 'queue.sqlite3'}"
        super().__init__(directory, url, results or file, **tasks)
        self._ask = ask
        broker: Any = self.app.broker
        broker._topology.ensure(QUEUE)
        if delays:
            broker._topology.ensure_delays(QUEUE)

    def left(self) -> dict[str, int]:
        """Messages that are ready, held or delayed, by queue; without the notes and the dead letters."""
        kept = {REGISTRY, dead_queue(QUEUE)}
        return {name: count for name, count in self._ask().items() if count and name not in kept}

    def settle_down(self, seconds: float = 30.0) -> float:
        """Wait until nothing is ready, held or delayed; the seconds that it took."""

        def is_empty() -> bool:
            time.sleep(0.05)
            return not self.left()

        try:
            return wait_until(is_empty, seconds)
        except AssertionError as exc:
            exc.add_note(f"left: {self.left()}")
            raise


def project_on(server: RabbitServer, host: str, directory: Path, results: str = "", **options: Any) -> RabbitProject:
    """The project on a virtual host of one server."""
    return RabbitProject(directory, server.url_of(host), results, ask=lambda: server.messages(host), **options)
