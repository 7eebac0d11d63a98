"""A result as a message: what is sent is what is read, and what Celery sends is read as well."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skirret import states
from skirret.backends.rpc import letter
from skirret.message import Record
from skirret.stores.amqp import content
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.session import Arrived
from skirret.wire.results import MAGIC

JSON = ("application/json", "utf-8")


def arrived(header, body):
    return Arrived("results", 1, False, "", "mine", header, body)


def there_and_back(record):
    sent = letter.outgoing(record, *JSON, 1)
    assert sent is not None
    return letter.read(arrived(sent.header, sent.body))


@given(
    st.text(min_size=1, max_size=400).filter(lambda text: "\0" not in text),
    st.text(min_size=1, max_size=300).filter(lambda text: "\0" not in text)
    | st.sampled_from(sorted(states.ALL_STATES)),
    st.binary(max_size=200),
    st.none() | st.floats(0.001, 4e6),
)
def test_what_is_sent_is_what_is_read(task_id, state, payload, ttl):
    payload = b'{"status": ' + json.dumps(state, ensure_ascii=False).encode() + b"}" + payload
    found = there_and_back(Record(task_id=task_id, state=state, payload=payload, ttl=ttl, reply_to="mine"))
    assert found is not None
    assert (found.task_id, found.payload) == (task_id, payload)
    if len(state.encode()) <= 255:
        assert found.state == state
    assert found.ttl is None if ttl is None else found.ttl == pytest.approx(ttl, abs=0.001)


def test_a_message_is_celerys():
    sent = letter.outgoing(Record(task_id="one", state="SUCCESS", payload=b"{}", reply_to="mine"), *JSON, 2)
    assert sent is not None
    told = content.decode(sent.header)
    assert (sent.exchange, sent.routing_key, sent.body, sent.mandatory) == (b"\0", b"\4mine", b"{}", False)
    assert (told.correlation_id, told.content_type, told.content_encoding, told.delivery_mode) == ("one", *JSON, 2)
    assert told.headers == {}


def test_a_compressed_result_is_compressed_as_kombu_says_it():
    payload = MAGIC + b"application/x-gzip\0abc"
    record = Record(task_id="one", state="SUCCESS", payload=payload, reply_to="mine")
    sent = letter.outgoing(record, *JSON, 1)
    assert sent is not None
    assert sent.body == b"abc"
    assert content.decode(sent.header).headers == {"compression": "application/x-gzip"}
    found = there_and_back(record)
    assert found is not None
    assert found.payload == payload


@pytest.mark.parametrize("reply_to", [None, "", "x" * 256, "\ud800"])
def test_what_has_no_address_is_not_sent(reply_to):
    assert letter.outgoing(Record(task_id="one", state="SUCCESS", payload=b"", reply_to=reply_to), *JSON, 1) is None


@pytest.mark.parametrize(
    "payload",
    [
        b'{"status": "FAILURE", "result": 1}',
        b'{"result": 1, "status": "FAILURE"}',
        b"children: []\nstatus: FAILURE\nx: 1\n",
    ],
)
def test_the_state_of_celerys_message_is_in_its_body(payload):
    header = content.encode(Content(correlation_id="one", content_type="application/json"), len(payload))
    found = letter.read(arrived(header, payload))
    assert found == letter.Letter("one", "FAILURE", payload, None)


@pytest.mark.parametrize(
    "header", [b"", b"\0" * 5, content.encode(Content(), 0), content.encode(Content(headers={"id": 3}), 0)]
)
def test_what_is_no_result_is_told_apart(header):
    assert letter.read(arrived(header, b"")) is None


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_raise(header, body):
    letter.read(arrived(header, body))


@pytest.mark.parametrize("seconds, expected", [(0.0, 1), (1e-9, 1), (1.5, 1500), (1e12, 2**32 - 1)])
def test_a_life_is_one_that_the_server_counts(seconds, expected):
    assert letter.milliseconds(seconds) == expected
