"""Operations on RabbitMQ as cut runs do them: what each starts from, and what may be true after.

What a line carried when it was cut may have been done and not heard of. So a message that was being published may be
there once more for each cut; every other is there once, and none is missing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skirret.brokers.amqp.consumer import AmqpConsumer
from skirret.brokers.base import Broker, Queue
from skirret.errors import OperationalError
from skirret.message import Delivery
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry
from skirret.testing.conformance.material import Later, eventually, ids, message, messages, take
from tests.servers.proxy import Proxy

TAKEN = 5


@dataclass
class Scene:
    """Clients behind a proxy and beside it, on one queue that is empty between two operations."""

    broker: Broker
    plain: Broker
    proxy: Proxy
    queue: str = ""
    times: int = 0
    """Cuts in a row."""
    consumer: AmqpConsumer | None = None
    held: list[Delivery] = field(default_factory=list)
    keep: Any = None

    def consume(self, count: int) -> None:
        """Hold some messages on a line that can be cut."""
        self.consumer = self.broker.consumer([self.queue], "c" * 32)  # type: ignore[assignment]
        if count:
            self.held = take(self.consumer, count)  # type: ignore[arg-type]
            assert ids(self.held) == [f"m{n}" for n in range(count)]

    def let_go(self) -> None:
        """Give back what is held."""
        consumer, self.consumer, self.held = self.consumer, None, []
        if consumer is not None:
            consumer.close()

    def rest(self) -> Counter[str]:
        """What is left to run, taken by another worker until it sees an end; how often each is there."""
        self.let_go()
        heir = self.plain.consumer([self.queue], "h" * 32)
        found: Counter[str] = Counter()
        while batch := heir.take(100, 0.02):
            found.update(ids(batch))
            assert heir.settle([Ack(tag=one.tag) for one in batch]) == [True] * len(batch)
        heir.close()
        return found

    def bury(self) -> Counter[str]:
        """The dead letters, which are then dropped."""
        found = self.plain.dead(self.queue)
        self.plain.drop_dead([one.key for one in found])
        return Counter(one.task_id for one in found)

    def expect(self, *once: str, perhaps_more: tuple[str, ...] = ()) -> None:
        """These are left to run, and nothing else: once each, or perhaps once more for each cut."""
        deadline = time.monotonic() + 5.0
        found = self.rest()
        while set(found) < {*once, *perhaps_more} and time.monotonic() < deadline:
            found += self.rest()  # what a dead line held is back when the server has noticed
        assert {*found} == {*once, *perhaps_more}, found
        assert all(found[name] == 1 for name in once), found
        assert all(found[name] <= 1 + self.times for name in perhaps_more), found


@dataclass(frozen=True)
class Operation:
    """`act` is repeated until it does not raise; `check` sees what it returned.

    Args:
        before: makes what it begins with.
    """

    before: Callable[[Scene], object]
    act: Callable[[Scene], object]
    check: Callable[[Scene, Any], object]


def _fill(scene: Scene, count: int = 3) -> None:
    scene.plain.publish(messages([f"m{n}" for n in range(count)], scene.queue))


def _primed(scene: Scene) -> None:
    """A line that stands, and a queue that is known."""
    _fill(scene)
    scene.broker.publish([message("m3", scene.queue)])


def _filled(taken: int, count: int = 3) -> Callable[[Scene], None]:
    def before(scene: Scene) -> None:
        scene.broker.size(scene.queue)
        _fill(scene, count)
        scene.consume(taken)

    return before


def _take(scene: Scene) -> list[Delivery]:
    assert scene.consumer is not None
    return take(scene.consumer, 3)


def _taken(scene: Scene, taken: list[Delivery]) -> None:
    assert ids(taken) == ["m0", "m1", "m2"]
    assert scene.consumer is not None
    for _ in range(scene.times + 1):
        try:
            flags = scene.consumer.settle([Ack(tag=one.tag) for one in taken])
        except OperationalError:  # its line was cut behind the answer that it heard
            continue
        assert flags == [True] * 3
        break
    scene.expect()


def _wait_and_take(scene: Scene) -> list[Delivery]:
    """Wait on an empty queue, into which another client puts a message."""
    consumer = scene.consumer
    assert consumer is not None
    later = Later(lambda: consumer.take(10, 5.0))
    later.done.wait(0.03)
    if not scene.keep:
        scene.plain.publish([message("x", scene.queue)])
        scene.keep = True
    taken: list[Delivery] = later.result()
    return taken


def _waited(scene: Scene, taken: list[Delivery]) -> None:
    assert ids(taken) == ["x"]
    scene.expect("x")


def _batch(scene: Scene) -> list[Any]:
    a, b, c, d, e = (one.tag for one in scene.held)
    return [
        Ack(tag=a, successors=[message("next", scene.queue)]),
        Release(tag=b),
        Retry(tag=c, publication=message("again", scene.queue)),
        Defer(tag=d, counted="crash"),
        DeadLetter(tag=e, reason="no"),
    ]


def _settle(scene: Scene) -> list[bool]:
    assert scene.consumer is not None
    return scene.consumer.settle(_batch(scene))


def _settle_and_take(scene: Scene) -> list[bool]:
    """As a worker does it: look for more while the server works on what was settled. What is taken is given back."""
    consumer = scene.consumer
    assert consumer is not None
    if not scene.keep:
        assert consumer.begin_settle(_batch(scene)) is None
        scene.keep = True
    consumer.interrupt()
    consumer.take(10, 1.0)
    scene.keep = False  # now it is either settled or to be settled again
    return consumer.end_settle()


def _settled(scene: Scene, flags: list[bool]) -> None:
    """False says that the hold was lost: the message is back in the queue, or was settled and that was not heard."""
    found, dead = scene.rest(), scene.bury()
    effects = {"m0": "next", "m2": "again", "m3": "m3"}
    for (name, effect), flag in zip(effects.items(), (flags[0], flags[2], flags[3]), strict=True):
        assert found[effect] >= 1 or (not flag and found[name] == 1), (found, flags)
        assert found[effect] <= 1 + scene.times, (found, flags)
        assert effect == name or found[name] == 0 or (not flag and found[name] == 1), (found, flags)
    assert found["m1"] == 1, (found, flags)
    assert dead["m4"] >= 1 or (not flags[4] and found["m4"] == 1), (found, dead, flags)
    assert dead["m4"] <= 1 + scene.times, dead
    assert set(found) <= {"next", "again", "m0", "m1", "m2", "m3", "m4"}


def _two_dead(scene: Scene) -> None:
    scene.broker.size(scene.queue)
    _fill(scene)
    consumer = scene.plain.consumer([scene.queue], "b" * 32)
    held = take(consumer, 3)
    consumer.settle([DeadLetter(tag=one.tag, reason="no") for one in held[:2]])
    consumer.close()
    eventually(lambda: len(scene.plain.dead(scene.queue)) == 2)
    scene.keep = [one.key for one in scene.plain.dead(scene.queue)]


def _replayed(scene: Scene, _: object) -> None:
    assert scene.bury() == {}
    scene.expect("m2", perhaps_more=("m0", "m1"))


def _dropped(scene: Scene, _: object) -> None:
    assert scene.bury() == {}
    scene.expect("m2")


def _listed(scene: Scene, found: Any) -> None:
    """All of them: what a line that was cut held is waited for."""
    assert sorted(one.task_id for one in found) == ["m0", "m1"]
    assert scene.bury() == {"m0": 1, "m1": 1}
    scene.expect("m2")


def _listening(scene: Scene) -> None:
    scene.keep = scene.broker.subscribe(["news"])
    scene.broker.broadcast("news", b"first")
    eventually(lambda: scene.keep.receive(0.05))


def _broadcast(scene: Scene) -> list[tuple[str, bytes]]:
    """Hints may be told twice, and what is said while a line is down is gone: said again until it is heard."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        scene.broker.broadcast("news", b"hear")
        if heard := scene.keep.receive(0.05):
            return list(heard)
    raise AssertionError("it was never heard")


def _heard(scene: Scene, heard: list[tuple[str, bytes]]) -> None:
    scene.keep.close()
    assert set(heard) == {("news", b"hear")}


def _close(scene: Scene) -> None:
    assert scene.consumer is not None
    scene.consumer.close()


OPERATIONS = {
    "publish one": Operation(
        _primed,
        lambda scene: scene.broker.publish([message("x", scene.queue)]),
        lambda scene, _: scene.expect("m0", "m1", "m2", "m3", perhaps_more=("x",)),
    ),
    "publish many": Operation(
        _primed,
        lambda scene: scene.broker.publish(messages(["x0", "x1", "x2"], scene.queue)),
        lambda scene, _: scene.expect("m0", "m1", "m2", "m3", perhaps_more=("x0", "x1", "x2")),
    ),
    "declare": Operation(
        _primed,
        lambda scene: scene.broker.declare([Queue(name=scene.queue)]),
        lambda scene, _: scene.expect("m0", "m1", "m2", "m3"),
    ),
    "take": Operation(_filled(0), _take, _taken),
    "wait and take": Operation(lambda scene: scene.consume(0), _wait_and_take, _waited),
    "settle": Operation(_filled(TAKEN, TAKEN), _settle, _settled),
    "settle and take": Operation(_filled(TAKEN, TAKEN), _settle_and_take, _settled),
    "close": Operation(_filled(2), _close, lambda scene, _: scene.expect("m0", "m1", "m2")),
    "replay": Operation(_two_dead, lambda scene: scene.broker.replay(scene.keep), _replayed),
    "drop dead": Operation(_two_dead, lambda scene: scene.broker.drop_dead(scene.keep), _dropped),
    "dead": Operation(_two_dead, lambda scene: scene.broker.dead(scene.queue), _listed),
    "broadcast": Operation(_listening, _broadcast, _heard),
}
