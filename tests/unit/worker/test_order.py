"""An order is filled exactly, whatever the two who share it have heard of each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skirret.worker.order import Order


def test_it_counts_from_what_the_loop_was_told_of():
    order = Order()
    order.place(5)
    number, missing = order.open()
    assert missing == 5
    order.deliver(number, 2, whole=True)
    assert order.open() == (number, 3)
    order.place(5)  # has not heard of the two
    assert order.open()[1] == 3
    order.tell(2)
    order.place(5)
    assert order.open()[1] == 5


def test_less_than_a_portion_answers_it_and_not_the_next():
    order = Order()
    order.place(5)
    number, _ = order.open()
    order.place(7)  # while the taker waits at the server
    order.deliver(number, 1, whole=False)
    assert order.open()[1] == 6
    order.deliver(order.open()[0], 1, whole=False)
    assert order.open()[1] == 0


def test_nothing_more_is_wanted_once_that_was_said():
    order = Order()
    order.place(5)
    order.deliver(order.open()[0], 2, whole=True)
    order.place(0)
    assert order.open()[1] == 0


STEPS = st.lists(st.tuples(st.sampled_from(["place", "take", "tell"]), st.integers(0, 12)), max_size=60)


@given(STEPS)
def test_no_more_is_ever_taken_than_the_largest_order_beside_what_was_told(steps):
    order, way, bound = Order(), [], 0
    told = taken = 0
    for word, count in steps:
        if word == "place":
            order.place(count)
            bound = max(bound, told + count)
        elif word == "take":
            number, missing = order.open()
            got = min(missing, count)
            if got:
                order.deliver(number, got, whole=got == 4)
                way.append(got)
                taken += got
        elif way:
            order.tell(way[0])
            told += way.pop(0)
        assert taken <= bound
        assert told <= taken
