"""Operations whose line is cut: the world that each starts from, and the run that cuts it at chosen bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker, Consumer, Limits
from skirret.coordination.base import Coordination
from skirret.errors import BackendError, OperationalError
from skirret.message import Delivery
from skirret.outcome import Ack
from skirret.testing.conformance.material import HandClock, ids, message, messages, take
from tests.servers.proxy import Proxy


@dataclass(frozen=True)
class Clients:
    """Clients of one system: those whose lines are cut, and beside them others whose lines never are."""

    broker: Broker
    plain: Broker
    backend: ResultBackend
    reader: ResultBackend
    coordination: Coordination
    looker: Coordination
    elsewhere: ResultBackend
    """Results on another server, behind the same proxies."""
    proxies: Sequence[Proxy]
    empty: Callable[[], None]
    """Makes the servers forget everything."""


@dataclass
class World:
    """What one operation works on, under a name that nothing else has."""

    clients: Clients
    queue: str
    clock: HandClock
    consumer: Consumer
    held: list[Delivery]
    other: Consumer | None = None
    keep: list = field(default_factory=list)

    @property
    def broker(self) -> Broker:
        return self.clients.broker

    @property
    def plain(self) -> Broker:
        return self.clients.plain

    def rest(self) -> list[str]:
        """The ids of all that is left to run, taken by another worker."""
        heir = self.plain.consumer([self.queue], f"heir-{self.queue}", limits=Limits(clock=self.clock))
        found: list[str] = []
        while batch := heir.take(100, 0.0):
            found += ids(batch)
            assert heir.settle([Ack(tag=one.tag) for one in batch]) == [True] * len(batch)
        heir.close()
        return sorted(found)


@dataclass(frozen=True)
class Operation:
    """`act` is repeated until it does not raise; `check` sees the world and what it returned.

    Args:
        published: messages m0, m1, ... in the queue.
        taken: how many of them the consumer holds.
        before: further preparation.
        is_repeatable: a caller who was told of a failure may call again and nothing is done twice.
    """

    act: Callable[[World], object]
    check: Callable[[World, object], None]
    published: int = 3
    taken: int = 0
    before: Callable[[World], object] | None = None
    is_repeatable: bool = True


def world_of(clients: Clients, queue: str, operation: Operation) -> World:
    """A world in which the operation may begin."""
    clock = HandClock()
    clients.broker.publish([message("m0", queue)])  # the first message to a queue takes a road of its own
    clients.plain.publish(messages([f"m{n}" for n in range(1, operation.published)], queue))
    consumer = clients.broker.consumer([queue], f"taker-{queue}", limits=Limits(clock=clock))
    held = take(consumer, operation.taken) if operation.taken else []
    world = World(clients, queue, clock, consumer, held)
    if operation.before:
        operation.before(world)
    return world


def until_done(act: Callable[[World], object], world: World) -> object:
    """What the operation returns, once it does not raise."""
    for _ in range(5):
        try:
            return act(world)
        except (OperationalError, BackendError):
            continue
    raise AssertionError("it never came to an end")


@contextmanager
def finished(world: World) -> Iterator[None]:
    """Let go of what the world holds, so that the next one begins on an idle server."""
    yield
    for one in (world.consumer, world.other):
        if one is not None:
            one.close()


def sent(clients: Clients, side: str) -> bytes:
    """What went by the lines since they were last forgotten: of the server that had the most."""
    return max((bytes(proxy.requests if side == "request" else proxy.answers) for proxy in clients.proxies), key=len)


def forget(clients: Clients) -> None:
    """Forget what went by."""
    for proxy in clients.proxies:
        proxy.requests.clear()
        proxy.answers.clear()


def cut_run(
    clients: Clients, name: str, operation: Operation, side: str, times: int, at: Callable[[bytes], list[int]]
) -> tuple[int, int]:
    """Run an operation once for each of some offsets, its line cut there; (offsets, cuts).

    Args:
        name: of the run; names of queues begin with it.
        side: which bytes are counted, "request" or "answer".
        times: cuts in a row; with two, the first repetition is cut as well.
        at: from the bytes of an operation that is not cut to the offsets.
    """
    offsets: list[int] = []
    for n in (0, 0):  # twice, for the first one tells the server its scripts
        clients.empty()
        world = world_of(clients, f"{name}-{n:05}", operation)
        forget(clients)
        returned = operation.act(world)
        offsets = at(sent(clients, side))
        with finished(world):
            operation.check(world, returned)
    done = 0
    for n, offset in enumerate(offsets, 1):
        if n % 200 == 0:
            clients.empty()
        world = world_of(clients, f"{name}-{n:05}", operation)
        cuts = sum(proxy.cuts for proxy in clients.proxies)
        for proxy in clients.proxies:
            proxy.arm(**{side: offset}, times=times)
        returned = until_done(operation.act, world)
        for proxy in clients.proxies:
            proxy.disarm()
        done += sum(proxy.cuts for proxy in clients.proxies) - cuts
        forget(clients)
        with finished(world):
            try:
                operation.check(world, returned)
            except Exception as exc:
                exc.add_note(f"{name}: the {side} was cut {times} time(s) after byte {offset} of {len(offsets)}")
                raise
    return len(offsets), done


def frames(words: bytes) -> list[int]:
    """The offsets behind each word of RESP, and one byte before and behind the ends."""
    found = {0, 1, len(words) - 1}
    at = 0
    while (at := words.find(b"\r\n", at) + 2) > 1:
        found.add(at)
    return sorted(one for one in found if 0 <= one < len(words))


def some_frames(words: bytes) -> list[int]:
    """At most 25 of `frames`, the first and the last among them."""
    found = frames(words)
    return [found[n * (len(found) - 1) // 24] for n in range(25)] if len(found) > 25 else found


def every_byte(words: bytes) -> list[int]:
    """Each offset."""
    return list(range(len(words)))


def every_byte_but_long_texts(words: bytes) -> list[int]:
    """Each offset, but within a text of 1,000 bytes or more, such as ``INFO`` answers, each fiftieth."""
    offsets = set(range(len(words)))
    for text in re.finditer(rb"\$(\d{4,})\r\n", words):
        begin, end = text.end(), text.end() + int(text[1])
        offsets -= set(range(begin, end)) - set(range(begin, end, 50))
    return sorted(offsets)
