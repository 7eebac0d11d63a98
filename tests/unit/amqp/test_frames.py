"""Frames are cut where they end, and say the same as another library's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp import frame as peer
from pamqp import header as peer_header

from skirret.errors import DecodeError
from skirret.stores.amqp import content, frames
from skirret.stores.amqp.content import Content

FRAMES = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 65535), st.binary(max_size=100)),
    max_size=6,
)


@given(FRAMES, st.data())
def test_frames_are_found_however_the_bytes_come(some, data):
    whole = b"".join(frames.frame(*one) for one in some)
    at = data.draw(st.integers(0, len(whole)))
    first, left = frames.cut(whole[:at])
    second, rest = frames.cut(left + whole[at:])
    assert first + second == some
    assert rest == b""


def test_bytes_that_are_no_frames_are_refused():
    with pytest.raises(ValueError, match="no end"):
        frames.cut(frames.frame(1, 1, b"abc")[:-1] + b"\x00" + b"x" * 8)


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 300])
def test_a_published_message_is_what_another_library_reads(body):
    told = Content(headers={"id": "1", "retries": 0}, content_type="application/json", correlation_id="1", priority=3)
    data = frames.publish(
        5, frames.short("ex"), frames.short("key"), content.encode(told, len(body)), body, 108, mandatory=True
    )
    found = []
    while data:
        size, channel, one = peer.unmarshal(data)
        assert channel == 5
        found.append(one)
        data = data[size:]
    method, header, *bodies = found
    assert (method.exchange, method.routing_key, method.mandatory) == ("ex", "key", True)
    assert header.body_size == len(body)
    assert (header.properties.headers, header.properties.priority) == ({"id": "1", "retries": 0}, 3)
    assert (header.properties.content_type, header.properties.correlation_id) == ("application/json", "1")
    assert b"".join(part.value for part in bodies) == body
    assert all(len(part.value) <= 100 for part in bodies)


def test_a_delivery_is_read_as_another_library_writes_it():
    payload = peer.marshal(commands.Basic.Deliver("tap", 2**40, True, "ex", "k.é"), 1)[7:-1]
    assert payload[:4] == frames.DELIVER
    assert frames.delivered(payload) == frames.Delivered("tap", 2**40, True, "ex", "k.é")


@pytest.mark.parametrize("multiple", [False, True])
def test_acks_and_nacks_are_what_another_library_reads(multiple):
    _, channel, one = peer.unmarshal(frames.ack(2, 77, multiple=multiple))
    assert (channel, one.delivery_tag, one.multiple) == (2, 77, multiple)
    _, _, one = peer.unmarshal(frames.nack(2, 78))
    assert (one.delivery_tag, one.multiple, one.requeue) == (78, False, True)
    payload = peer.marshal(commands.Basic.Ack(9, multiple), 1)[7:-1]
    assert frames.settled(payload) == (9, multiple)


def test_all_properties_come_back_and_are_what_another_library_reads():
    told = Content(
        headers={"a": [1, None]},
        content_type="t",
        content_encoding="e",
        delivery_mode=1,
        priority=9,
        correlation_id="c",
        reply_to="r",
        expiration="1000",
        message_id="m",
        timestamp=1_790_000_000,
        type="ty",
        user_id="u",
        app_id="ap",
        cluster_id="cl",
    )
    payload = content.encode(told, 12)
    assert content.decode(payload) == told
    assert content.size_of(payload) == 12
    header = peer_header.ContentHeader()
    header.unmarshal(payload)
    read = header.properties
    assert (read.message_type, read.app_id, read.cluster_id, read.user_id) == ("ty", "ap", "cl", "u")
    assert read.timestamp.timestamp() == 1_790_000_000


@given(st.binary(max_size=120))
def test_properties_that_are_none_are_refused_and_nothing_else_happens(data):
    try:
        content.decode(data)
    except DecodeError:
        return
