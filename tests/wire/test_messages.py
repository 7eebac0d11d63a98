"""The corners of messages: old protocols, moments, priorities, redelivery, registered serializers."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest

from skirret import serializers
from skirret.errors import BackendGetMetaError, ContentDisallowed, DecodeError, EncodeError, ImproperlyConfigured
from skirret.message import Envelope, Malformed, Publication, Route, TaskMessage
from skirret.meta import ResultMeta
from skirret.serializers import compression
from skirret.wire import envelope, results, task
from tests.wire import peers

MESSAGES = {case["name"]: case["raw"] for case in peers.golden_messages()}


def changed(name: str, **parts) -> bytes:
    whole = json.loads(MESSAGES[name])
    for key, value in parts.items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            whole[key].update(value)
        else:
            whole[key] = value
    return json.dumps(whole).encode()


def legacy(body: dict, headers: dict | None = None) -> bytes:
    return changed("v1 plain", body=base64.b64encode(json.dumps(body).encode()).decode(), headers=headers or {})


def read(raw: bytes, **options) -> TaskMessage:
    message = task.decode(envelope.decode(raw).envelope, **options)
    assert isinstance(message, TaskMessage), message
    return message


def test_a_hybrid_of_protocols_1_and_2_takes_the_headers_word():
    body = {"task": "old", "id": "b", "args": [1], "kwargs": {}, "retries": 1, "eta": None, "callbacks": None}
    raw = legacy(body, {"task": "new", "id": "h", "root_id": "r", "retries": 4})
    message = read(raw)
    assert (message.task, message.id, message.root_id, message.retries, message.args) == ("new", "h", "r", 4, (1,))
    head = envelope.head(raw)
    assert (head.task, head.id, head.retries, head.legacy) == ("new", "h", 4, False)


def test_protocol_1_without_args_means_none():
    message = read(legacy({"task": "t", "id": "x"}))
    assert (message.args, message.kwargs, message.retries, message.timelimit) == ((), {}, 0, (None, None))


def test_the_taskset_of_protocol_1_is_the_group():
    assert read(legacy({"task": "t", "id": "x", "taskset": "g"})).group == "g"


def test_a_moment_of_protocol_1_without_offset_is_utc_if_it_says_so_and_local_if_not():
    body = {"task": "t", "id": "x", "eta": "2031-05-06T07:08:09"}
    naive = dt.datetime(2031, 5, 6, 7, 8, 9)
    assert read(legacy({**body, "utc": True})).eta == naive.replace(tzinfo=dt.UTC)
    assert read(legacy({**body, "utc": False})).eta == naive.astimezone()
    assert isinstance(envelope.head(legacy({**body, "eta": "soon", "utc": False})), Malformed)


@pytest.mark.parametrize(
    "text", ["2031-05-06T07:08:09Z", "2031-05-06 07:08:09+00:00", "20310506T070809", "2031-05-06T09:08:09+02:00"]
)
def test_a_moment_is_read_in_every_form_of_iso_8601(text):
    assert task.moment(text) == dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert task.moment(text).tzinfo is not None


@pytest.mark.parametrize(
    "text", ["", "soon", None, 17, "2031-13-01", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(DecodeError, match="ISO 8601"):
        task.moment(text)


@pytest.mark.parametrize("told, found", [(7, 7), (99, 9), (-3, 0), (None, 0), ("5", 5), ("high", 0), ([], 0), (2.9, 2)])
def test_a_priority_is_brought_between_0_and_9(told, found):
    raw = changed("plain", properties={"priority": told})
    assert envelope.head(raw).priority == found
    assert read(raw).priority == found


def test_a_redelivery_is_seen_wherever_kombu_writes_it():
    assert not envelope.decode(MESSAGES["plain"].encode()).redelivered
    info = {"exchange": "", "routing_key": "celery", "redelivered": True}
    assert envelope.decode(changed("plain", properties={"delivery_info": info})).redelivered
    assert envelope.decode(changed("plain", headers={"redelivered": True})).redelivered
    assert envelope.decode(changed("plain", redelivered=True)).redelivered


def test_a_body_that_a_transport_left_as_text_is_read():
    body = '[[2,3],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
    raw = changed("plain", body=body, properties={"body_encoding": None})
    assert read(raw).args == (2, 3)
    assert envelope.head(raw).task == "capapp.add"


def test_each_publication_has_its_own_delivery_tag():
    sent = Publication(envelope=task.encode(TaskMessage(task="t", id="x")), route=Route(queue="q"), task_id="x")
    tags = {envelope.decode(envelope.encode(sent)).delivery_tag for _ in range(50)}
    assert len(tags) == 50
    assert "" not in tags


def test_the_route_is_in_the_delivery_info():
    sent = task.encode(TaskMessage(task="t", id="x"))
    for route, told in (
        (Route(queue="q"), ("", "q")),
        (Route(queue="q", exchange="ex", routing_key="a.b"), ("ex", "a.b")),
    ):
        found = envelope.decode(envelope.encode(Publication(envelope=sent, route=route, task_id="x")))
        assert (found.exchange, found.routing_key) == told


def test_a_naive_moment_is_sent_as_local_time():
    naive = dt.datetime(2031, 5, 6, 7, 8, 9)
    sent = task.encode(TaskMessage(task="t", id="x", eta=naive))
    assert task.moment(sent.headers["eta"]) == naive.astimezone()


def test_a_moment_that_came_as_a_tagged_datetime_is_read():
    tagged = {"__type__": "datetime", "__value__": "2031-05-06T07:08:09"}
    raw = changed("plain", headers={"eta": tagged})
    assert read(raw).eta == dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert envelope.head(raw).eta == "2031-05-06T07:08:09+00:00"


def test_the_id_is_the_correlation_id_unless_another_is_given():
    assert task.encode(TaskMessage(task="t", id="x")).correlation_id == "x"
    assert task.encode(TaskMessage(task="t", id="x", correlation_id="c")).correlation_id == "c"


def test_an_envelope_that_is_too_large_is_refused_where_the_broker_asks():
    sent = Publication(envelope=Envelope(headers={}, body=b"x" * 1000), route=Route(queue="q"), task_id="x")
    with pytest.raises(EncodeError, match="message_max_bytes"):
        envelope.encode(sent, max_bytes=1000)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"task": ""}, "name"),
        ({"id": "x" * 2000}, "id"),
        ({"retries": -1}, "retries"),
        ({"timelimit": (float("nan"), None)}, "timelimit"),
        ({"group": "\0"}, "group"),
        ({"args": (object(),)}, "object"),
        ({"kwargs": {"a": {1, 2}}}, "set"),
    ],
)
def test_a_call_that_no_reader_would_take_is_refused_with_the_reason(changes, word):
    with pytest.raises(EncodeError, match=word):
        task.encode(TaskMessage(**{"task": "t", "id": "x", **changes}))


def test_pickle_is_written_only_if_it_is_accepted():
    message = TaskMessage(task="t", id="x", args=(object(),))
    for accept in (None, ["json"]):
        with pytest.raises(ContentDisallowed, match="accept_content"):
            task.encode(message, serializer="pickle", accept=accept)
    for accept in (["pickle"], {"application/x-python-serialize"}):
        assert task.encode(message, serializer="pickle", accept=accept).content_type == "application/x-python-serialize"


def test_every_serializer_is_read_only_if_it_is_accepted():
    for name in ("msgpack", "yaml", "pickle"):
        content_type, content_encoding, body = serializers.dumps([1], name, accept=[name])
        with pytest.raises(ContentDisallowed, match=name):
            serializers.loads(body, content_type, content_encoding)
        assert serializers.loads(body, content_type, content_encoding, [name]) == [1]
        assert serializers.loads(body, content_type, content_encoding, [content_type]) == [1]


@pytest.fixture
def shout():
    serializers.register(
        "shout",
        lambda value: json.dumps(value).upper(),
        lambda body: json.loads(body.decode().lower()),
        "application/x-shout",
    )
    yield "shout"
    serializers.unregister("shout")


def test_a_serializer_of_the_users_carries_tasks_and_results(shout):
    assert shout in serializers.names()
    sent = task.encode(TaskMessage(task="t", id="x", args=("abc",)), serializer=shout)
    assert sent.content_type == "application/x-shout"
    assert b'"ABC"' in sent.body
    assert task.decode(sent, accept=[shout]).args == ("abc",)
    assert isinstance(task.decode(sent), Malformed)
    payload = results.encode(ResultMeta(task_id="t", status="started"), serializer=shout)
    assert results.decode(payload, accept=[shout], serializer=shout).status == "started"


def test_a_serializer_of_the_users_that_fails_gives_our_errors():
    def fail(value):
        raise ZeroDivisionError("oops")

    serializers.register("broken", fail, fail, "application/x-broken")
    try:
        with pytest.raises(EncodeError, match="oops"):
            serializers.dumps(1, "broken")
        with pytest.raises(DecodeError, match="oops"):
            serializers.loads(b"1", "application/x-broken", accept=["broken"])
    finally:
        serializers.unregister("broken")


def test_an_unknown_name_is_answered_with_a_near_one():
    with pytest.raises(ImproperlyConfigured, match="did you mean 'json'"):
        serializers.dumps(1, "jsn")
    with pytest.raises(ImproperlyConfigured, match="Known: brotli, bzip"):
        compression.compress(b"", "gzp")


def test_a_result_in_another_serializer_says_which_setting_to_look_at():
    payload = results.encode(ResultMeta(task_id="t", status="SUCCESS", result=1), serializer="msgpack")
    with pytest.raises(BackendGetMetaError, match="result_serializer here is 'json'"):
        results.decode(payload)


def test_a_finished_state_has_a_date_and_an_unfinished_one_has_not():
    def date_of(status):
        return results.decode(results.encode(ResultMeta(task_id="t", status=status))).date_done

    assert task.moment(date_of("SUCCESS")) <= dt.datetime.now(dt.UTC)
    assert date_of("STARTED") is None
    assert date_of("PROGRESS") is None


def test_a_stamp_cannot_take_the_place_of_a_field():
    meta = ResultMeta(task_id="t", status="SUCCESS", result=1, stamps={"status": "FAILURE", "mine": 2})
    found = results.decode(results.encode(meta, extended=True))
    assert (found.status, found.stamps["mine"]) == ("SUCCESS", 2)


def test_a_result_larger_than_the_bound_is_neither_written_nor_read():
    meta = ResultMeta(task_id="t", status="SUCCESS", result="x" * 1000)
    payload = results.encode(meta, max_bytes=2000)
    with pytest.raises(EncodeError, match="store it elsewhere"):
        results.encode(meta, max_bytes=1000)
    with pytest.raises(BackendGetMetaError, match="at most 1000"):
        results.decode(payload, max_bytes=1000)


def test_a_failure_is_told_in_what_its_serializer_can_hold():
    moment = dt.datetime(2031, 5, 6, tzinfo=dt.UTC)
    meta = ResultMeta(task_id="t", status="FAILURE", result=ValueError("late", moment))
    in_json = results.decode(results.encode(meta)).result
    in_msgpack = results.decode(
        results.encode(meta, serializer="msgpack"), accept=["msgpack"], serializer="msgpack"
    ).result
    assert in_json.args == ("late", moment)
    assert in_msgpack.args[0] == "late"
    assert "2031" in in_msgpack.args[1]
