"""Messages are put together from frames, however these are cut, read, and mixed with those of other channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from skirret.stores.amqp import content, frames
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.faults import Broken
from skirret.stores.amqp.session import Arrived, Session


class Line:
    """Gives what the test says, one list of frames at a time."""

    def __init__(self, reads):
        self.reads = list(reads)

    def read(self, _seconds, _wake=-1):
        return self.reads.pop(0) if self.reads else []


def delivery(channel, tag, key, body, pieces):
    """A message, and its frames with the body in so many pieces."""
    header = content.encode(Content(headers={"id": str(tag)}), len(body))
    payload = frames.method(channel, commands.Basic.Deliver(f"tap{tag % 3}", tag, tag % 2 == 0, "", key))[7:-1]
    size = max(1, -(-len(body) // pieces))
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    found = [(frames.METHOD, channel, payload), (frames.HEADER, channel, header)]
    return (
        Arrived(f"tap{tag % 3}", tag, tag % 2 == 0, "", key, header, body),
        found + [(frames.BODY, channel, part) for part in parts],
    )


MESSAGES = st.lists(
    st.tuples(st.sampled_from(["q", "other", "q.é"]), st.binary(max_size=30), st.integers(1, 3)), max_size=6
)


@given(MESSAGES, MESSAGES, st.lists(st.booleans(), max_size=40), st.integers(1, 7), st.booleans())
def test_every_message_is_whole_and_in_the_order_of_its_channel(one, two, turns, portion, has_signs_between):
    made = {
        channel: [delivery(channel, tag, *parts) for tag, parts in enumerate(some, 100 * channel)]
        for channel, some in ((1, one), (2, two))
    }
    rows = {channel: [frame for _, row in some for frame in row] for channel, some in made.items()}
    mixed = []
    for is_first in [*turns, *[True] * len(rows[1]), *[False] * len(rows[2])]:
        mixed += [rows[1 if is_first else 2].pop(0)] if rows[1 if is_first else 2] else []
    if has_signs_between:
        mixed = [frame for one in mixed for frame in (one, (frames.HEARTBEAT, 0, b""))]
    session = Session(Line([mixed[at : at + portion] for at in range(0, len(mixed), portion)]))
    while session.pump(0.0):
        pass
    came = list(session.arrived)
    assert sorted(came, key=str) == sorted([message for some in made.values() for message, _ in some], key=str)
    for some in made.values():
        assert [one for one in came if one in [message for message, _ in some]] == [message for message, _ in some]


def test_a_body_of_another_channel_right_behind_a_header_is_not_taken_for_its_own():
    one, (begins, header, body) = delivery(1, 1, "q", b"mine", 1)
    two, (other_begins, other_header, other_body) = delivery(2, 2, "q", b"his!", 1)
    session = Session(Line([[other_begins, other_header, begins, header, other_body, body]]))
    session.pump(0.0)
    assert list(session.arrived) == [two, one]


@pytest.mark.parametrize("kind", [frames.HEADER, frames.BODY])
def test_a_message_that_was_not_announced_breaks_the_line(kind):
    session = Session(Line([[(kind, 1, content.encode(Content(), 1))]]))
    with pytest.raises(Broken, match="did not announce"):
        session.pump(0.0)


def test_a_question_is_answered_by_its_own_answer_and_not_by_that_of_an_earlier_one():
    answer = (frames.METHOD, 1, frames.method(1, commands.Basic.QosOk())[7:-1])
    line = Line([])
    line.send = lambda _data, _seconds: None
    session = Session(line)
    first, second = session.tell(1, b"", 1.0), session.tell(1, b"", 1.0)
    line.reads = [[answer]]
    session.hear(1, first, 1.0)
    with pytest.raises(Broken, match="no answer"):
        session.hear(1, second, 0.01)
    line.reads = [[answer]]
    session.hear(1, second, 1.0)
    session.hear(1, first, 0.0)
