"""The reader of usual messages: what it reads, the careful readers read alike; what it does not, it leaves to them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skirret.app.requests import request_of, request_of_usual
from skirret.message import Malformed
from skirret.serializers.limits import MAX_BYTES, STRICT
from skirret.wire import envelope, task, usual

GOLDEN = json.loads((Path(__file__).parent / "golden" / "messages.json").read_text())
RAWS = {case["name"]: case["raw"].encode() for case in GOLDEN["cases"]}


def message(body: Any = None, **changes: Any) -> dict[str, Any]:
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    told = json.dumps([[1, "two"], {"k": 3.5}, embed] if body is None else body).encode()
    headers = {
        "lang": "py", "task": "t", "id": "i", "shadow": None, "eta": None, "expires": None, "group": "g",
        "group_index": 2, "retries": 1, "timelimit": [5, None], "root_id": "r", "parent_id": "p", "argsrepr": "(1,)",
        "kwargsrepr": "{}", "origin": "o", "ignore_result": True, "replaced_task_nesting": 0,
        "stamped_headers": ["s"], "stamps": {"s": 1},
    }  # fmt: skip
    properties = {
        "correlation_id": "c", "reply_to": "q", "delivery_mode": 2, "priority": 4, "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "celery"}, "delivery_tag": "tag",
    }  # fmt: skip
    headers.update(changes.pop("headers", {}))
    properties.update(changes.pop("properties", {}))
    return {
        "body": base64.b64encode(told).decode(), "content-encoding": "utf-8", "content-type": "application/json",
        "headers": headers, "properties": properties, **changes,
    }  # fmt: skip


def raw_of(whole: dict[str, Any]) -> bytes:
    return json.dumps(whole, ensure_ascii=False).encode()


def carefully(raw: bytes) -> Any:
    received = envelope.decode(raw)
    assert not isinstance(received, Malformed), received
    found = task.decode(received.envelope)
    assert not isinstance(found, Malformed), found
    info = {"exchange": "", "routing_key": "celery", "priority": found.priority, "redelivered": True}
    properties = {
        "correlation_id": received.envelope.correlation_id, "reply_to": received.envelope.reply_to,
        "delivery_mode": received.envelope.delivery_mode, "priority": received.envelope.priority,
    }  # fmt: skip
    return request_of(found, delivery_info=info, hostname="w@h", properties=properties, deliveries=1, worker_pid=7)


def test_a_usual_message_makes_the_request_that_the_careful_readers_make_of_it():
    for whole in (message(), message(headers={"group": None, "stamps": {}, "timelimit": [None, None]})):
        raw = raw_of(whole)
        call = usual.read(raw, MAX_BYTES)
        assert call is not None
        assert request_of_usual(call, "celery", 1, "w@h", 7) == carefully(raw)


def test_callbacks_and_chains_of_a_usual_message_arrive():
    signature = {"task": "next", "args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}
    embed = {"callbacks": [signature], "errbacks": [signature], "chain": [signature], "chord": signature}
    raw = raw_of(message([[], {}, embed]))
    call = usual.read(raw, MAX_BYTES)
    assert call is not None
    request = request_of_usual(call, "celery", 1, "w@h", 7)
    assert request == carefully(raw)
    assert (request.callbacks, request.chain, request.chord) == ([signature], [signature], signature)


def test_messages_captured_from_celery_are_read_alike_or_left_to_the_careful_readers():
    read = {name: call for name, raw in RAWS.items() if (call := usual.read(raw, MAX_BYTES)) is not None}
    assert "plain" in read
    for name, call in read.items():
        assert request_of_usual(call, "celery", 1, "w@h", 7) == carefully(RAWS[name]), name


LATER = datetime(2030, 1, 1, tzinfo=UTC).isoformat()


@pytest.mark.parametrize(
    "whole",
    [
        message(headers={"eta": LATER}),
        message(headers={"expires": LATER}),
        message(headers={"x-own": 1}),
        message(headers={"args": [1]}),
        message(headers={"hostname": "spoofed"}),
        message(headers={"id": ""}),
        message(headers={"id": "x" * 1025}),
        message(headers={"retries": -1}),
        message(headers={"timelimit": [-1, None]}),
        message(properties={"app_id": "own"}),
        message(properties={"priority": 12}),
        message(properties={"body_encoding": "utf-8"}),
        message(**{"content-type": "application/x-python-serialize"}),
        message([[], {}]),
        message([[], {}, {"callbacks": None, "own": 1}]),
        message([[{"__type__": "uuid", "__value__": {"hex": "0" * 32}}], {}, None]),
        message(body="not three"),
    ],
    ids=str,
)
def test_what_is_not_usual_is_left_to_the_careful_readers(whole):
    assert usual.read(raw_of(whole), MAX_BYTES) is None


def test_bytes_beyond_a_bound_or_a_stricter_profile_are_left_to_the_careful_readers():
    raw = raw_of(message())
    assert usual.read(raw, len(raw)) is not None
    assert usual.read(raw, len(raw) - 1) is None
    assert usual.read(raw, MAX_BYTES, STRICT) is None
    assert usual.read(b"\xff", MAX_BYTES) is None
    assert usual.read(json.dumps(message(headers={"id": "a\0b"})).encode(), MAX_BYTES) is None


def test_a_head_is_not_fooled_by_headers_that_bear_the_names_of_its_own_fields():
    own = {"size": 5, "legacy": True, "content_type": "text/x", "priority": 9, "reply_to": "x", "correlation_id": "y"}
    found = envelope.head(raw_of(message(headers=own)))
    assert isinstance(found, envelope.Head)
    assert (found.legacy, found.content_type, found.priority) == (False, "application/json", 4)
    assert (found.reply_to, found.correlation_id) == ("q", "c")
    assert found.size > 500
