"""What came twice from a publisher is known for a while, and what is remembered has a bound."""

from __future__ import annotations

import pytest

from skirret import clock
from skirret.brokers.amqp import resends
from skirret.brokers.amqp.resends import Resends


@pytest.fixture
def now(monkeypatch):
    """A clock that stands; the test moves it."""
    moment = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: moment[0])
    return moment


def test_a_nonce_is_known_for_30_seconds_from_its_own_queue_and_not_for_ever(now):
    seen = Resends()
    assert not seen.is_one("q", "a")
    for _ in range(29):
        now[0] += 1.0
        seen.forget()
        assert seen.knows("q", "a")
        assert not seen.knows("other", "a")
    assert seen.is_one("q", "a")
    for _ in range(62):
        now[0] += 1.0
        seen.forget()
    assert not seen.knows("q", "a")


def test_one_that_comes_at_any_moment_is_known_for_30_seconds(now):
    seen = Resends()
    for number in range(200):
        now[0] += 1.0
        seen.forget()
        assert not seen.is_one("q", str(number))
        assert all(seen.knows("q", str(old)) for old in range(max(0, number - 29), number + 1))


def test_no_more_are_remembered_than_twice_the_bound_and_a_little(now, monkeypatch):
    monkeypatch.setattr(resends, "MOST", 10)
    seen = Resends()
    for number in range(100):
        seen.is_one("q", str(number))
        seen.forget()
    known = [number for number in range(100) if seen.knows("q", str(number))]
    assert known == list(range(100 - len(known), 100))
    assert 10 <= len(known) <= 20


def test_messages_without_a_nonce_are_never_resends():
    seen = Resends()
    assert not seen.is_one("q", "")
    assert not seen.is_one("q", "")
    assert not seen.knows("q", "")
