"""Results of both sides on one Redis server: each reads what the other stored, and neither spoils the other's."""

from __future__ import annotations

import json
import threading
import time

import celery
import pytest
import redis
from celery.result import GroupResult as CeleryGroupResult

from skirret import Skirret, states
from skirret.backends.redis import RedisBackend
from skirret.errors import RemoteError, TaskRevokedError
from skirret.message import Record
from skirret.meta import ResultMeta
from skirret.results import GroupResult
from skirret.stores.redis.results import ResultKeys
from skirret.wire import results as wire
from skirret.wire.told import told_state
from tests.interop.conftest import EVERY, Sides
from tests.interop.fleet import let_go

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")  # redis-py, of Celery's calls

SERIALIZERS = EVERY
COMPRESSIONS = [None, "gzip", "bzip2", "brotli"]
VALUES = {
    states.SUCCESS: {"a": [1, 2.5, None, "ü"], "b": True},
    states.FAILURE: ValueError("bad", 1),
    states.RETRY: KeyError("again"),
    states.REVOKED: None,
    states.STARTED: {"pid": 7, "hostname": "w1@h"},
    states.RECEIVED: None,
    "PROGRESS": {"done": 3, "of": 10},
}


@pytest.fixture
def both(sides: Sides) -> tuple[Skirret, celery.Celery]:
    return sides()


def put(app: Skirret, task_id: str, state: str, result: object, ttl: float | None = 60.0, **fields: object) -> bool:
    conf = app.conf
    payload = wire.encode(
        ResultMeta(task_id=task_id, status=state, result=result, **fields),
        serializer=conf.result_serializer,
        compression=conf.result_compression,
        extended=conf.result_extended,
    )
    return app.backend.store([Record(task_id=task_id, state=state, payload=payload, ttl=ttl)])[0]


def names(client: redis.Redis) -> set[str]:
    return {key.decode() for key in client.scan_iter()}


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("state", VALUES)
def test_celery_reads_our_results_in_every_state(sides, state, serializer):
    ours, theirs = sides(result_serializer=serializer)
    put(ours, "one", state, VALUES[state], traceback="Traceback: here" if state == states.FAILURE else None)
    found = theirs.AsyncResult("one")
    assert found.state == state
    assert found.traceback == ("Traceback: here" if state == states.FAILURE else None)
    if isinstance(VALUES[state], Exception):
        assert type(found.result) is type(VALUES[state])
        assert found.result.args == VALUES[state].args
    elif state != states.REVOKED:
        assert found.result == VALUES[state]


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("state", VALUES)
def test_we_read_celerys_results_in_every_state(sides, state, serializer):
    ours, theirs = sides(result_serializer=serializer)
    value = celery.exceptions.TaskRevokedError("revoked") if state == states.REVOKED else VALUES[state]
    theirs.backend.store_result("one", value, state, traceback="there" if state == states.FAILURE else None)
    found = ours.AsyncResult("one")
    assert found.state == state
    assert found.traceback == ("there" if state == states.FAILURE else None)
    if state == states.REVOKED:
        assert isinstance(found.result, TaskRevokedError | celery.exceptions.TaskRevokedError)
    elif isinstance(value, Exception):
        assert type(found.result) is type(value)
        assert found.result.args == value.args
    else:
        assert found.result == value


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("extended", [False, True])
def test_compressed_and_extended_results_are_read_both_ways(sides, compression, extended):
    ours, theirs = sides(result_compression=compression, result_extended=extended)
    value = ["x" * 5000]
    put(ours, "ours", states.SUCCESS, value, name="t", args=[1], kwargs={"k": 2}, worker="w@h", retries=3, queue="q")
    theirs.backend.store_result("theirs", value, states.SUCCESS)
    assert theirs.AsyncResult("ours").get(timeout=5) == value
    assert ours.AsyncResult("theirs").get(timeout=5) == value
    if extended:
        found = theirs.AsyncResult("ours")
        assert (found.name, found.args, found.kwargs, found.worker) == ("t", [1], {"k": 2}, "w@h")
        assert (found.retries, found.queue) == (3, "q")


def test_an_exception_whose_class_is_not_here_keeps_its_name_and_arguments(both, client):
    ours, _ = both
    told = {"exc_type": "Strange", "exc_message": ["so", 1], "exc_module": "no.such.module"}
    meta = {"status": "FAILURE", "result": told, "traceback": "x", "children": [], "task_id": "one"}
    client.set("celery-task-meta-one", json.dumps(meta))
    error = ours.AsyncResult("one").result
    assert isinstance(error, RemoteError)
    assert (error.exc_type, error.exc_module, error.args) == ("Strange", "no.such.module", ("so", 1))


def test_each_side_is_woken_by_the_others_results(both, client):
    ours, theirs = both
    got = {}

    def wait(name, app):
        got[name] = (app.AsyncResult(name).get(timeout=10), time.monotonic())
        if app is theirs:
            let_go(theirs)

    threads = [
        threading.Thread(target=wait, args=pair, daemon=True) for pair in (("for-us", ours), ("for-them", theirs))
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len(client.pubsub_channels("celery-task-meta-for-*")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    start = time.monotonic()
    theirs.backend.store_result("for-us", 1, states.SUCCESS)
    put(ours, "for-them", states.SUCCESS, 2)
    for thread in threads:
        thread.join(15)
    assert {name: value for name, (value, _) in got.items()} == {"for-us": 1, "for-them": 2}
    assert got["for-us"][1] - start < 0.7, "told, not found by looking again"


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_success_of_celerys_is_never_overwritten(sides, client, serializer, compression):
    ours, theirs = sides(result_serializer=serializer, result_compression=compression)
    theirs.backend.store_result("one", "theirs", states.SUCCESS)
    before = client.get("celery-task-meta-one")
    for state, value in ((states.FAILURE, ValueError("late")), (states.SUCCESS, "ours"), (states.STARTED, None)):
        assert not put(ours, "one", state, value)
    assert client.get("celery-task-meta-one") == before
    theirs.backend.store_result("two", ValueError("lost"), states.FAILURE)
    assert not put(ours, "two", states.RETRY, ValueError("again"))
    assert put(ours, "two", states.SUCCESS, "found")
    assert theirs.AsyncResult("two").get(timeout=5) == "found"


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_unfinished_result_of_celerys_gives_way(sides, serializer, compression):
    ours, theirs = sides(result_serializer=serializer, result_compression=compression)
    for number, state in enumerate((states.STARTED, states.RETRY, "PROGRESS")):
        theirs.backend.store_result(f"t{number}", ValueError("x") if state == states.RETRY else None, state)
        assert put(ours, f"t{number}", states.FAILURE, ValueError("ours"))


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_celery_keeps_our_success(sides, serializer):
    ours, theirs = sides(result_serializer=serializer)
    put(ours, "one", states.SUCCESS, "ours")
    theirs.backend.store_result("one", ValueError("late"), states.FAILURE)
    assert ours.AsyncResult("one").get(timeout=5) == "ours"


def test_nothing_but_celerys_key_is_kept_where_the_payload_tells_its_state(sides, client):
    for serializer in ("json", "msgpack", "pickle"):
        ours, _ = sides(result_serializer=serializer)
        for state, value in VALUES.items():
            put(ours, f"{serializer}-{state}", state, value)
    assert all(name.startswith("celery-task-meta-") for name in names(client))
    assert len(names(client)) == 3 * len(VALUES)


def test_a_mark_lives_as_long_as_its_result_and_goes_with_it(sides, client):
    ours, _ = sides(result_compression="gzip")
    put(ours, "one", states.SUCCESS, "x" * 100, ttl=50.0)
    put(ours, "two", states.SUCCESS, "x" * 100, ttl=None)
    marks = sorted(name for name in names(client) if not name.startswith("celery"))
    assert marks == ["skirret:state:one", "skirret:state:two"]
    assert 45 < client.ttl("skirret:state:one") <= 50 == round(client.ttl("celery-task-meta-one"), -1)
    assert client.ttl("skirret:state:two") == client.ttl("celery-task-meta-two") == -1
    assert ours.backend.forget(["one", "two"]) == 2
    assert names(client) == set()


def test_a_mark_that_celery_wrote_over_says_nothing(sides):
    ours, theirs = sides(result_compression="gzip")
    put(ours, "one", states.STARTED, {"pid": 1})
    theirs.backend.store_result("one", "x" * 50, states.SUCCESS)
    assert not put(ours, "one", states.FAILURE, ValueError("late"))
    assert ours.backend.wait(["one"], 5.0).keys() == {"one"}
    put(ours, "two", states.FAILURE, ValueError("x"))
    theirs.backend.client.delete("celery-task-meta-two")
    theirs.backend.store_result("two", None, "PROGRESS")
    assert put(ours, "two", states.FAILURE, ValueError("y"))


def test_results_end_as_celerys_setting_says(sides, client):
    ours, theirs = sides(result_expires=100)
    from skirret.app.storing import lifetime

    put(ours, "ours", states.SUCCESS, 1, ttl=lifetime(ours, states.SUCCESS))
    theirs.backend.store_result("theirs", 1, states.SUCCESS)
    assert 95 < client.ttl("celery-task-meta-ours") <= 100
    assert 95 < client.ttl("celery-task-meta-theirs") <= 100


@pytest.mark.parametrize("prefix", ["team", "team:", "team-", "a.b."])
def test_the_global_prefix_is_celerys(sides, client, prefix):
    ours, theirs = sides(result_backend_transport_options={"global_keyprefix": prefix}, result_compression="gzip")
    put(ours, "ours", states.SUCCESS, 1)
    theirs.backend.store_result("theirs", 2, states.SUCCESS)
    assert theirs.AsyncResult("ours").get(timeout=5) == 1
    assert ours.AsyncResult("theirs").get(timeout=5) == 2
    assert all(name.startswith(prefix) for name in names(client))


def test_a_saved_group_is_restored_by_the_other_side(both, client):
    ours, theirs = both
    mine = GroupResult("g-ours", [ours.AsyncResult("a"), ours.AsyncResult("b")])
    mine.save()
    assert GroupResult.restore("g-ours", app=ours) == mine
    found = theirs.GroupResult.restore("g-ours")
    assert [one.id for one in found.results] == ["a", "b"]
    CeleryGroupResult("g-theirs", [theirs.AsyncResult("c")], app=theirs).save(backend=theirs.backend)
    assert [one.id for one in GroupResult.restore("g-theirs", app=ours).results] == ["c"]
    assert {name for name in names(client) if "taskset" in name} == {
        "celery-taskset-meta-g-ours",
        "celery-taskset-meta-g-theirs",
    }
    GroupResult.restore("g-theirs", app=ours).delete()
    assert theirs.GroupResult.restore("g-theirs") is None


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_state_is_told_alike_by_the_servers_script_and_by_us(sides, client, serializer, compression):
    """Both sides' payloads, cut and damaged as well: a waiting caller and a writing worker must not disagree."""
    from skirret.backends.redis.backend import _STORE

    ours, theirs = sides(result_serializer=serializer, result_compression=compression)
    for state, value in VALUES.items():
        put(ours, f"ours-{state}", state, value)
        theirs.backend.store_result(f"theirs-{state}", value or "x", state)
    script = client.register_script(_script_that_tells(_STORE.old))
    for key in [key for key in client.scan_iter() if key.startswith(b"celery")]:
        whole = client.get(key)
        for payload in [
            whole,
            whole[:10],
            whole[:20],
            whole[:26],
            whole[:33],
            b" " + whole,
            whole.replace(b"status", b"Status"),
        ]:
            told = script(keys=[], args=[payload])
            assert (None if told is None else told.decode("utf-8", "replace")) == told_state(payload), payload[:96]


def _script_that_tells(store: str) -> str:
    functions = store.split("-- Store results by compare-and-set", maxsplit=1)[0]
    return functions + "\nreturn told_state(string.sub(ARGV[1], 1, HEAD)) or false"


def test_keys_are_named_as_celery_names_them(both):
    _, theirs = both
    keys = ResultKeys()
    assert keys.result("x").encode() == theirs.backend.get_key_for_task("x")
    assert keys.group("x").encode() == theirs.backend.get_key_for_group("x")


def test_many_waiting_threads_cost_one_line_that_listens(sides, client):
    ours, theirs = sides()
    assert isinstance(ours.backend, RedisBackend)
    before = len(client.client_list())
    ids = [f"t{n}" for n in range(300)]
    got: dict[str, object] = {}

    def wait(one):
        got[one] = ours.AsyncResult(one).get(timeout=20)

    threads = [threading.Thread(target=wait, args=(one,), daemon=True) for one in ids]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while sum(int(one["sub"]) for one in client.client_list()) < 300:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    listening = [one for one in client.client_list() if int(one["sub"])]
    assert len(listening) == 1
    assert len(client.client_list()) - before <= 4
    for one in ids:
        theirs.backend.store_result(one, one, states.SUCCESS)
    for thread in threads:
        thread.join(30)
    assert got == {one: one for one in ids}
