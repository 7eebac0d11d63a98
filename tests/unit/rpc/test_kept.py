"""What a process keeps of results that came to it."""

from __future__ import annotations

import pytest

from skirret import clock, states
from skirret.backends.rpc.kept import Kept
from skirret.backends.rpc.letter import Letter


@pytest.fixture
def now(monkeypatch):
    """The monotonic clock, moved by hand."""
    told = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: told[0])
    return told


def came(task_id, state="SUCCESS", payload=b"x", ttl=None):
    return Letter(task_id, state, payload, ttl)


@pytest.mark.parametrize("old", sorted(states.ALL_STATES))
@pytest.mark.parametrize("new", sorted(states.ALL_STATES))
def test_a_state_gives_way_only_to_one_that_supersedes_it(old, new):
    kept = Kept(None, None)
    assert kept.put(came("one", old, b"old"))
    wins = states.supersedes(new, old)
    assert kept.put(came("one", new, b"new")) == wins
    assert kept.fetch(["one"]) == {"one": b"new" if wins else b"old"}


def test_only_finished_ones_are_ready():
    kept = Kept(None, None)
    for state in (*states.ALL_STATES, "PROGRESS"):
        kept.put(came(state, state))
    assert set(kept.ready([*states.ALL_STATES, "PROGRESS", "nobody"])) == states.READY_STATES
    assert kept.is_ready("SUCCESS")
    assert not kept.is_ready("STARTED")
    assert not kept.is_ready("nobody")


def test_a_result_ends_with_its_life_or_with_the_usual_one(now):
    kept = Kept(None, 10.0)
    kept.put(came("short", ttl=5.0))
    kept.put(came("usual"))
    now[0] += 5.0
    assert set(kept.fetch(["short", "usual"])) == {"usual"}
    assert kept.forget(["short"]) == 0
    now[0] += 5.0
    assert kept.fetch(["usual"]) == {}
    assert kept.put(came("usual", "STARTED"))


def test_what_has_ended_is_counted_where_it_is_dropped(now):
    kept = Kept(None, 10.0)
    for n in range(3):
        kept.put(came(str(n)))
    kept.fetch(["0"])
    kept.put(came("stays", ttl=100.0))
    now[0] += 10.0
    assert kept.drop_ended() == 3
    assert kept.drop_ended() == 0
    assert kept.fetch(["stays"])


def test_what_was_read_makes_room_before_what_was_not():
    kept = Kept(3, None)
    for name in "abc":
        kept.put(came(name))
    kept.ready(["b"])
    kept.put(came("d"))
    assert set(kept.fetch("abcd")) == {"a", "c", "d"}


def test_a_state_on_the_way_that_was_looked_at_is_not_read_yet():
    kept = Kept(2, None)
    kept.put(came("a", "STARTED"))
    kept.fetch(["a"])
    kept.put(came("b"))
    kept.fetch(["b"])
    kept.put(came("c"))
    assert set(kept.fetch("abc")) == {"a", "c"}


def test_the_oldest_goes_where_nothing_was_read_and_that_is_told_once(caplog):
    kept = Kept(2, None)
    for name in "abcd":
        kept.put(came(name))
    assert set(kept.fetch("abcd")) == {"c", "d"}
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]
    assert "task a first" in caplog.text


def test_forgetting_tells_how_many_there_were():
    kept = Kept(None, None)
    kept.put(came("a"))
    kept.put(came("b"))
    kept.ready(["b"])
    assert kept.forget(["a", "b", "a", "nobody"]) == 2
    assert kept.fetch(["a", "b"]) == {}
