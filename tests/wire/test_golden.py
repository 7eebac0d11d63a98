"""What real Celery wrote is read to the values that real Celery reads from it."""

from __future__ import annotations

import datetime as dt

import pytest

from skirret.message import Malformed, TaskMessage
from skirret.serializers import STRICT
from skirret.wire import envelope, results, task
from tests.wire import peers

MESSAGES = peers.golden_messages()
RESULTS = peers.golden_results()


def ids(case):
    return case["name"]


def read(raw: bytes) -> tuple[envelope.Received, TaskMessage]:
    received = envelope.decode(raw)
    assert not isinstance(received, Malformed), received
    message = task.decode(received.envelope, accept=peers.EVERY)
    assert not isinstance(message, Malformed), message
    return received, message


@pytest.mark.parametrize("case", MESSAGES, ids=ids)
def test_a_message_of_celery_has_the_arguments_that_celery_reads(case):
    _, message = read(case["raw"].encode())
    peer = peers.as_kombu_sees(case["raw"]).decode()
    if isinstance(peer, dict):
        wanted = [peer["args"], peer["kwargs"], peer["callbacks"], peer["errbacks"], None, peer["chord"]]
    else:
        args, kwargs, embed = peer
        wanted = [args, kwargs, embed["callbacks"], embed["errbacks"], embed["chain"], embed["chord"]]
    found = [message.args, message.kwargs, message.callbacks, message.errbacks, message.chain, message.chord]
    assert peers.same(found, wanted)


@pytest.mark.parametrize("case", MESSAGES, ids=ids)
def test_a_message_of_celery_has_the_fields_that_celery_reads(case):
    received, message = read(case["raw"].encode())
    peer = peers.as_kombu_sees(case["raw"])
    fields = peer.headers if "task" in peer.headers else peer.decode()
    assert message.task == fields["task"]
    assert message.id == fields["id"]
    assert message.retries == fields["retries"]
    assert list(message.timelimit) == list(fields["timelimit"])
    assert message.group == fields["group"]
    assert message.group_index == fields["group_index"]
    assert message.root_id == fields.get("root_id")
    assert message.parent_id == fields.get("parent_id")
    assert message.ignore_result == fields.get("ignore_result", False)
    assert message.shadow == fields.get("shadow")
    assert message.stamps == fields.get("stamps", {})
    assert message.stamped_headers == fields.get("stamped_headers")
    assert message.priority == peer.properties["priority"]
    assert message.correlation_id == peer.properties["correlation_id"]
    assert (message.reply_to or "") == peer.properties["reply_to"]
    assert received.routing_key == case["routing_key"] == peer.delivery_info["routing_key"]
    assert received.exchange == peer.delivery_info["exchange"]
    assert received.delivery_tag == peer.delivery_tag
    assert received.envelope.expiration == peer.properties.get("expiration")
    for told, found in ((fields["eta"], message.eta), (fields["expires"], message.expires)):
        assert (found is None) == (told is None)
        if told is not None:
            wanted = dt.datetime.fromisoformat(told)
            assert found == (wanted if wanted.tzinfo else wanted.replace(tzinfo=dt.UTC))


@pytest.mark.parametrize("case", MESSAGES, ids=ids)
def test_the_head_says_what_the_whole_message_says(case):
    raw = case["raw"].encode()
    head = envelope.head(raw, accept=peers.EVERY)
    assert not isinstance(head, Malformed), head
    received, message = read(raw)
    assert (head.task, head.id, head.retries, head.group) == (message.task, message.id, message.retries, message.group)
    assert (head.root_id, head.parent_id) == (message.root_id, message.parent_id)
    assert tuple(head.timelimit) == tuple(message.timelimit)
    assert (head.eta and task.moment(head.eta)) == message.eta
    assert (head.expires and task.moment(head.expires)) == message.expires
    assert head.ignore_result == message.ignore_result
    assert head.priority == message.priority
    assert head.content_type == received.envelope.content_type
    assert head.compression == received.envelope.headers.get("compression")
    assert head.stamped_headers == message.stamped_headers
    assert (head.stamps or {}) == message.stamps
    assert (head.argsrepr, head.kwargsrepr) == (message.argsrepr, message.kwargsrepr)
    assert (head.origin, head.shadow) == (message.origin, message.shadow)
    assert head.correlation_id == message.correlation_id
    assert (head.reply_to or None) == message.reply_to
    assert head.size == len(raw)
    assert head.legacy == case["name"].startswith("v1")


def test_the_callers_own_headers_are_apart_from_the_protocols():
    raw = next(case["raw"] for case in MESSAGES if case["name"] == "headers")
    _, message = read(raw.encode())
    moment = dt.datetime(2031, 5, 6, 7, 8, 9, 101112, tzinfo=dt.UTC)
    assert message.headers == {"x-my": "h", "n": 1, "at": moment}


def test_pickle_is_refused_unless_it_is_accepted():
    raw = next(case["raw"] for case in MESSAGES if case["name"] == "serializer pickle")
    received = envelope.decode(raw.encode())
    refused = task.decode(received.envelope, accept=["json"])
    assert isinstance(refused, Malformed)
    assert "accept_content" in refused.reason


@pytest.mark.parametrize("case", [c for c in MESSAGES if "serializer" not in c["name"]], ids=ids)
def test_the_strict_profile_takes_what_celery_writes_within_its_alphabet(case):
    head = envelope.head(case["raw"].encode(), limits=STRICT, accept=peers.EVERY)
    assert isinstance(head, Malformed) == (case["name"] == "free id")


@pytest.mark.parametrize("case", RESULTS, ids=ids)
def test_a_result_of_celery_is_read_as_celery_reads_it(case):
    found = results.decode(case["payload"], accept=peers.EVERY, serializer=case["serializer"])
    peer = peers.celery_store(case["serializer"]).decode_result(case["payload"])
    for name in ("status", "traceback", "children", "task_id"):
        assert peers.same(getattr(found, name), peer[name]), name
    for name in ("group_id", "parent_id", "name", "args", "kwargs", "worker", "retries", "queue"):
        assert peers.same(getattr(found, name), peer.get(name)), name
    assert found.stamps == ({"monitoring_id": "m1"} if "monitoring_id" in peer else {})
    assert found.date_done == peer["date_done"]
    assert peers.same(found.result, peer["result"])
    if isinstance(peer["result"], BaseException):
        assert type(found.result).__name__ == type(peer["result"]).__name__.rpartition(".")[2]


def test_every_kind_of_exception_of_celery_becomes_its_counterpart():
    from skirret import errors

    wanted = {
        "failure": ValueError,
        "failure without arguments": KeyError,
        "failure of the system": FileNotFoundError,
        "revoked": errors.TaskRevokedError,
        "retry": OSError,
        "lost": errors.WorkerLostError,
        "limit": errors.TimeLimitExceeded,
        "odd failure": errors.RemoteError,
        "inner failure": errors.RemoteError,
        "unwritable failure": RuntimeError,
    }
    for case in RESULTS:
        kind = wanted.get(case["name"].partition(",")[0])
        if kind is not None and case["serializer"] == "json":
            found = results.decode(case["payload"]).result
            assert isinstance(found, kind), (case["name"], found)
