"""Event messages: Celery's on the wire in both directions, and no bytes that can hurt a monitor."""

from __future__ import annotations

import base64
import json
import math

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.transport.virtual import Base64
from kombu.utils.json import loads as kombu_loads

from skirret.errors import EncodeError
from skirret.message import Malformed
from skirret.wire import events as wire

CAPTURED = (
    b'{"body": "W3siaG9zdG5hbWUiOiAidzFAaCIsICJ1dGNvZmZzZXQiOiAwLjAsICJwaWQiOiAxNDIwNSwgImNsb2NrIjogNSwgInV1aWQiO'
    b'iAiMjRiMGZlMTAiLCAidGltZXN0YW1wIjogMTc5NTczNDEyNS44ODE3Njg3LCAidHlwZSI6ICJ0YXNrLXN0YXJ0ZWQifV0=", '
    b'"content-encoding": "utf-8", "content-type": "application/json", "headers": {"hostname": "w1@h"}, "properties": '
    b'{"delivery_mode": 1, "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"}, "priority": 0, '
    b'"body_encoding": "base64", "delivery_tag": "14c84a75-efb4-4708-aa2c-862d2944f970"}}'
)
"""A message of Celery 5.7."""

EVENT = {"hostname": "w1@h", "utcoffset": 0.0, "pid": 7, "clock": 3, "uuid": "a", "timestamp": 1.5, "type": "task-sent"}


def raw(body: bytes, **properties: object) -> bytes:
    """An envelope around a body."""
    told = {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"hostname": "h"},
        "properties": {"body_encoding": "base64", **properties},
    }
    return json.dumps(told).encode()


def test_a_captured_message_of_celery_is_read():
    (event,) = wire.decode(CAPTURED)
    assert event == {
        "hostname": "w1@h", "utcoffset": 0.0, "pid": 14205, "clock": 5, "uuid": "24b0fe10",
        "timestamp": 1795734125.8817687, "type": "task-started",
    }  # fmt: skip


def test_what_is_written_has_the_outline_of_celerys_message():
    ours, theirs = json.loads(wire.encode([EVENT], "task.multi", "w1@h")), json.loads(CAPTURED)
    assert ours.keys() == theirs.keys()
    assert ours["headers"] == theirs["headers"]
    assert ours["content-type"] == theirs["content-type"]
    for name in ("delivery_mode", "delivery_info", "priority", "body_encoding"):
        assert ours["properties"][name] == theirs["properties"][name]


@pytest.mark.parametrize("told", [EVENT, [EVENT, {**EVENT, "clock": 4}], {**EVENT, "x": {"deep": [1, "ü"]}}])
def test_kombu_reads_what_is_written(told):
    message = json.loads(wire.encode(told, "task.sent", "w1@h"))
    assert kombu_loads(Base64().decode(message["body"]).decode(message["content-encoding"])) == told


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
def test_every_serializer_comes_back(serializer):
    with Celery(set_as_current=False):
        found = wire.decode(wire.encode([EVENT], "task.multi", "h", serializer=serializer), accept=[serializer])
    assert found == [EVENT]


def test_a_serializer_that_is_not_accepted_is_refused():
    found = wire.decode(wire.encode(EVENT, "task.sent", "h", serializer="yaml"), accept=["json"])
    assert isinstance(found, Malformed)
    assert "refusing to read" in found.reason


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", 10**400, {"a": (1, 2)}, [math.nan]])
def test_odd_values_of_a_custom_event_do_not_hurt(value):
    (found,) = wire.decode(wire.encode({**EVENT, "odd": value}, "task.sent", "h"))
    assert found["uuid"] == "a"
    assert "odd" in found


def test_a_value_that_nobody_can_write_is_refused_and_has_a_plain_form():
    event = {**EVENT, "odd": object()}
    with pytest.raises(EncodeError):
        wire.encode(event, "task.sent", "h")
    (found,) = wire.decode(wire.encode(wire.plain(event), "task.sent", "h"))
    assert found["odd"].startswith("<object object")


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"3", b'"text"', b"{", b"\xff\xfe", b"[[[[" * 1000, b'{"a":' * 1000],
)
def test_a_body_that_is_no_event_is_malformed(body):
    assert isinstance(wire.decode(raw(body)), Malformed)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[1, null, [], {}]", b'{"type": 3}', b'[{"type": null}]'])
def test_what_has_no_type_is_left_out(body):
    assert wire.decode(raw(body)) == []


def test_fields_of_wrong_types_are_made_right():
    told = {"type": "x", "hostname": 3, "timestamp": "now", "clock": [], "utcoffset": {}, "pid": True}
    (found,) = wire.decode(raw(json.dumps(told).encode()))
    assert found == {"type": "x", "hostname": "h", "timestamp": 0.0, "clock": 0, "utcoffset": 0.0, "pid": 0}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_no_json_can_raise(value):
    found = wire.decode(raw(json.dumps(value).encode()))
    assert isinstance(found, (list, Malformed))


@given(st.binary())
def test_no_bytes_can_raise(data):
    assert isinstance(wire.decode(data), Malformed)
    assert isinstance(wire.decode(raw(data)), (list, Malformed))


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3).map(lambda more: {**more, **EVENT}), max_size=3))
def test_any_event_comes_back_equal(events):
    found = wire.decode(wire.encode(events, "task.multi", "h"))
    assert json.dumps(found) == json.dumps(events)
