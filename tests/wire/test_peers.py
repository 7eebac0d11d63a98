"""What Skirret writes is read by the installed Celery and kombu to the same values."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from celery import exceptions as theirs
from celery.worker.request import Request
from hypothesis import given
from hypothesis import strategies as st

from skirret import errors
from skirret.message import Publication, Route, TaskMessage
from skirret.meta import ResultMeta
from skirret.wire import envelope, exceptions, results, task
from tests.wire import peers
from tests.wire.values import MOMENT, dialect_values, plain


def sent(message: TaskMessage, **options) -> bytes:
    route = Route(queue="celery", exchange="", routing_key="celery")
    return envelope.encode(
        Publication(envelope=task.encode(message, **options), route=route, task_id=message.id, nonce="n")
    )


def worker_request(raw: bytes) -> Request:
    app = peers.celery_app()
    return Request(peers.as_kombu_sees(raw), app=app, hostname="peer", task=app.tasks["capapp.add"])


FULL = TaskMessage(
    task="capapp.add",
    id="order 17/ä",
    args=(1, [2, {"a": None}]),
    kwargs={"k": "ü"},
    callbacks=[{"task": "cb", "args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}],
    errbacks=[{"task": "eb", "args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": True}],
    chain=[{"task": "next", "args": [], "kwargs": {}, "options": {"task_id": "n"}}],
    chord={"task": "body", "args": [], "kwargs": {}, "options": {"task_id": "b", "group_id": "g"}},
    eta=MOMENT,
    expires=MOMENT + dt.timedelta(hours=1),
    retries=2,
    timelimit=(30, 12.5),
    root_id="r",
    parent_id="p",
    group="g",
    group_index=3,
    shadow="shown",
    argsrepr="(1, ...)",
    kwargsrepr="{}",
    origin="gen1@host",
    ignore_result=True,
    replaced_task_nesting=1,
    stamped_headers=["s"],
    stamps={"s": "1"},
    headers={"x-my": "h", "at": MOMENT},
    correlation_id="order 17/ä",
    reply_to="somewhere",
    priority=7,
)


@pytest.mark.parametrize("serializer", peers.EVERY)
@pytest.mark.parametrize("method", [None, "gzip", "bzip2", "lzma", "brotli"])
def test_a_celery_worker_reads_our_message(serializer, method):
    raw = sent(FULL, serializer=serializer, compression=method, accept=peers.EVERY)
    request = worker_request(raw)
    assert request.id == FULL.id
    assert request.task.name == FULL.task
    assert request.name == "shown"
    assert peers.same(request.args, FULL.args)
    assert request.kwargs == FULL.kwargs
    assert request.eta == FULL.eta
    assert request.expires == FULL.expires
    assert list(request.time_limits) == [30, 12.5]
    assert request.root_id == "r"
    assert request.parent_id == "p"
    assert request.group == "g"
    assert request.group_index == 3
    assert request.chord == FULL.chord
    assert request.errbacks == FULL.errbacks
    assert request.ignore_result is True
    assert request.stamps == {"s": "1"}
    assert request.reply_to == "somewhere"
    assert request.correlation_id == FULL.id
    assert request.delivery_info["priority"] == 7
    assert request.delivery_info["routing_key"] == "celery"
    assert request.request_dict["x-my"] == "h"
    assert request.request_dict["at"] == MOMENT
    assert request.request_dict["retries"] == 2
    assert request.argsrepr == "(1, ...)"


@pytest.mark.parametrize("serializer", peers.EVERY)
@pytest.mark.parametrize("method", [None, "gzip", "zstd"])
def test_our_own_message_comes_back_whole(serializer, method):
    raw = sent(FULL, serializer=serializer, compression=method, accept=peers.EVERY)
    received = envelope.decode(raw)
    assert task.decode(received.envelope, accept=peers.EVERY) == FULL


@given(args=st.lists(dialect_values, max_size=3), kwargs=st.dictionaries(st.text(), dialect_values, max_size=3))
def test_any_arguments_reach_celery_and_us_alike(args, kwargs):
    raw = sent(TaskMessage(task="capapp.add", id="x", args=tuple(args), kwargs=kwargs))
    peer_args, peer_kwargs, _ = peers.as_kombu_sees(raw).decode()
    ours = task.decode(envelope.decode(raw).envelope, accept=["json"])
    assert peers.same(peer_args, args)
    assert peers.same(peer_kwargs, kwargs)
    assert peers.same(ours.args, args)
    assert peers.same(ours.kwargs, kwargs)


@given(headers=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), plain, max_size=3))
def test_any_headers_reach_celery_and_us_alike(headers):
    headers = {f"x-{key}": value for key, value in headers.items()}
    try:
        json.dumps(headers, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate in a header is refused by the reader, as another test says
    raw = sent(TaskMessage(task="capapp.add", id="x", headers=headers))
    peer = peers.as_kombu_sees(raw).headers
    ours = task.decode(envelope.decode(raw).envelope).headers
    assert peers.same(ours, headers)
    assert peers.same({key: peer[key] for key in headers}, headers)
    assert envelope.head(raw).id == "x"


def test_further_properties_reach_celery_and_us_alike_and_replace_none_of_ours():
    given = {"message_id": "m1", "app_id": "shop", "at": MOMENT, "reply_to": "not this", "delivery_tag": "nor this"}
    raw = sent(FULL, properties=given)
    received = envelope.decode(raw)
    peer = peers.as_kombu_sees(raw).properties
    for seen in (peer, received.envelope.properties):
        assert (seen["message_id"], seen["app_id"], seen["at"]) == ("m1", "shop", MOMENT)
    assert received.envelope.properties.keys() == {"message_id", "app_id", "at"}
    assert (peer["reply_to"], received.envelope.reply_to) == ("somewhere", "somewhere")
    assert peer["delivery_tag"] == received.delivery_tag != "nor this"


def test_the_expiration_property_is_in_milliseconds_and_never_negative(monkeypatch):
    monkeypatch.setattr("skirret.clock.wall", lambda: MOMENT.timestamp() - 120)
    soon = task.encode(TaskMessage(task="t", id="x", expires=MOMENT))
    past = task.encode(TaskMessage(task="t", id="x", expires=MOMENT - dt.timedelta(days=1)))
    assert (soon.expiration, past.expiration) == ("120000", "0")


@pytest.mark.parametrize("serializer", peers.EVERY)
@pytest.mark.parametrize("method", [None, "gzip"])
@pytest.mark.parametrize(
    "status, result",
    [
        ("SUCCESS", 5),
        ("SUCCESS", {"a": [1, None, "ü"]}),
        ("STARTED", {"pid": 1, "hostname": "h"}),
        ("PROGRESS", {"n": 3}),
        ("FAILURE", ValueError("bad", 1)),
        ("FAILURE", FileNotFoundError(2, "No such file")),
        ("RETRY", OSError("again")),
    ],
)
def test_celery_reads_our_results(serializer, method, status, result):
    meta = ResultMeta(
        task_id="t", status=status, result=result, traceback="tb", children=[[["c", None], None]], group_id="g",
        parent_id="p", name="capapp.add", args=[1], kwargs={"k": 2}, worker="w1@h", retries=1, queue="celery",
        stamps={"monitoring_id": "m1"},
    )  # fmt: skip
    payload = results.encode(meta, serializer=serializer, compression=method, extended=True)
    found = peers.celery_store(serializer, extended=True).decode_result(payload)
    assert found["status"] == status
    assert peers.same(found["result"], result)
    assert type(found["result"]) is type(result)
    assert peers.same(found["children"], [[["c", None], None]])
    assert (found["date_done"] is None) == (status not in ("SUCCESS", "FAILURE"))
    wanted = {"task_id": "t", "group_id": "g", "parent_id": "p", "name": "capapp.add", "worker": "w1@h"}
    wanted |= {"retries": 1, "queue": "celery", "kwargs": {"k": 2}, "traceback": "tb", "args": [1]}
    wanted |= {"stamped_headers": ["monitoring_id"], "monitoring_id": "m1"}
    assert {key: found[key] for key in wanted} == wanted
    ours = results.decode(payload, accept=peers.EVERY, serializer=serializer)
    assert peers.same(ours.result, result)
    assert ours.stamps == meta.stamps
    assert (ours.args, ours.queue, ours.children) == ([1], "celery", [[["c", None], None]])


NAMES = [
    "ImproperlyConfigured",
    "SecurityError",
    "Ignore",
    "Reject",
    "Retry",
    "QueueNotFound",
    "NotRegistered",
    "AlreadyRegistered",
    "InvalidTaskError",
    "IncompleteStream",
    "TimeoutError",
    "MaxRetriesExceededError",
    "TaskRevokedError",
    "ChordError",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "WorkerLostError",
    "Terminated",
    "TimeLimitExceeded",
    "SoftTimeLimitExceeded",
    "OperationalError",
    "TaskError",
    "TaskPredicate",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_an_error_that_both_have_is_each_sides_own_class(name, serializer):
    ours, their_class = getattr(errors, name), getattr(theirs, name)
    store = peers.celery_store(serializer)
    payload = results.encode(ResultMeta(task_id="t", status="FAILURE", result=ours("why")), serializer=serializer)
    assert type(store.decode_result(payload)["result"]) is their_class
    meta = store._get_result_meta(store.encode_result(their_class("why"), "FAILURE"), "FAILURE", None, None)
    told = store.encode({**meta, "task_id": "t"})
    back = results.decode(told.encode() if isinstance(told, str) else told, accept=peers.EVERY, serializer=serializer)
    assert type(back.result) is ours
    if name != "Retry":  # Celery's own does not keep its message in args
        assert back.result.args[0] == "why"


def test_kombus_errors_are_told_under_kombus_names():
    for name in ("EncodeError", "DecodeError", "ContentDisallowed", "SerializationError", "OperationalError"):
        told = exceptions.encode(getattr(errors, name)("x"))
        assert told == {"exc_type": name, "exc_message": ["x"], "exc_module": "kombu.exceptions"}
