"""Remote commands and replies are read and written as kombu's nodes do, and no bytes can raise."""

from __future__ import annotations

import base64
import json
import time

import kombu.pidbox
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skirret.message import Malformed
from skirret.wire import commands
from skirret.wire.commands import Reply, Request

REQUEST = (
    b'{"body": "eyJtZXRob2QiOiAicGluZyIsICJhcmd1bWVudHMiOiB7fSwgImRlc3RpbmF0aW9uIjogbnVsbCwgInBhdHRlcm4iOiAidyoiLCAib'
    b"WF0Y2hlciI6ICJnbG9iIiwgInRpY2tldCI6ICIyNGE1YjU0OC1lZThjLTRhNWYtYjIyNC0xODk2NGEzOTI5NWQiLCAicmVwbHlfdG8iOiB7ImV4"
    b"Y2hhbmdlIjogInJlcGx5LmNlbGVyeS5waWRib3giLCAicm91dGluZ19rZXkiOiAiY2ZjZmYxNDQtNzI2Ni0zOWZhLWE4YjEtNzc2YjU4NmE3Njg"
    b'xIn19", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"clock": 158, "expires": '
    b'1795734206.955436}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "celery.pidbox", '
    b'"routing_key": ""}, "priority": 0, "body_encoding": "base64", "delivery_tag": "0968185c"}}'
)
"""A ping of Celery 5.7, as it passed through Redis."""

REPLY = (
    b'{"body": "eyJ3MUBoIjogeyJvayI6ICJwb25nIn19", "content-encoding": "utf-8", "content-type": "application/json", '
    b'"headers": {"ticket": "387a0681-bc22-4e47-8a65-19b3a50ba416", "clock": 3}, "properties": {"delivery_mode": 1, '
    b'"delivery_info": {"exchange": "reply.celery.pidbox", "routing_key": "74018c1f"}, "priority": 0, '
    b'"body_encoding": "base64", "delivery_tag": "b96f2a37"}}'
)

REQUESTS, REPLIES = "celery.pidbox", "reply.celery.pidbox"


def test_a_request_of_celery_is_read():
    assert commands.decode_request(REQUEST) == Request(
        method="ping",
        pattern="w*",
        matcher="glob",
        ticket="24a5b548-ee8c-4a5f-b224-18964a39295d",
        reply_to=(REPLIES, "cfcff144-7266-39fa-a8b1-776b586a7681"),
        clock=158,
        expires=1795734206.955436,
    )


def test_a_reply_of_celery_is_read():
    ticket = "387a0681-bc22-4e47-8a65-19b3a50ba416"
    assert commands.decode_reply(REPLY) == Reply(values={"w1@h": {"ok": "pong"}}, ticket=ticket, clock=3)


def test_what_we_write_has_the_fields_that_celery_writes():
    request = commands.decode_request(REQUEST)
    theirs, ours = json.loads(REQUEST), json.loads(commands.encode_request(request, REQUESTS))
    assert json.loads(base64.b64decode(ours["body"])) == json.loads(base64.b64decode(theirs["body"]))
    assert ours["headers"] == theirs["headers"]
    assert ours["properties"]["delivery_info"] == theirs["properties"]["delivery_info"]
    assert ours["properties"].keys() >= theirs["properties"].keys()
    theirs, ours = (
        json.loads(REPLY),
        json.loads(commands.encode_reply(commands.decode_reply(REPLY), REPLIES, "74018c1f")),
    )
    assert json.loads(base64.b64decode(ours["body"])) == json.loads(base64.b64decode(theirs["body"]))
    assert ours["headers"] == theirs["headers"]
    assert ours["properties"]["delivery_info"] == theirs["properties"]["delivery_info"]
    assert ours["properties"]["delivery_mode"] == 1


def test_the_names_are_those_of_kombu():
    theirs = kombu.pidbox.Mailbox("celery", type="fanout")
    assert commands.exchanges("celery") == (theirs.exchange.name, theirs.reply_exchange.name)
    assert commands.mailbox("w1@h", REQUESTS) == theirs.get_queue("w1@h").name


def test_a_request_that_wants_no_reply_names_no_place_for_one():
    told = json.loads(commands.encode_request(Request(method="shutdown"), REQUESTS))
    assert base64.b64decode(told["body"]) == (
        b'{"method":"shutdown","arguments":{},"destination":null,"pattern":null,"matcher":null}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"1", b'"ping"', b"{}", b'{"method": 1}', b'{"method": "x", "arguments": [1]}',
        b'{"method": "x", "destination": "w1@h"}', b'{"method": "x", "destination": [1]}',
        b'{"method": "x", "reply_to": "there"}', b'{"method": "x", "reply_to": {"exchange": 1, "routing_key": []}}',
        b'{"method": "x", "pattern": 5}', b"\xff\xfe", b"[" * 100_000, b'{"method": "x", "ticket": {}}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_command_is_malformed(body):
    assert isinstance(commands.decode_request(enveloped(body)), Malformed)


def enveloped(body: bytes, content_type: str = "application/json", **headers: object) -> bytes:
    told = json.loads(REQUEST)
    told.update({"body": base64.b64encode(body).decode(), "content-type": content_type, "headers": headers})
    return json.dumps(told).encode()


def test_no_code_runs_for_a_command_or_a_reply():
    import os
    import pickle

    class Evil:
        def __reduce__(self):
            return os.abort, ()

    for content_type in ("application/x-python-serialize", "application/x-yaml", "application/data"):
        raw = enveloped(pickle.dumps(Evil()), content_type)
        assert isinstance(commands.decode_request(raw), Malformed)
        assert isinstance(commands.decode_reply(raw), Malformed)


def test_a_request_that_is_too_large_is_not_read():
    big = b'{"method": "' + b"x" * commands.MAX_REQUEST + b'"}'
    assert isinstance(commands.decode_request(enveloped(big)), Malformed)


@given(st.binary(max_size=300))
def test_random_bytes_never_raise(raw):
    for made in (raw, enveloped(raw)):
        commands.decode_request(made)
        commands.decode_reply(made)


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
def test_a_damaged_request_never_raises(at, byte):
    damaged = bytearray(REQUEST)
    damaged[at] = byte
    found = commands.decode_request(bytes(damaged))
    assert isinstance(found, (Request, Malformed))
    assert isinstance(commands.decode_reply(bytes(damaged)), (Reply, Malformed))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.text(min_size=1, max_size=20),
    st.dictionaries(st.text(max_size=8), json_values, max_size=4),
    st.none() | st.lists(st.text(max_size=10), max_size=3),
    st.none() | st.floats(1, 2e9),
)
def test_a_request_comes_back_as_it_was_written(method, arguments, destination, expires):
    request = Request(
        method=method,
        arguments=arguments,
        destination=destination,
        ticket="t",
        reply_to=(REPLIES, "k"),
        expires=expires,
    )
    assert commands.decode_request(commands.encode_request(request, REQUESTS)) == request


@pytest.mark.parametrize(
    "pattern, matcher, hit",
    [
        ("w*", "glob", True), ("x*", "glob", False), ("w?@h", None, True), ("w.@h", "pcre", True),
        ("w.@x", "pcre", False), ("(", "pcre", False), ("w*", "nothing", False), ("w1@h", "glob", True),
    ],
)  # fmt: skip
def test_a_pattern_means_the_nodes_whose_names_match(pattern, matcher, hit):
    assert commands.matches(pattern, matcher, "w1@h") is hit


@pytest.mark.parametrize("matcher", ["glob", "pcre"])
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "a*" * 40 + "b", "*a" * 60, "((a*)*)*b", "x" * 10_000])
def test_a_hostile_pattern_takes_no_time(pattern, matcher):
    start = time.monotonic()
    assert not commands.matches(pattern, matcher, "a" * 60 + "!")
    assert time.monotonic() - start < 0.5


def test_a_request_that_expires_at_0_never_does():
    told = json.loads(REQUEST)
    told["headers"]["expires"] = 0
    request = commands.decode_request(json.dumps(told).encode())
    assert request.expires is None
    assert json.loads(commands.encode_request(request, REQUESTS))["headers"]["expires"] == 0


def test_a_request_is_late_after_its_time():
    assert Request(method="x", expires=time.time() - 1).is_late()
    assert not Request(method="x", expires=time.time() + 60).is_late()
    assert not Request(method="x").is_late()
