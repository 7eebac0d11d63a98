"""The exam for result backends."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import ClassVar

import pytest

from skirret import states
from skirret.backends.base import ResultBackend
from skirret.errors import BackendError
from skirret.message import Record
from skirret.testing.conformance import material
from skirret.testing.conformance.material import Later, at_once, eventually, record

_ids = itertools.count(1)
CUSTOM = "PROGRESS"
STATES = [*sorted(states.ALL_STATES), CUSTOM]


def needs_sharing(backend: ResultBackend) -> None:
    """Skip where the backend declares that a result is read only by the process that sent the task."""
    if not backend.shared:
        pytest.skip("the backend declares that it lacks: shared")


def flags_of(backend: ResultBackend, *flags: bool) -> list[bool]:
    """What `store` answers where these records win or lose: who only sends them cannot tell, and says that he did."""
    return list(flags) if backend.shared else [True] * len(flags)


class BackendExam:
    """Subclass as ``TestMyBackend`` and override `backend`, `second_backend` and `outage`."""

    shortest_ttl: ClassVar[float] = 0.05
    """Seconds; the shortest life of a result that this store can do."""

    @pytest.fixture
    def backend(self) -> ResultBackend:
        """The backend under exam. Must be overridden."""
        raise NotImplementedError("override the fixture `backend`: see skirret.testing.conformance")

    @pytest.fixture
    def second_backend(self, backend: ResultBackend) -> ResultBackend:
        """Another client of the same store. Must be overridden."""
        raise NotImplementedError("override the fixture `second_backend`: see skirret.testing.conformance")

    @pytest.fixture
    def outage(self) -> Callable[[], AbstractContextManager[object]]:
        """A function that gives a context manager: while entered, no client of this test reaches the store."""
        pytest.skip("the fixture `outage` was not overridden, so the store cannot be cut off")

    @pytest.fixture(autouse=True)
    def _reply_to(self, backend: ResultBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        backend.expect()
        monkeypatch.setattr(material, "reply_to", backend.reply_to)

    @pytest.fixture
    def task_id(self) -> str:
        """A task of this test's own."""
        return f"exam-{next(_ids)}-{time.monotonic_ns()}"

    def test_a_stored_result_is_fetched_by_every_client(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        needs_sharing(backend)
        payload = bytes(range(256))
        assert backend.store([record(task_id, payload=payload)]) == [True]
        assert backend.fetch([task_id]) == second_backend.fetch([task_id]) == {task_id: payload}

    def test_only_what_exists_is_fetched(self, backend: ResultBackend, task_id: str) -> None:
        backend.store([record(task_id, payload=b"x")])
        assert backend.fetch(["nobody", task_id, "nothing", task_id]) == {task_id: b"x"}
        assert backend.fetch(["nobody"]) == backend.fetch([]) == {}

    def test_a_batch_is_stored_whole(self, backend: ResultBackend, task_id: str) -> None:
        names = [f"{task_id}-{n}" for n in range(100)]
        assert backend.store([record(name, payload=name.encode()) for name in names]) == [True] * 100
        assert backend.fetch(names) == {name: name.encode() for name in names}
        assert backend.store([]) == []

    def test_what_was_begun_to_be_stored_is_there_in_the_end(self, backend: ResultBackend, task_id: str) -> None:
        """In more than one portion, if the store has portions; states rank as in `store`."""
        names = [f"{task_id}-{n}" for n in range(250)]
        backend.store([record(names[0], states.SUCCESS, b"first")])
        finish = backend.begin_store([record(one, states.FAILURE, b"second") for one in names])
        finish()
        backend.begin_store([])()
        assert backend.wait(names[-1:], 5.0) == {names[-1]: b"second"}
        assert backend.fetch(names) == {**dict.fromkeys(names, b"second"), names[0]: b"first"}

    @pytest.mark.parametrize("name", ["../../etc/x", "a b'c\"d;--", "ümläut-漢字-🥕", "x" * 255, "{q}*?["])
    def test_task_ids_are_free_text(self, backend: ResultBackend, name: str, task_id: str) -> None:
        name = f"{name}{task_id}"
        backend.store([record(name, payload=b"x")])
        assert backend.fetch([name]) == {name: b"x"}
        assert backend.forget([name]) == 1

    def test_a_large_result_is_kept_whole(self, backend: ResultBackend, task_id: str) -> None:
        payload = bytes(range(256)) * 4096
        backend.store([record(task_id, payload=payload)])
        assert backend.fetch([task_id])[task_id] == payload

    @pytest.mark.parametrize("old", STATES)
    @pytest.mark.parametrize("new", STATES)
    def test_a_state_gives_way_only_to_one_that_supersedes_it(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str, old: str, new: str
    ) -> None:
        assert backend.store([record(task_id, old, b"old")]) == [True]
        wins = states.supersedes(new, old)
        assert second_backend.store([record(task_id, new, b"new")]) == flags_of(backend, wins)
        assert backend.fetch([task_id]) == {task_id: b"new" if wins else b"old"}

    def test_a_batch_compares_record_by_record(self, backend: ResultBackend, task_id: str) -> None:
        other = f"{task_id}-other"
        flags = backend.store(
            [
                record(task_id, "STARTED", b"1"),
                record(other, "FAILURE", b"2"),
                record(task_id, "FAILURE", b"3"),
                record(other, "RETRY", b"4"),
                record(task_id, "SUCCESS", b"5"),
                record(task_id, "FAILURE", b"6"),
            ]
        )
        assert flags == flags_of(backend, True, True, True, False, True, False)
        assert backend.fetch([task_id, other]) == {task_id: b"5", other: b"2"}

    def test_of_many_writers_at_once_one_wins(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        needs_sharing(backend)
        clients = [backend, second_backend] * 3
        flags = at_once(6, lambda n: clients[n].store([record(task_id, "SUCCESS", str(n).encode())])[0])
        assert flags.count(True) == 1
        assert backend.fetch([task_id]) == {task_id: str(flags.index(True)).encode()}

    def test_a_result_ends_with_its_life(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        needs_sharing(backend)
        other = f"{task_id}-other"
        backend.store([record(task_id, ttl=self.shortest_ttl), record(other, payload=b"stays", ttl=3600.0)])
        eventually(lambda: second_backend.fetch([task_id, other]) == {other: b"stays"})
        assert backend.wait([task_id], 0.0) == {}
        assert backend.forget([task_id]) == 0

    def test_an_ended_result_does_not_stand_in_the_way(self, backend: ResultBackend, task_id: str) -> None:
        backend.store([record(task_id, "SUCCESS", b"old", ttl=self.shortest_ttl)])
        eventually(lambda: not backend.fetch([task_id]))
        assert backend.store([record(task_id, "STARTED", b"new")]) == [True]
        assert backend.fetch([task_id]) == {task_id: b"new"}

    def test_a_new_state_brings_its_own_life(self, backend: ResultBackend, task_id: str) -> None:
        backend.store([record(task_id, "STARTED", b"1", ttl=self.shortest_ttl), record(task_id, "SUCCESS", b"2")])
        time.sleep(self.shortest_ttl * 2)
        assert backend.fetch([task_id]) == {task_id: b"2"}

    def test_cleaning_up_leaves_what_lives(self, backend: ResultBackend, task_id: str) -> None:
        names = [f"{task_id}-{n}" for n in range(5)]
        backend.store([record(name, ttl=self.shortest_ttl) for name in names])
        backend.store([record(task_id, payload=b"x"), record(f"{task_id}-long", payload=b"y", ttl=3600.0)])
        time.sleep(self.shortest_ttl * 2)
        assert 0 <= backend.cleanup() <= 5  # fewer where the store drops them by itself
        assert backend.cleanup() == 0
        assert set(backend.fetch([*names, task_id, f"{task_id}-long"])) == {task_id, f"{task_id}-long"}

    def test_forgetting_tells_how_many_there_were(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        needs_sharing(backend)
        backend.store([record(task_id), record(f"{task_id}-2")])
        assert second_backend.forget([task_id, "nobody"]) == 1
        assert backend.fetch([task_id]) == {}
        assert backend.forget([task_id]) == backend.forget([]) == 0
        assert backend.store([record(task_id, "STARTED")]) == [True]

    @pytest.mark.parametrize("state", STATES)
    def test_waiting_ends_with_a_ready_state_and_no_other(
        self, backend: ResultBackend, task_id: str, state: str
    ) -> None:
        backend.store([record(task_id, state, b"x")])
        expected = {task_id: b"x"} if state in states.READY_STATES else {}
        assert backend.wait([task_id], 0.02 if not expected else 5.0) == expected

    def test_waiting_returns_all_that_are_ready_and_leaves_them(self, backend: ResultBackend, task_id: str) -> None:
        a, b, c = (f"{task_id}-{n}" for n in "abc")
        backend.store([record(a, "SUCCESS", b"a"), record(b, "FAILURE", b"b"), record(c, "STARTED", b"c")])
        for _ in range(2):
            assert backend.wait([a, b, c, "nobody"], 5.0) == {a: b"a", b: b"b"}

    def test_waiting_in_vain_ends_with_the_timeout(self, backend: ResultBackend, task_id: str) -> None:
        start = time.monotonic()
        assert backend.wait([task_id], 0.05) == {}
        assert 0.045 <= time.monotonic() - start < 5.0

    def test_a_result_wakes_who_waits_for_it(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        later = Later(lambda: backend.wait(["nobody", task_id], 10.0))
        assert not later.done.wait(0.02)
        second_backend.store([record(task_id, "STARTED", b"not yet")])
        assert not later.done.wait(0.02)
        second_backend.store([record(task_id, "SUCCESS", b"done")])
        start = time.monotonic()
        assert later.result() == {task_id: b"done"}
        assert time.monotonic() - start < 1.0

    def test_many_threads_may_wait_through_one_backend(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        names = [f"{task_id}-{n}" for n in range(8)]
        waiting = [Later(partial(backend.wait, [name], 10.0)) for name in names]
        for name in reversed(names):
            second_backend.store([record(name, payload=name.encode())])
        assert [later.result() for later in waiting] == [{name: name.encode()} for name in names]

    def test_an_interrupt_ends_the_waits_of_all_threads(self, backend: ResultBackend, task_id: str) -> None:
        start = time.monotonic()
        begun = threading.Barrier(4)

        def wait() -> dict[str, bytes]:
            begun.wait(5.0)
            return backend.wait([task_id], 30.0)

        waiting = [Later(wait) for _ in range(3)]
        begun.wait(5.0)
        while not all(later.done.wait(0.02) for later in waiting):
            backend.interrupt()
            assert time.monotonic() - start < 10.0
        assert [later.result() for later in waiting] == [{}, {}, {}]

    def test_an_interrupt_that_comes_early_is_not_lost(self, backend: ResultBackend, task_id: str) -> None:
        backend.interrupt()
        start = time.monotonic()
        assert backend.wait([task_id], 30.0) == {}
        assert time.monotonic() - start < 5.0
        backend.store([record(task_id, payload=b"x")])
        assert backend.wait([task_id], 30.0) == {task_id: b"x"}

    def test_all_clients_of_a_store_name_it_the_same(
        self, backend: ResultBackend, second_backend: ResultBackend
    ) -> None:
        assert backend.identity
        assert backend.identity == second_backend.identity

    def test_results_outlive_the_client_that_stored_them(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        needs_sharing(backend)
        backend.store([record(task_id, payload=b"x")])
        backend.close()
        backend.close()
        assert second_backend.fetch([task_id]) == {task_id: b"x"}
        assert backend.fetch([task_id]) == {task_id: b"x"}, "a closed backend may be used again"

    def test_a_store_that_is_down_raises(
        self, backend: ResultBackend, task_id: str, outage: Callable[[], AbstractContextManager[object]]
    ) -> None:
        asks: list[Callable[[], object]] = [
            lambda: backend.store([record(task_id)]),
            lambda: backend.fetch([task_id]),
            lambda: backend.wait([task_id], 1.0),
            lambda: backend.forget([task_id]),
            backend.cleanup,
        ]
        backend.store([record(task_id, "STARTED", b"before")])
        with outage():
            for ask in asks:
                with pytest.raises(BackendError):
                    ask()
        assert backend.fetch([task_id]) == {task_id: b"before"}
        assert backend.store([record(task_id)]) == [True]

    def test_a_result_ends_with_its_life_where_its_reader_is(self, backend: ResultBackend, task_id: str) -> None:
        other = f"{task_id}-other"
        backend.store([record(task_id, ttl=0.5), record(other, payload=b"stays", ttl=3600.0)])
        assert set(backend.fetch([task_id, other])) == {task_id, other}
        eventually(lambda: backend.fetch([task_id, other]) == {other: b"stays"})
        assert backend.wait([task_id], 0.0) == {}
        assert backend.forget([task_id]) == 0

    def test_a_closed_backend_may_be_used_again(self, backend: ResultBackend, task_id: str) -> None:
        backend.store([record(task_id, payload=b"x")])
        backend.close()
        backend.close()
        assert backend.fetch([task_id]) == {task_id: b"x"}
        assert backend.forget([task_id]) == 1
        assert backend.fetch([task_id]) == {}

    def test_another_process_finds_nothing_where_results_go_to_who_asked(
        self, backend: ResultBackend, second_backend: ResultBackend, task_id: str
    ) -> None:
        if backend.shared:
            pytest.skip("the backend declares that all clients read its results")
        assert backend.reply_to != second_backend.reply_to
        backend.store([record(task_id, payload=b"x")])
        assert second_backend.fetch([task_id]) == {}
        assert second_backend.wait([task_id], 0.05) == {}
        assert backend.fetch([task_id]) == {task_id: b"x"}

    def test_a_result_without_an_address_goes_nowhere(self, backend: ResultBackend, task_id: str) -> None:
        told = Record(task_id=task_id, state="SUCCESS", payload=b"x")
        assert backend.store([told]) == [backend.shared]
        assert backend.fetch([task_id]) == ({task_id: b"x"} if backend.shared else {})

    def test_an_enabled_backend_says_so(self, backend: ResultBackend) -> None:
        assert backend.enabled
