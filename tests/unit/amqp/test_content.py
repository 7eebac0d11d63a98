"""Content headers are read right, whatever was read before them and taken for their like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import header as peer

from skirret.errors import DecodeError
from skirret.stores.amqp import content
from skirret.stores.amqp.content import Content

ALIKE = st.sampled_from(["", "ab", "ba", "a", b"\xff\xfe", b"\xff", None, 1, 2, True, False, 1.5, {}, [None], {"a": 1}])
"""Few values, of few sizes: so that headers of the same size but another kind come one after another."""

HEADERS = st.dictionaries(st.sampled_from(["a", "b", "cc"]), ALIKE, max_size=3)
CONTENTS = st.builds(
    Content,
    headers=HEADERS,
    priority=st.none() | st.integers(0, 2),
    delivery_mode=st.none() | st.just(2),
    correlation_id=st.sampled_from([None, "", "x", "yy"]),
    reply_to=st.sampled_from([None, "", "x"]),
    timestamp=st.none() | st.integers(0, 2**32),
)


def payload_of(told: Content) -> bytes:
    """In bytes; text that is none is written as RabbitMQ does, as a string of bytes that are no UTF-8."""
    odd = {name: value for name, value in told.headers.items() if isinstance(value, bytes)}
    data = content.encode(told, 7)
    for value in odd.values():
        data = data.replace(b"x" + len(value).to_bytes(4, "big") + value, b"S" + len(value).to_bytes(4, "big") + value)
    return data


@given(st.lists(CONTENTS, min_size=2, max_size=4).map(lambda some: some * 4))
def test_what_was_read_before_does_not_matter(some):
    for told in some:
        assert content.decode(payload_of(told)) == told


@given(st.lists(st.tuples(CONTENTS, st.data()), min_size=1, max_size=6))
def test_a_byte_that_was_changed_is_seen_however_well_known_the_others_are(some):
    for told, data in some:
        whole = payload_of(told)
        for _ in range(content.SIGHTS):
            content.decode(whole)
        at = data.draw(st.integers(0, len(whole) - 1))
        changed = whole[:at] + bytes((data.draw(st.integers(0, 255)),)) + whole[at + 1 :]
        content.decode(whole)
        quick = _outcome(changed)
        content._shapes.clear()
        assert _outcome(changed) == quick


def _outcome(payload: bytes) -> object:
    try:
        return repr(content.decode(payload))
    except DecodeError:
        return DecodeError


@given(CONTENTS, st.binary(max_size=40))
def test_the_priority_is_found_without_the_headers(told, hostile):
    assert content.priority_of(payload_of(told)) == (told.priority or 0)
    assert 0 <= content.priority_of(hostile) <= 255


def test_a_known_kind_is_read_without_looking_at_each_field(monkeypatch):
    first = Content(headers={"id": "1" * 36, "none": None, "retries": 0}, reply_to="abc", priority=3)
    second = Content(headers={"id": "2" * 36, "none": None, "retries": 4}, reply_to="xyz", priority=5)
    for _ in range(content.SIGHTS + 1):
        content.decode(content.encode(first, 1))
    monkeypatch.setattr(content, "_outline", lambda payload: pytest.fail("looked at each field"))
    assert content.decode(content.encode(second, 99)) == second


def test_another_kind_of_the_same_size_takes_its_place_if_the_first_comes_no_more(monkeypatch):
    first, second = Content(headers={"a": "1", "bb": None}), Content(headers={"aa": "1", "b": None})
    for told in (*[first] * (content.SIGHTS + 1), *[second] * (content.MISSES + 2)):
        assert content.decode(content.encode(told, 1)) == told
    monkeypatch.setattr(content, "_outline", lambda payload: pytest.fail("looked at each field"))
    assert content.decode(content.encode(second, 1)) == second


def test_few_shapes_are_kept_and_none_of_what_is_huge():
    for size in range(2 * content.KEPT_SHAPES):
        told = Content(headers={"text": "x" * size})
        for _ in range(content.SIGHTS + 2):
            assert content.decode(content.encode(told, 1)) == told
        assert len(content._shapes) <= content.KEPT_SHAPES
    content._shapes.clear()
    for _ in range(2 * content.SIGHTS):
        content.decode(content.encode(Content(headers={str(number): "x" for number in range(1000)}), 1))
    assert list(content._shapes.values()) == [content.SIGHTS]


def test_a_property_that_is_no_text_can_be_written_again():
    odd = content.encode(Content(correlation_id="x" * 250), 0).replace(b"x" * 250, b"\xff" * 250)
    found = content.decode(odd)
    assert content.decode(content.encode(found, 0)) == found


def test_a_header_that_comes_twice_counts_as_its_last():
    data = content.encode(Content(headers={"a": "1", "b": "2"}, priority=1), 1).replace(b"\x01b", b"\x01a")
    for _ in range(2):
        assert content.decode(data).headers == {"a": "2"}


@given(CONTENTS)
def test_another_library_reads_what_we_write(told):
    found = peer.ContentHeader()
    found.unmarshal(content.encode(told, 7))
    assert found.body_size == 7
    assert (found.properties.headers or {}) == told.headers
    assert found.properties.priority == told.priority
