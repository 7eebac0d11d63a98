"""Each operation of the Redis broker with its line cut: what it starts from, and what must be true in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from skirret.brokers.base import Broker, Consumer, Limits, QueueSize
from skirret.message import Delivery
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry
from skirret.testing.conformance.material import HandClock, ids, message, messages, record, take

HOUR = 3600.0


@dataclass
class World:
    """What an operation works on. `plain` is another client of the server, whose line is never cut."""

    broker: Broker
    plain: Broker
    queue: str
    clock: HandClock
    consumer: Consumer
    held: list[Delivery]

    def rest(self) -> list[str]:
        """The ids of all that is left to run, taken by another worker."""
        heir = self.plain.consumer([self.queue], f"heir-{self.queue}", limits=Limits(clock=self.clock))
        found: list[str] = []
        while batch := heir.take(100, 0.0):
            found += ids(batch)
            assert heir.settle([Ack(tag=one.tag) for one in batch]) == [True] * len(batch)
        heir.close()
        return sorted(found)


@dataclass
class Operation:
    """`act` is repeated until it does not raise; `check` sees the world and what it returned."""

    act: Callable[[World], object]
    check: Callable[[World, object], None]
    published: int = 3
    taken: int = 0


def _publish_one(world: World) -> None:
    world.broker.publish([message("x", world.queue, nonce=f"{world.queue}-x")])


def _publish_many(world: World) -> None:
    due = time.time() + HOUR
    batch = [message(f"x{n}", world.queue, nonce=f"{world.queue}-{n}", priority=3 * n) for n in range(4)]
    world.broker.publish([*batch, message("later", world.queue, nonce=f"{world.queue}-later", due=due)])


def _check_many(world: World, _: object) -> None:
    assert [one.task_id for one in world.plain.delayed(world.queue)] == ["later"]
    assert world.rest() == ["m0", "m1", "m2", "x0", "x1", "x2", "x3"]


def _check_rest(*names: str) -> Callable[[World, object], None]:
    def check(world: World, _: object) -> None:
        world.consumer.close()
        assert world.rest() == sorted(names)

    return check


def _check_taken(world: World, taken: object) -> None:
    assert isinstance(taken, list)
    assert ids(taken) == ["m0", "m1", "m2"]
    assert world.plain.size(world.queue) == QueueSize(held=3)
    assert world.consumer.settle([Ack(tag=one.tag) for one in taken]) == [True] * 3
    assert world.rest() == []


def _settle(world: World) -> list[bool]:
    a, b, c, d, e = (one.tag for one in world.held)
    queue = world.queue
    return world.consumer.settle(
        [
            Ack(tag=a, result=record(f"{queue}-a"), successors=[message("next", queue, nonce=f"{queue}-next")]),
            Release(tag=b),
            Retry(tag=c, publication=message("again", queue, nonce=f"{queue}-again")),
            Defer(tag=d, counted="crash"),
            DeadLetter(tag=e, reason="no"),
        ]
    )


def _check_settled(world: World, flags: object) -> None:
    assert flags == [True] * 5
    assert world.plain.size(world.queue) == QueueSize(ready=4, dead=1)
    counts = {ids([one])[0]: one.crashes for one in take(world.consumer, 4)}
    assert counts == {"next": 0, "m1": 0, "again": 0, "m3": 1}
    world.consumer.close()
    assert world.rest() == ["again", "m1", "m3", "next"]


def _reap(world: World) -> int:
    """A reaper whose looks are not cut sees the lease pass; the last one, which takes over, is."""
    return world.consumer.reap()


def _check_beat(world: World, alive: object) -> None:
    assert alive is True
    assert not world.consumer.fenced
    _check_rest("m0", "m1", "m2")(world, alive)


OPERATIONS = {
    "publish one": Operation(_publish_one, _check_rest("m0", "m1", "m2", "x")),
    "publish many": Operation(_publish_many, _check_many),
    "take": Operation(lambda world: take(world.consumer, 3), _check_taken),
    "settle": Operation(_settle, _check_settled, published=5, taken=5),
    "beat": Operation(lambda world: world.consumer.beat(), _check_beat, taken=2),
    "close": Operation(lambda world: world.consumer.close(), _check_rest("m0", "m1", "m2"), taken=2),
    "purge": Operation(lambda world: world.broker.purge(world.queue), _check_rest()),
}


def world_of(broker: Broker, plain: Broker, queue: str, operation: Operation) -> World:
    """A world in which the operation may begin."""
    clock = HandClock()
    broker.publish([message("m0", queue)])  # the first message to a queue takes a road of its own
    plain.publish(messages([f"m{n}" for n in range(1, operation.published)], queue))
    consumer = broker.consumer([queue], f"taker-{queue}", limits=Limits(clock=clock))
    held = take(consumer, operation.taken) if operation.taken else []
    return World(broker, plain, queue, clock, consumer, held)


def frames(sent: bytes) -> list[int]:
    """The offsets behind each word of RESP, and one byte before and behind the ends."""
    found = {0, 1, len(sent) - 1}
    at = 0
    while (at := sent.find(b"\r\n", at) + 2) > 1:
        found.add(at)
    return sorted(one for one in found if 0 <= one <= len(sent))
