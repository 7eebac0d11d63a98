"""The operations of result store and coordination as cut runs do them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skirret.testing.conformance.material import Later, record
from tests.conformance.cuts import Operation, World, until_done

PAYLOAD = b'{"status": "SUCCESS", "result": 5}'
NAMES = ("a", "b", "c")


def _ids(world: World) -> list[str]:
    return [f"{world.queue}-{name}" for name in NAMES]


def _results(world: World) -> dict[str, bytes]:
    return dict.fromkeys(_ids(world), PAYLOAD)


def _store(world: World) -> list[bool]:
    return world.clients.backend.store([record(one, payload=PAYLOAD, ttl=60.0) for one in _ids(world)])


def _store_in_two_steps(world: World) -> None:
    world.clients.backend.begin_store([record(one, payload=PAYLOAD, ttl=60.0) for one in _ids(world)])()


def _store_plainly(world: World) -> None:
    world.clients.reader.store([record(one, payload=PAYLOAD) for one in _ids(world)])


def _check_stored(world: World, _: object) -> None:
    """A flag may be False: the first try stored it, and that was not heard."""
    reader = world.clients.reader
    assert reader.fetch(_ids(world)) == _results(world)
    assert reader.store([record(_ids(world)[0], state="FAILURE", payload=b"late")]) == [False]


def _check_read(world: World, found: object) -> None:
    assert found == _results(world)


def _wait(world: World) -> dict[str, bytes]:
    """Wait for a result that another client stores meanwhile."""
    name = _ids(world)[0]
    later = Later(lambda: world.clients.backend.wait([name], 8.0))
    later.done.wait(0.03)  # so that it listens by then, if its line holds
    until_done(lambda world: world.clients.reader.store([record(name, payload=PAYLOAD)]), world)
    found: dict[str, bytes] = later.result()
    return found


def _check_waited(world: World, found: object) -> None:
    assert found == {_ids(world)[0]: PAYLOAD}


def _check_forgotten(world: World, _: object) -> None:
    assert world.clients.reader.fetch(_ids(world)) == {}


def _store_group(world: World) -> None:
    world.clients.backend.store_group(world.queue, b"group", 60.0)


def _check_group(world: World, _: object) -> None:
    assert world.clients.reader.fetch_group(world.queue) == b"group"


def _prime(world: World) -> None:
    """Every kind of state, and an idle line on which the operation will go."""
    looker, key = world.clients.looker, world.queue
    assert looker.compare_and_set(key, None, b"1")
    assert looker.increment(key, 3) == 3
    assert looker.add(key, ["m", "n"]) == 2
    assert looker.acquire(key, "me", 60.0)
    assert looker.take_tokens(key, 0.001, 2.0) == 0.0
    world.clients.coordination.get(key)


def _shared(
    act: Callable[[Any, str], object], expected: object, after: Callable[[Any, str], object], is_repeatable: bool = True
) -> Operation:
    """An operation of coordination, what it returns, and what is true of the state then."""

    def check(world: World, returned: object) -> None:
        assert returned == expected
        assert after(world.clients.looker, world.queue)

    return Operation(
        lambda world: act(world.clients.coordination, world.queue), check, before=_prime, is_repeatable=is_repeatable
    )


OPERATIONS = {
    "store": Operation(_store, _check_stored),
    "store in two steps": Operation(_store_in_two_steps, _check_stored),
    "fetch": Operation(lambda w: w.clients.backend.fetch(_ids(w)), _check_read, before=_store_plainly),
    "wait for a result": Operation(_wait, _check_waited),
    "forget": Operation(lambda w: w.clients.backend.forget(_ids(w)), _check_forgotten, before=_store_plainly),
    "store a group": Operation(_store_group, _check_group),
    "fetch a group": Operation(
        lambda w: w.clients.backend.fetch_group(w.queue), lambda _, found: _is(found, b"group"), before=_store_group
    ),
    "forget a group": Operation(
        lambda w: w.clients.backend.forget_group(w.queue),
        lambda w, _: _is(w.clients.reader.fetch_group(w.queue), None),
        before=_store_group,
    ),
    "get": _shared(lambda c, key: c.get(key), b"1", lambda c, key: True),
    "compare and set": _shared(
        lambda c, key: c.compare_and_set(key, b"1", b"2"), True, lambda c, key: c.get(key) == b"2", False
    ),
    "increment": _shared(lambda c, key: c.increment(key, 2), 5, lambda c, key: c.increment(key, 0) == 5, False),
    "take tokens": _shared(
        lambda c, key: c.take_tokens(key, 0.001, 2.0), 0.0, lambda c, key: c.take_tokens(key, 0.001, 2.0) > 0.0, False
    ),
    "contains": _shared(lambda c, key: c.contains(key, ["m", "x"]), {"m"}, lambda c, key: True),
    "members": _shared(lambda c, key: c.members(key), ["m", "n"], lambda c, key: True),
    "acquire": _shared(lambda c, key: c.acquire(key, "me", 60.0), True, lambda c, key: not c.acquire(key, "you", 1.0)),
    "release": _shared(lambda c, key: c.release(key, "me"), True, lambda c, key: c.acquire(key, "you", 60.0), False),
    "add": Operation(
        lambda w: w.clients.coordination.add(w.queue, ["o"]),
        lambda w, _: _is(w.clients.looker.members(w.queue), ["m", "n", "o"]),
        before=_prime,
    ),
    "discard": Operation(
        lambda w: w.clients.coordination.discard(w.queue, ["m"]),
        lambda w, _: _is(w.clients.looker.members(w.queue), ["n"]),
        before=_prime,
    ),
}


def _is(found: object, expected: object) -> None:
    assert found == expected
