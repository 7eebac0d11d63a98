"""Lines to RabbitMQ that are cut, anywhere in what is sent or answered: nothing is lost, and nobody hangs.

By default they are cut at the edges of frames; the long runs cut behind every byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from skirret.brokers.open import open_broker
from skirret.errors import OperationalError
from tests.conformance.rabbitmq_cuts import OPERATIONS, Operation, Scene
from tests.servers.proxy import Proxy

SIDES = ["request", "answer"]


@pytest.fixture(scope="module")
def scene(rabbitmq) -> Iterator[Scene]:
    with rabbitmq.host() as host:
        proxy = Proxy(rabbitmq.port)
        broker = open_broker(f"amqp://127.0.0.1:{proxy.port}/{host}", {})
        plain = open_broker(rabbitmq.url_of(host), {})
        yield Scene(broker, plain, proxy)
        broker.close()
        plain.close()
        proxy.close()


def edges(data: bytes) -> list[int]:
    """The offsets behind each frame, within its head and within its payload."""
    found: set[int] = {0}
    at = 0
    while at + 7 <= len(data):
        is_hello = data[at : at + 4] == b"AMQP"  # eight bytes that begin a connection, and no frame
        end = at + (8 if is_hello else 7 + int.from_bytes(data[at + 3 : at + 7]) + 1)
        found |= {at + 3, (at + 7 + end) // 2, end - 1, end}
        at = end
    return sorted(one for one in found if one < len(data))


def some_edges(data: bytes) -> list[int]:
    """At most 8 of `edges`, the first and the last among them."""
    found = edges(data)
    return [found[n * (len(found) - 1) // 7] for n in range(8)] if len(found) > 8 else found


def every_byte(data: bytes) -> list[int]:
    """Each offset."""
    return list(range(len(data)))


def done(scene: Scene, operation: Operation) -> object:
    """What the operation returns, once it does not raise."""
    for _ in range(5):
        try:
            return operation.act(scene)
        except OperationalError:
            continue
    raise AssertionError("it never came to an end")


def cut_run(scene: Scene, name: str, side: str, times: int, at: Callable[[bytes], list[int]]) -> tuple[int, int]:
    """Run an operation once for each of some offsets, its line cut there; (offsets, cuts)."""
    operation, proxy = OPERATIONS[name], scene.proxy
    said = proxy.requests if side == "request" else proxy.answers
    offsets: list[int] = []
    for _ in (0, 0):  # twice, for the first one may make a queue
        scene.times, scene.keep = 0, None
        operation.before(scene)
        said.clear()
        returned = operation.act(scene)
        offsets = at(bytes(said))
        operation.check(scene, returned)
    cuts = proxy.cuts
    scene.times = times
    for offset in offsets:
        scene.keep = None
        operation.before(scene)
        proxy.arm(**{side: offset}, times=times)
        began = time.monotonic()
        try:
            returned = done(scene, operation)
            took = time.monotonic() - began
            proxy.disarm()
            operation.check(scene, returned)
            assert took < 5.0, f"it took {took:.1f} s"
        except BaseException as exc:
            exc.add_note(f"{name}: the {side} was cut {times} time(s) after byte {offset}")
            proxy.disarm()
            scene.let_go()
            raise
    return len(offsets), proxy.cuts - cuts


def run(scene: Scene, name: str, side: str, times: int, at: Callable[[bytes], list[int]]) -> None:
    scene.queue = f"{name}-{side}-{times}"  # a run that fails leaves the others alone
    began = time.monotonic()
    offsets, cuts = cut_run(scene, name, side, times, at)
    print(f"{name}, {side}, cut {times} time(s): {offsets} places, {cuts} cuts, {time.monotonic() - began:.1f} s")
    assert cuts >= offsets * times * 0.5, "too few lines were cut for this to say something"


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_whose_line_is_cut_at_the_edge_of_a_frame_loses_nothing(scene, name, side):
    run(scene, name, side, 1, some_edges)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_so_does_one_whose_line_is_cut_behind_any_byte_or_again_at_any_edge(scene, name, side, times):
    run(scene, name, side, times, every_byte if times == 1 else edges)
