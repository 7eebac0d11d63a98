"""Real Redis servers under load: what they need so that nothing is lost, and what must not be left on them."""

from __future__ import annotations

import redis

from tests.acceptance.load import LoadedProject
from tests.servers.redis_servers import RedisServer

SAFE = ("--appendonly", "yes", "--appendfsync", "always")
"""What a server needs so that nothing is lost when it is killed."""

KEPT = {b"layout", b"queues", b"serial", b"nonces", b"nonces:before", b"nonces:turn"}
"""Keys of ours that stay when all work is done and all workers are gone."""


class RedisProject(LoadedProject):
    """The fault tasks on a Redis server, with results there or elsewhere."""

    servers: list[RedisServer]

    def left(self) -> list[str]:
        """Keys that should not be there any more."""
        return [key.decode() for server in self.servers for key in left_over(server)]


def left_over(server: RedisServer, db: int = 0) -> list[bytes]:
    """Keys that should not be there once all work is done and all workers are gone; results may stay."""
    with redis.Redis(port=server.port, db=db) as client:
        return sorted(
            key
            for key in client.scan_iter(count=1000)
            if not key.startswith((b"celery-task-meta-", b"_kombu.binding"))
            and not (key.startswith(b"skirret:") and key.removeprefix(b"skirret:") in KEPT)
            and not (key.startswith(b"skirret:served:") and 0 < client.ttl(key) <= 60)
        )
