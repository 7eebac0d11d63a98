"""The operations of broker and consumer as cut runs do them: what each starts from, and what must be true after."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from skirret.brokers.base import Dead, Limits, Queue, QueueSize
from skirret.message import Delivery
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry
from skirret.testing.conformance.material import Later, ids, message, record, take
from skirret.worker.settling import Settling
from tests.conformance.cuts import Operation, World, until_done

HOUR = 3600.0


# -- publishing ----------------------------------------------------------------------------------------------------


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


# -- taking and settling -------------------------------------------------------------------------------------------


def _check_taken(world: World, taken: object) -> None:
    assert isinstance(taken, list)
    assert ids(taken) == ["m0", "m1", "m2"]
    assert world.plain.size(world.queue) == QueueSize(held=3)
    assert world.consumer.settle([Ack(tag=one.tag) for one in taken]) == [True] * 3
    assert world.rest() == []


def _wait_and_take(world: World) -> list[Delivery]:
    """Wait on an empty queue, into which another client puts a message."""
    later = Later(lambda: world.consumer.take(10, 5.0))
    later.done.wait(0.03)  # so that it listens by then, if its line holds
    until_done(lambda world: world.plain.publish([message("x", world.queue, nonce=f"{world.queue}-x")]), world)
    taken: list[Delivery] = later.result()
    return taken


def _empty_first(world: World) -> None:
    assert world.consumer.settle([Ack(tag=one.tag) for one in take(world.consumer, 3)]) == [True] * 3


def _check_waited(world: World, taken: Any) -> None:
    assert ids(taken) == ["x"]
    assert world.consumer.settle([Ack(tag=one.tag) for one in taken]) == [True]
    assert world.rest() == []


def _batch(world: World, *, with_result: bool) -> list[Any]:
    a, b, c, d, e = (one.tag for one in world.held)
    queue = world.queue
    result = record(f"{queue}-a") if with_result else None
    return [
        Ack(tag=a, result=result, successors=[message("next", queue, nonce=f"{queue}-next")]),
        Release(tag=b),
        Retry(tag=c, publication=message("again", queue, nonce=f"{queue}-again")),
        Defer(tag=d, counted="crash"),
        DeadLetter(tag=e, reason="no"),
    ]


def _settle(world: World) -> list[bool]:
    return world.consumer.settle(_batch(world, with_result=world.broker.capabilities.settles_results))


def _settle_apart(world: World) -> list[bool]:
    """As a worker does whose results are on another server."""
    way = Settling(world.broker, world.clients.elsewhere)
    return world.consumer.settle(way.store_apart(world.consumer, _batch(world, with_result=True)))


def _check_settled(world: World, flags: object) -> None:
    assert flags == [True] * 5
    assert world.plain.size(world.queue) == QueueSize(ready=4, dead=1)
    counts = {ids([one])[0]: one.crashes for one in take(world.consumer, 4)}
    assert counts == {"next": 0, "m1": 0, "again": 0, "m3": 1}
    world.consumer.close()
    assert world.rest() == ["again", "m1", "m3", "next"]


def _check_settled_apart(world: World, flags: object) -> None:
    assert world.clients.elsewhere.fetch([f"{world.queue}-a"]) == {f"{world.queue}-a": b"{}"}
    _check_settled(world, flags)


# -- leases --------------------------------------------------------------------------------------------------------


def _check_registered(world: World, consumer: Any) -> None:
    assert consumer.beat()
    taken = take(consumer, 3)
    assert ids(taken) == ["m0", "m1", "m2"]
    consumer.close()
    assert world.rest() == ["m0", "m1", "m2"]


def _check_beat(world: World, alive: object) -> None:
    assert alive is True
    assert not world.consumer.fenced
    _check_rest("m0", "m1", "m2")(world, alive)


def _stand_still(world: World) -> None:
    """Another worker holds two messages, and its lease has passed as the consumer's next look will see."""
    world.other = world.plain.consumer([world.queue], f"lost-{world.queue}", limits=Limits(clock=world.clock))
    world.keep = take(world.other, 2)
    for _ in range(6):
        assert world.consumer.reap() == 0
        world.clock.advance(5.0)
    world.consumer.beat()


def _check_reaped(world: World, _: object) -> None:
    assert world.other is not None
    world.consumer.reap()  # what a look that broke off has left
    assert world.consumer.beat()
    again = take(world.consumer, 3)
    assert sorted(ids(again)) == ["m0", "m1", "m2"]
    assert {ids([one])[0]: one.deliveries for one in again} == {"m0": 1, "m1": 1, "m2": 0}
    assert world.other.settle([Ack(tag=one.tag) for one in world.keep]) == [False] * 2
    assert world.other.fenced
    world.consumer.close()
    assert world.rest() == ["m0", "m1", "m2"]


# -- dead letters, listings and broadcasts -------------------------------------------------------------------------


def _bury(world: World) -> None:
    """Two dead letters, one message that is held, one ready, one delayed."""
    a, b, _ = world.held
    world.consumer.settle([DeadLetter(tag=a.tag, reason="no"), DeadLetter(tag=b.tag, reason="no")])
    world.plain.publish([message("later", world.queue, due=time.time() + HOUR)])
    world.keep = world.plain.dead(world.queue)


def _keys(world: World) -> list[str]:
    return [letter.key for letter in world.keep if isinstance(letter, Dead)]


def _check_replayed(world: World, _: object) -> None:
    assert world.plain.dead(world.queue) == []
    assert world.plain.size(world.queue) == QueueSize(ready=3, held=1, delayed=1)
    _check_rest("m0", "m1", "m2", "m3")(world, None)


def _check_dropped(world: World, _: object) -> None:
    assert world.plain.size(world.queue) == QueueSize(ready=1, held=1, delayed=1)


def _buried(act: Callable[[World], object], check: Callable[[World, object], None]) -> Operation:
    return Operation(act, check, published=4, taken=3, before=_bury)


def _told(act: Callable[[World], object], expected: object) -> Operation:
    """An operation that changes nothing, and what it tells."""

    def check(world: World, told: object) -> None:
        assert told == expected
        _check_rest("m2", "m3")(world, None)

    return _buried(act, check)


def _names_of(listed: Callable[[World], list[Any]]) -> Callable[[World], list[str]]:
    return lambda world: [one.task_id for one in listed(world)]


def _listen(world: World) -> None:
    world.keep = [world.broker.subscribe([f"news-{world.queue}"])]


def _broadcast(world: World) -> list[tuple[str, bytes]]:
    """Hints may be told twice, and what is said while a line is down is gone: said again until it is heard."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        world.broker.broadcast(f"news-{world.queue}", b"hear")
        if heard := world.keep[0].receive(0.05):
            return heard
    raise AssertionError("it was never heard")


def _check_heard(world: World, heard: object) -> None:
    world.keep[0].close()
    assert isinstance(heard, list)
    assert set(heard) == {(f"news-{world.queue}", b"hear")}


OPERATIONS = {
    "publish one": Operation(_publish_one, _check_rest("m0", "m1", "m2", "x")),
    "publish many": Operation(_publish_many, _check_many),
    "declare": Operation(lambda world: world.broker.declare([Queue(name=world.queue)]), _check_rest("m0", "m1", "m2")),
    "take": Operation(lambda world: take(world.consumer, 3), _check_taken),
    "wait and take": Operation(_wait_and_take, _check_waited, before=_empty_first),
    "settle": Operation(_settle, _check_settled, published=5, taken=5),
    "settle apart": Operation(_settle_apart, _check_settled_apart, published=5, taken=5),
    "register": Operation(
        lambda world: world.broker.consumer([world.queue], f"second-{world.queue}"), _check_registered
    ),
    "beat": Operation(lambda world: world.consumer.beat(), _check_beat, taken=2),
    "reap": Operation(lambda world: world.consumer.reap(), _check_reaped, before=_stand_still),
    "close": Operation(lambda world: world.consumer.close(), _check_rest("m0", "m1", "m2"), taken=2),
    "purge": Operation(lambda world: world.broker.purge(world.queue), _check_rest()),
    "replay": _buried(lambda world: world.broker.replay(_keys(world)), _check_replayed),
    "drop dead": _buried(lambda world: world.broker.drop_dead(_keys(world)), _check_dropped),
    "size": _told(lambda world: world.broker.size(world.queue), QueueSize(ready=1, held=1, delayed=1, dead=2)),
    "names": _told(lambda world: world.queue in world.broker.names(), True),
    "peek": _told(_names_of(lambda world: world.broker.peek(world.queue)), ["m3"]),
    "delayed": _told(_names_of(lambda world: world.broker.delayed(world.queue)), ["later"]),
    "dead": _told(_names_of(lambda world: world.broker.dead(world.queue)), ["m1", "m0"]),
    "broadcast": Operation(_broadcast, _check_heard, before=_listen),
}
