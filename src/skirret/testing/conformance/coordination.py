"""The exam for coordination."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar

import pytest

from skirret.coordination.base import Coordination
from skirret.errors import OperationalError
from skirret.testing.conformance.material import at_once, eventually

_keys = itertools.count(1)


class CoordinationExam:
    """Subclass as ``TestMyCoordination`` and override `coordination`, `second_coordination` and `outage`."""

    shortest_ttl: ClassVar[float] = 0.05
    """Seconds; the shortest life that this server can do."""

    @pytest.fixture
    def coordination(self) -> Coordination:
        """The coordination under exam. Must be overridden."""
        raise NotImplementedError("override the fixture `coordination`: see skirret.testing.conformance")

    @pytest.fixture
    def second_coordination(self, coordination: Coordination) -> Coordination:
        """Another client of the same server. Must be overridden."""
        raise NotImplementedError("override the fixture `second_coordination`: see skirret.testing.conformance")

    @pytest.fixture
    def outage(self) -> Callable[[], AbstractContextManager[object]]:
        """A function that gives a context manager: while entered, no client of this test reaches the server."""
        pytest.skip("the fixture `outage` was not overridden, so the server cannot be cut off")

    @pytest.fixture(params=["plain", "ümläut 'q\"; {x}*?[/..--"], ids=["plain key", "odd key"])
    def key(self, request: pytest.FixtureRequest) -> str:
        """A key of this test's own; keys are free text."""
        return f"{request.param}-{next(_keys)}-{time.monotonic_ns()}"

    # -- values --------------------------------------------------------------------------------------------------

    def test_a_value_is_set_only_from_what_is_there(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert coordination.get(key) is None
        assert not coordination.compare_and_set(key, b"x", b"1")
        assert coordination.compare_and_set(key, None, b"\x00\xff")
        assert second_coordination.get(key) == b"\x00\xff"
        assert not second_coordination.compare_and_set(key, None, b"2")
        assert second_coordination.compare_and_set(key, b"\x00\xff", b"")
        assert coordination.get(key) == b"", "an empty value is a value"
        assert not coordination.compare_and_set(key, None, b"3")

    def test_a_value_is_deleted_only_if_it_is_what_is_there(self, coordination: Coordination, key: str) -> None:
        coordination.compare_and_set(key, None, b"1")
        assert not coordination.compare_and_set(key, b"2", None)
        assert coordination.get(key) == b"1"
        assert coordination.compare_and_set(key, b"1", None)
        assert coordination.get(key) is None
        assert coordination.compare_and_set(key, None, None), "nothing was there, and nothing is there"
        assert coordination.get(key) is None

    def test_a_value_ends_with_its_life(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert coordination.compare_and_set(key, None, b"1", ttl=self.shortest_ttl)
        eventually(lambda: second_coordination.get(key) is None)
        assert not coordination.compare_and_set(key, b"1", b"2")
        assert coordination.compare_and_set(key, None, b"2")

    def test_a_new_value_brings_its_own_life(self, coordination: Coordination, key: str) -> None:
        coordination.compare_and_set(key, None, b"1", ttl=self.shortest_ttl)
        assert coordination.compare_and_set(key, b"1", b"2")
        coordination.compare_and_set(f"{key}-2", None, b"1")
        assert coordination.compare_and_set(f"{key}-2", b"1", b"2", ttl=self.shortest_ttl)
        time.sleep(self.shortest_ttl * 2)
        assert coordination.get(key) == b"2"
        assert coordination.get(f"{key}-2") is None

    def test_of_many_setters_at_once_one_wins(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        clients = [coordination, second_coordination] * 3
        wins = at_once(6, lambda n: clients[n].compare_and_set(key, None, str(n).encode()))
        assert wins.count(True) == 1
        assert coordination.get(key) == str(wins.index(True)).encode()

    # -- counters ------------------------------------------------------------------------------------------------

    def test_a_counter_starts_at_nothing(self, coordination: Coordination, key: str) -> None:
        assert coordination.increment(key, 0) == 0
        assert [coordination.increment(key) for _ in range(3)] == [1, 2, 3]
        assert coordination.increment(key, 10) == 13
        assert coordination.increment(key, -20) == -7

    def test_no_count_is_lost_in_a_crowd(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        clients = [coordination, second_coordination] * 2
        counts = at_once(4, lambda n: [clients[n].increment(key) for _ in range(25)])
        assert sorted(itertools.chain(*counts)) == list(range(1, 101))

    def test_a_counter_ends_from_when_it_was_made(self, coordination: Coordination, key: str) -> None:
        made = time.monotonic()
        coordination.increment(key, ttl=self.shortest_ttl)

        def ended() -> bool:
            return coordination.increment(key, 0, ttl=self.shortest_ttl) == 0

        eventually(ended)
        assert time.monotonic() - made >= self.shortest_ttl * 0.5

    # -- tokens --------------------------------------------------------------------------------------------------

    def test_a_bucket_starts_full_and_runs_dry(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert [coordination.take_tokens(key, 0.001, 3.0) for _ in range(3)] == [0.0] * 3
        wait = second_coordination.take_tokens(key, 0.001, 3.0)
        assert 900.0 < wait <= 1000.0

    def test_a_bucket_fills_at_its_rate(self, coordination: Coordination, key: str) -> None:
        start = time.monotonic()
        for _ in range(2):
            assert coordination.take_tokens(key, 50.0, 2.0) == 0.0
        for number in range(1, 4):
            wait = eventually(lambda: coordination.take_tokens(key, 50.0, 2.0) == 0.0)
            assert wait
            assert time.monotonic() - start >= number / 50.0 - 0.005

    def test_a_bucket_never_holds_more_than_its_capacity(self, coordination: Coordination, key: str) -> None:
        rate = 20.0
        assert coordination.take_tokens(key, rate, 2.0) == 0.0
        time.sleep(0.2)  # it could have gained 4
        start = time.monotonic()
        assert coordination.take_tokens(key, rate, 2.0, 2.0) == 0.0
        wait = coordination.take_tokens(key, rate, 2.0)
        assert wait >= 1.0 / rate - (time.monotonic() - start) - 0.001

    def test_a_refusal_takes_nothing_and_tells_the_wait(self, coordination: Coordination, key: str) -> None:
        assert coordination.take_tokens(key, 0.001, 4.0, 3.0) == 0.0
        assert coordination.take_tokens(key, 0.001, 4.0, 2.0) == pytest.approx(1000.0, rel=0.02)
        assert coordination.take_tokens(key, 0.001, 4.0) == 0.0

    def test_what_can_never_be_taken_is_infinitely_far(self, coordination: Coordination, key: str) -> None:
        assert coordination.take_tokens(key, 10.0, 2.0, 3.0) == math.inf
        assert coordination.take_tokens(key, 10.0, 2.0, 2.0) == 0.0

    def test_a_crowd_gets_no_more_tokens_than_there_are(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        clients = [coordination, second_coordination] * 2
        waits = at_once(4, lambda n: [clients[n].take_tokens(key, 0.001, 10.0) for _ in range(10)])
        assert list(itertools.chain(*waits)).count(0.0) == 10

    # -- sets ----------------------------------------------------------------------------------------------------

    def test_a_set_holds_what_was_added(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert coordination.members(key) == []
        assert coordination.add(key, ["b", "a", "ümläut '"]) == 3
        assert second_coordination.add(key, ["a", "c", "c"]) == 1
        assert coordination.members(key) == ["a", "b", "c", "ümläut '"]
        assert second_coordination.contains(key, ["a", "x", "c"]) == {"a", "c"}
        assert coordination.discard(key, ["a", "x", "b"]) == 2
        assert second_coordination.members(key) == ["c", "ümläut '"]
        assert coordination.discard(key, ["a"]) == coordination.discard(f"{key}-none", ["a"]) == 0
        assert coordination.contains(f"{key}-none", ["a"]) == set()

    def test_nothing_added_is_nothing(self, coordination: Coordination, key: str) -> None:
        assert coordination.add(key, []) == coordination.discard(key, []) == 0
        assert coordination.contains(key, []) == set()
        assert coordination.members(key) == []

    def test_each_member_has_its_own_life(self, coordination: Coordination, key: str) -> None:
        coordination.add(key, ["short"], ttl=self.shortest_ttl)
        coordination.add(key, ["long"], ttl=3600.0)
        coordination.add(key, ["for ever"])
        eventually(lambda: coordination.members(key) == ["for ever", "long"])
        assert coordination.contains(key, ["short", "long"]) == {"long"}
        assert coordination.discard(key, ["short"]) == 0
        assert coordination.add(key, ["short"]) == 1, "it had ended, so it is new"

    def test_adding_again_renews_the_life(self, coordination: Coordination, key: str) -> None:
        coordination.add(key, ["a", "b"], ttl=self.shortest_ttl)
        assert coordination.add(key, ["a"], ttl=3600.0) in {0, 1}  # 1 if the machine slept through its life
        eventually(lambda: coordination.members(key) == ["a"])

    # -- sets with room for so many ------------------------------------------------------------------------------

    def test_a_set_lets_in_as_many_as_it_has_room_for_in_their_order(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert coordination.enter(key, ["b", "a", "c"], 2, 3600.0) == {"a", "b"}
        assert second_coordination.enter(key, ["d"], 2, 3600.0) == set()
        assert coordination.members(key) == ["a", "b"]
        assert second_coordination.enter(key, ["c", "a"], 2, 3600.0) == {"a"}, "who is in stays in"
        assert coordination.enter(key, [], 2, 3600.0) == set()
        assert second_coordination.discard(key, ["b"]) == 1
        assert second_coordination.enter(key, ["d", "c"], 2, 3600.0) == {"d"}
        assert coordination.members(key) == ["a", "d"]

    def test_a_set_that_is_over_its_limit_keeps_who_is_in_and_lets_nobody_in(
        self, coordination: Coordination, key: str
    ) -> None:
        assert coordination.enter(key, ["a", "b", "c"], 3, 3600.0) == {"a", "b", "c"}
        assert coordination.enter(key, ["d", "a", "b", "c"], 1, 3600.0) == {"a", "b", "c"}
        coordination.discard(key, ["a", "b", "c"])
        assert coordination.enter(key, ["a"], 0, 3600.0) == set()

    def test_who_does_not_come_again_loses_the_place_and_who_does_keeps_it(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        coordination.enter(key, ["a", "b"], 2, self.shortest_ttl)
        coordination.enter(key, ["a"], 2, 3600.0)
        eventually(lambda: second_coordination.enter(key, ["c"], 2, 3600.0) == {"c"})
        assert coordination.members(key) == ["a", "c"]
        assert coordination.enter(key, ["b"], 2, 3600.0) == set()

    def test_a_crowd_gets_no_more_places_than_there_are(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        clients = [coordination, second_coordination] * 2
        inside = at_once(4, lambda n: [clients[n].enter(key, [f"{n}-{one}"], 5, 3600.0) for one in range(5)])
        assert sum(len(each) for mine in inside for each in mine) == 5
        assert len(coordination.members(key)) == 5

    # -- leases --------------------------------------------------------------------------------------------------

    def test_a_lease_has_one_owner(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert coordination.acquire(key, "one", 3600.0)
        assert not second_coordination.acquire(key, "two", 3600.0)
        assert coordination.acquire(key, "one", 3600.0), "its owner renews it"
        assert not second_coordination.release(key, "two")
        assert not second_coordination.acquire(key, "two", 3600.0)
        assert coordination.release(key, "one")
        assert not coordination.release(key, "one")
        assert second_coordination.acquire(key, "two", 3600.0)

    def test_a_lease_that_ended_is_free(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        assert coordination.acquire(key, "one", self.shortest_ttl)
        eventually(lambda: second_coordination.acquire(key, "two", 3600.0))
        assert not coordination.acquire(key, "one", 3600.0)
        assert not coordination.release(key, "one")

    def test_an_ended_lease_is_not_given_up(self, coordination: Coordination, key: str) -> None:
        coordination.acquire(key, "one", self.shortest_ttl)
        time.sleep(self.shortest_ttl * 2)
        assert not coordination.release(key, "one")

    def test_renewing_a_lease_makes_it_longer(self, coordination: Coordination, key: str) -> None:
        coordination.acquire(key, "one", self.shortest_ttl)
        assert coordination.acquire(key, "one", 3600.0)
        time.sleep(self.shortest_ttl * 2)
        assert not coordination.acquire(key, "two", 1.0)

    def test_of_many_who_ask_at_once_one_gets_the_lease(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        clients = [coordination, second_coordination] * 3
        assert at_once(6, lambda n: clients[n].acquire(key, str(n), 3600.0)).count(True) == 1

    # -- the client ----------------------------------------------------------------------------------------------

    def test_a_client_may_be_used_again_after_close(
        self, coordination: Coordination, second_coordination: Coordination, key: str
    ) -> None:
        coordination.compare_and_set(key, None, b"1")
        coordination.close()
        coordination.close()
        assert second_coordination.get(key) == coordination.get(key) == b"1"

    def test_a_server_that_is_down_raises(
        self, coordination: Coordination, key: str, outage: Callable[[], AbstractContextManager[object]]
    ) -> None:
        asks: list[Callable[[], object]] = [
            lambda: coordination.get(key),
            lambda: coordination.compare_and_set(key, None, b"1"),
            lambda: coordination.increment(key),
            lambda: coordination.take_tokens(key, 1.0, 1.0),
            lambda: coordination.add(key, ["a"]),
            lambda: coordination.enter(key, ["a"], 1, 1.0),
            lambda: coordination.discard(key, ["a"]),
            lambda: coordination.contains(key, ["a"]),
            lambda: coordination.members(key),
            lambda: coordination.acquire(key, "one", 1.0),
            lambda: coordination.release(key, "one"),
        ]
        with outage():
            for ask in asks:
                with pytest.raises(OperationalError):
                    ask()
        assert coordination.get(key) is None
        assert coordination.increment(key) == 1
