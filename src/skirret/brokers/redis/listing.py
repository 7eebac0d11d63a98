"""What waits and what is dead, read without changing it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skirret.brokers.base import Dead, Waiting
from skirret.brokers.redis import scripts
from skirret.brokers.redis.slot import Slot
from skirret.stores.redis.keys import Keys
from skirret.stores.redis.store import Store
from skirret.wire import envelope as wire

MAX_FOREIGN_BYTES = 16 * 1024 * 1024
_ID = re.compile(r"\d+-\d+")


def _head(raw: bytes) -> tuple[str, int | None]:
    found = wire.head(raw, max_bytes=MAX_FOREIGN_BYTES)
    return (found.id, found.priority) if isinstance(found, wire.Head) else ("", None)


def peek(slot: Slot, queue: str, limit: int) -> list[Waiting]:
    """The next messages of a queue in the order of their run."""
    key = slot.keys.due(queue)
    answer = slot.store.run(scripts.PEEK, (key,), (*slot.head, queue, limit, *slot.order))
    found = []
    for step, count, raw in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
        task_id, priority = _head(raw)
        deliveries = int(count.partition(b":")[0] or 0)
        found.append(
            Waiting(
                queue=queue,
                task_id=task_id,
                raw=raw,
                priority=int(step) if priority is None else priority,
                deliveries=deliveries,
            )
        )
    return found


def delayed(slot: Slot, queue: str, limit: int) -> list[Waiting]:
    """The next messages of a queue that wait for their time."""
    answer = slot.store.run(scripts.DELAYED, (slot.keys.due(queue),), (*slot.head, limit))
    found = []
    for member, due in zip(answer[::2], answer[1::2], strict=True):
        _, deliveries, _, _, _, step, raw = member.split(b":", 6)
        task_id, priority = _head(raw)
        found.append(
            Waiting(
                queue=queue,
                task_id=task_id,
                raw=raw,
                priority=int(step) if priority is None else priority,
                due=float(due),
                deliveries=int(deliveries),
            )
        )
    return found


def dead(slot: Slot, queue: str, limit: int) -> list[tuple[tuple[int, int], Dead]]:
    """A queue's dead letters, the newest first, each with what orders them among those of other queues."""
    key = slot.keys.dead(queue)
    found = []
    for name, words in slot.store.call("XREVRANGE", key, "+", "-", "COUNT", limit, key=key):
        told = dict(zip(words[::2], words[1::2], strict=True))
        raw = told[b"message"]
        letter = Dead(
            key=f"{name.decode()}:{queue}",
            queue=queue,
            task_id=_head(raw)[0],
            raw=raw,
            reason=told[b"reason"].decode("utf-8", "replace"),
            died=float(told[b"died"]),
            deliveries=int(told[b"deliveries"]),
            crashes=int(told[b"crashes"]),
        )
        # In a cluster serials are a queue's own, and only the clocks tell.
        moment = int(name.partition(b"-")[0]) if slot.queue else 0
        found.append(((moment, int(told[b"serial"])), letter))
    return found


def by_queue(keys: Sequence[str]) -> dict[str, list[str]]:
    """The dead letters that keys name, by queue; what is no key is left out."""
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        name, sep, queue = key.partition(":")
        if sep and _ID.fullmatch(name):
            found.setdefault(queue, []).append(name)
    return found


def names(store: Store) -> list[str]:
    """All queues that are known."""
    key = Keys(store.prefix).queues
    return sorted(name.decode("utf-8", "replace") for name in store.call("SMEMBERS", key, key=key))
