"""A window is as wide as the need: exactly where tasks are long, in steps where they are short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skirret.brokers.amqp.feed import EXACT, Feed, Sent, Tap, unread
from skirret.stores.amqp import content
from skirret.stores.amqp.session import Arrived


def feed_of(*taps: tuple[int, int]) -> Feed:
    return Feed("q", taps=[Tap(f"t{number}", width, used) for number, (width, used) in enumerate(taps)])


def sent(tag: int, priority: int = 0) -> Sent:
    header = content.encode(content.Content(headers={"id": str(tag)}, priority=priority), 0)
    return unread(Arrived("tap", tag, False, "", "q", header, b""))


def test_a_small_window_is_exactly_as_wide_as_needed():
    assert feed_of().missing(2) == 2
    assert feed_of((2, 2)).missing(1) == 1
    assert feed_of((2, 1)).missing(1) == 0


def test_a_wide_window_doubles():
    assert feed_of((16, 16)).missing(3) == 16
    assert feed_of((16, 16), (16, 16)).missing(50) == 50


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 200)), max_size=5), st.integers(1, 300))
def test_after_it_grew_what_is_needed_may_come(taps, room):
    feed = feed_of(*taps)
    missing = feed.missing(room)
    if missing:
        feed.taps.append(Tap("new", missing))
    assert feed.credit >= room
    assert feed.credit <= 2 * max(room + sum(width for width, _ in taps), EXACT)


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 200)), max_size=5), st.integers(0, 300))
def test_what_is_taken_away_leaves_what_is_needed(taps, room):
    feed = feed_of(*taps)
    before = feed.credit
    for tap in feed.superfluous(room):
        feed.taps.remove(tap)
    assert feed.credit >= min(room, before)
    assert all(feed.credit - max(0, tap.prefetch - tap.open) < room for tap in feed.taps if tap.prefetch > tap.open)


def test_the_most_urgent_is_taken_first_and_of_these_the_oldest():
    feed = feed_of()
    for tag, priority in ((1, 0), (2, 9), (3, 9), (4, 5)):
        feed.add(sent(tag, priority))
    assert feed.count == 4
    order = []
    while (best := feed.best()) >= 0:
        order += [one.tag for one in feed.take(best, 1)]
    assert order == [2, 3, 4, 1]


def test_what_is_drained_waits_no_more():
    feed = feed_of()
    feed.add(sent(1))
    feed.add(sent(2, 3))
    assert {one.tag for one in feed.drain()} == {1, 2}
    assert (feed.count, feed.best()) == (0, -1)
