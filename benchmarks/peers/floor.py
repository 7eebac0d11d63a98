"""The floor, driven like a queue: messages as Celery writes them, and results by key."""

from __future__ import annotations

import base64
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import redis

from benchmarks.floor import HELD, QUEUE, RESULT
from benchmarks.peer import BATCH, Peer, batches, redis_url

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Adapter(Peer):
    """`many` and `results` only: nothing waits for a result."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.client = redis.Redis.from_url(redis_url())

    def workers(self, concurrency: int) -> list[list[str]]:
        return [[sys.executable, "-m", "benchmarks.floor", str(concurrency)]]

    def message(self, args: tuple[Any, ...]) -> tuple[str, bytes]:
        """An id and a message."""
        task_id = str(uuid.uuid4())
        body = base64.b64encode(msgspec.json.encode((args, {}, EMBED))).decode()
        headers = {
            "lang": "py", "task": "echo", "id": task_id, "shadow": None, "eta": None, "expires": None, "group": None,
            "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": task_id, "parent_id": None,
            "argsrepr": repr(args)[:1024], "kwargsrepr": "{}", "origin": "floor", "ignore_result": False,
            "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
        }  # fmt: skip
        properties = {
            "correlation_id": task_id, "reply_to": task_id, "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": QUEUE}, "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        }  # fmt: skip
        return task_id, msgspec.json.encode({
            "body": body, "content-encoding": "utf-8", "content-type": "application/json", "headers": headers,
            "properties": properties,
        })  # fmt: skip

    def many(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        made = [self.message(args) for args in calls]
        for batch in batches(made, 100):
            self.client.lpush(QUEUE, *(message for _, message in batch))
        return [task_id for task_id, _ in made]

    def left(self, sent: int) -> int:
        return int(self.client.llen(QUEUE)) + int(self.client.hlen(HELD))

    def results(self, handles: list[Any]) -> Iterator[Any]:
        for batch in batches(((handle,) for handle in handles), BATCH):
            for raw in self.client.mget([RESULT + handle for (handle,) in batch]):
                yield raw and msgspec.json.decode(raw)["result"]
