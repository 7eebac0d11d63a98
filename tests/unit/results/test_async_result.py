"""What one handle says about its task, and what its ``get`` returns and raises."""

from __future__ import annotations

import copy
import gc
import pickle
import traceback
import weakref
from datetime import UTC, datetime

import pytest

from skirret import context, errors
from skirret.errors import IncompleteStream, RemoteError, TaskRevokedError
from skirret.results import AsyncResult, GroupResult, allow_join_result, denied_join_result
from tests.unit.results.stage import Thread, until


class Unreplayable(Exception):
    """An exception that cannot be made again from its arguments."""

    def __init__(self, code, *, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


def test_a_task_nobody_has_begun_is_pending_and_does_not_exist(stage):
    result = stage.result("a")
    assert (result.state, result.status, result.result, result.traceback) == ("PENDING", "PENDING", None, None)
    assert not result.ready()
    assert not result.exists()
    stage.store("a", "STARTED", {"pid": 1})
    assert result.exists()


def test_get_returns_the_value_of_a_finished_task(stage):
    stage.succeed("a", [1, {"b": None}])
    result = stage.result("a")
    assert result.get(timeout=5) == [1, {"b": None}]
    assert result.wait(timeout=5) == result.result == result.info
    assert result.ready()
    assert result.successful()
    assert not result.failed()


def test_get_waits_until_the_task_is_finished(stage):
    waiting = Thread(stage.result("a").get, timeout=10)
    stage.somebody_waits("a")
    stage.store("a", "STARTED")
    stage.store("a", "RETRY", ValueError("again"))
    stage.succeed("a", 7)
    assert waiting.outcome() == 7


def test_get_asks_the_store_once_for_a_finished_task_and_never_again(stage):
    stage.succeed("a", 1)
    result = stage.result("a")
    assert [result.get(), result.get(), result.result, result.state] == [1, 1, 1, "SUCCESS"]
    assert (stage.backend.waits, stage.backend.fetches) == (1, 0)


@pytest.mark.parametrize("timeout", [0, 0.02, -1])
def test_a_result_that_is_not_there_in_time_is_a_timeout_error_that_says_what_to_look_at(stage, timeout):
    result = stage.result("late")
    with pytest.raises(
        AsyncResult.TimeoutError, match=r"late was not ready after .*worker consumes its queue"
    ) as caught:
        result.get(timeout=timeout)
    assert isinstance(caught.value, errors.TimeoutError)
    assert stage.reader.room()._by_id == {}
    assert isinstance(caught.value, TimeoutError)  # Python's own, which people write without an import


def test_a_timeout_of_zero_still_finds_a_finished_result(stage):
    stage.succeed("a", 1)
    assert stage.result("a").get(timeout=0) == 1
    assert stage.backend.waits == 0


def test_the_exception_of_a_task_is_raised_with_the_workers_traceback(stage):
    stage.fail(
        "a", ValueError("bad", 3), traceback="Traceback (remote)\n  in worker.py\nValueError: bad", worker="w1@h"
    )
    with pytest.raises(ValueError, match="bad") as caught:
        stage.result("a").get()
    assert caught.value.args == ("bad", 3)
    shown = "".join(traceback.format_exception(caught.value))
    assert "Traceback of task a on w1@h:\nTraceback (remote)\n  in worker.py" in shown


def test_an_exception_is_returned_where_propagation_is_off(stage):
    stage.fail("a", KeyError("k"))
    value = stage.result("a").get(propagate=False)
    assert isinstance(value, KeyError)
    assert value.args == ("k",)


def test_each_get_raises_a_fresh_exception_without_the_frames_of_the_last(stage):
    stage.fail("a", ValueError("bad"), traceback="remote")
    result = stage.result("a")
    raised = []
    for _ in range(3):
        with pytest.raises(ValueError, match="bad") as caught:
            result.get()
        raised.append(caught.value)
    assert len({id(exc) for exc in raised}) == 3
    assert {len(exc.__notes__) for exc in raised} == {1}
    assert result.result.__traceback__ is None
    assert not hasattr(result.result, "__notes__")


def test_a_raised_exception_does_not_keep_the_callers_frame_alive_with_the_handle(stage):
    class Heavy:
        pass

    stage.fail("a", ValueError("bad"))
    result = stage.result("a")

    def caller():
        heavy = Heavy()
        try:
            result.get()
        except ValueError:
            return weakref.ref(heavy)

    dead = caller()
    gc.collect()
    assert dead() is None


def test_an_exception_whose_class_is_not_loaded_is_raised_as_a_stand_in(stage):
    from skirret.message import Record

    payload = (
        b'{"status":"FAILURE","result":{"exc_type":"Gone","exc_message":["x"],"exc_module":"no.such.module"},'
        b'"traceback":null,"children":[],"date_done":null,"task_id":"a"}'
    )
    stage.backend.store([Record(task_id="a", state="FAILURE", payload=payload)])
    with pytest.raises(RemoteError, match="x") as caught:
        stage.result("a").get()
    assert (caught.value.exc_module, type(caught.value).__name__) == ("no.such.module", "Gone")


def test_a_revoked_task_raises_task_revoked_error_whatever_was_stored(stage):
    stage.store("a", "REVOKED", TaskRevokedError("expired"))
    stage.store("b", "REVOKED", None)
    with pytest.raises(TaskRevokedError, match="expired"):
        stage.result("a").get()
    with pytest.raises(TaskRevokedError, match="revoked"):
        stage.result("b").get()


def test_a_failure_that_is_no_exception_is_raised_all_the_same(stage):
    stage.store("a", "FAILURE", {"my": "meta"})
    with pytest.raises(RemoteError, match="my"):
        stage.result("a").get()


def test_maybe_throw_returns_the_present_value_and_raises_failures(stage):
    stage.store("a", "PROGRESS", {"done": 3})
    assert stage.result("a").maybe_throw() == {"done": 3}
    stage.fail("a", ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        stage.result("a").maybe_reraise()
    with pytest.raises(ValueError, match="bad"):
        stage.result("a").throw()
    with pytest.raises(KeyError):
        stage.result("a").throw(KeyError("mine"))


def test_callback_gets_id_and_value_but_not_of_a_failed_task(stage):
    stage.succeed("a", 1)
    stage.fail("b", ValueError("bad"))
    seen = []
    assert stage.result("a").get(callback=lambda *told: seen.append(told)) == 1
    with pytest.raises(ValueError, match="bad"):
        stage.result("b").get(callback=lambda *told: seen.append(told))
    stage.result("b").get(propagate=False, callback=lambda task_id, value: seen.append((task_id, type(value))))
    assert seen == [("a", 1), ("b", ValueError)]


def test_on_interval_is_called_while_waiting_and_may_end_the_wait(stage):
    calls = []

    def on_interval():
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stage.result("a").get(timeout=10, interval=0.001, on_interval=on_interval)
    assert stage.reader.room()._by_id == {}


def test_on_message_sees_every_state_once(stage):
    seen = []
    waiting = Thread(stage.result("a").get, timeout=10, interval=0.002, on_message=seen.append)
    stage.somebody_waits("a")
    stage.store("a", "STARTED", {"pid": 4})
    until(lambda: len(seen) == 1)
    stage.store("a", "PROGRESS", {"done": 1})
    until(lambda: len(seen) == 2)
    stage.succeed("a", 9)
    assert waiting.outcome() == 9
    assert [(meta["status"], meta["result"]) for meta in seen] == [
        ("STARTED", {"pid": 4}),
        ("PROGRESS", {"done": 1}),
        ("SUCCESS", 9),
    ]
    assert seen[-1]["task_id"] == "a"


def test_a_failed_parent_ends_the_wait_for_a_task_that_will_never_run(stage):
    first = stage.result("1")
    result = stage.result("3", parent=stage.result("2", parent=first))
    waiting = Thread(result.get, timeout=10)
    stage.somebody_waits("1", "2", "3")
    stage.succeed("2", None)
    stage.fail("1", ValueError("no bread"))
    with pytest.raises(ValueError, match="no bread"):
        waiting.outcome()
    with pytest.raises(ValueError, match="no bread"):  # known by now, without the store
        stage.result("3", parent=first).get(timeout=10)


def test_a_failed_parent_is_looked_over_where_it_is_not_followed(stage):
    stage.fail("1", ValueError("no bread"))
    result = stage.result("2", parent=stage.result("1"))
    with pytest.raises(errors.TimeoutError):
        result.get(timeout=0.01, follow_parents=False)
    with pytest.raises(errors.TimeoutError):
        result.get(timeout=0.01, propagate=False)
    with pytest.raises(ValueError, match="no bread"):
        result.get(timeout=0.01)


def test_a_member_of_a_parent_group_that_failed_ends_the_wait(stage):
    group = GroupResult("g", [stage.result("1"), stage.result("2")])
    stage.fail("2", ValueError("bad part"))
    with pytest.raises(ValueError, match="bad part"):
        stage.result("body", parent=group).get(timeout=10)


def test_an_ignored_result_is_none_at_once_even_inside_a_task(stage):
    result = stage.result("a")
    result.ignored = True
    with denied_join_result():
        assert result.get() is None
    assert stage.backend.waits == 0


def test_waiting_inside_a_task_is_refused_with_advice_unless_allowed(stage):
    stage.succeed("a", 1)
    with denied_join_result():
        with pytest.raises(RuntimeError, match="allow_join_result"):
            stage.result("a").get()
        assert stage.result("a").get(disable_sync_subtasks=False) == 1
        with allow_join_result():
            assert stage.result("a").get() == 1
        with pytest.raises(RuntimeError, match="worker slot"):
            stage.result("a").get()
    assert stage.result("a").get() == 1


def test_fields_of_extended_results_are_there(stage):
    stage.succeed(
        "a", 1, name="t.add", args=[1], kwargs={"b": 2}, worker="w@h", queue="q", retries=2,
        date_done="2026-01-02T03:04:05.000006+00:00",
    )  # fmt: skip
    result = stage.result("a")
    assert (result.name, result.args, result.kwargs) == ("t.add", [1], {"b": 2})
    assert (result.worker, result.queue, result.retries) == ("w@h", "q", 2)
    assert result.date_done == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert stage.result("unknown").date_done is None


def test_forget_deletes_the_result_and_its_parents(stage):
    stage.succeed("a", 1)
    stage.succeed("p", 1)
    result = stage.result("a", parent=stage.result("p"))
    assert result.get() == 1
    result.forget()
    assert result.state == "PENDING"
    assert stage.backend.fetch(["a", "p"]) == {}


def test_revoke_asks_the_app(stage):
    stage.result("a").revoke(terminate=True, signal="SIGKILL")
    told = {"terminate": True, "signal": "SIGKILL", "wait": False, "timeout": None}
    assert stage.revoked == [("a", told)]


def test_handles_of_one_task_are_equal_to_each_other_and_to_its_id(stage):
    assert stage.result("a") == stage.result("a") == "a"
    assert stage.result("a") != stage.result("b")
    assert stage.result("a") != 3
    assert {stage.result("a"), stage.result("a")} == {"a"}
    assert str(stage.result("a")) == "a"
    assert repr(stage.result("a")) == "<AsyncResult: a>"


def test_copies_and_pickles_keep_id_and_parents(stage):
    result = stage.result("a", parent=stage.result("p"))
    result.ignored = True
    twin = copy.copy(result)
    assert (twin, twin.parent, twin.app, twin.ignored) == ("a", "p", stage, True)
    try:
        context.set_current_app(stage)
        back = pickle.loads(pickle.dumps(result))
    finally:
        context.set_current_app(None)
    assert (back, back.parent, back.app) == ("a", "p", stage)


def test_a_handle_without_any_app_says_how_to_get_one():
    result = AsyncResult("a")
    with pytest.raises(errors.ImproperlyConfigured, match=r"app\.AsyncResult"):
        result.get(timeout=0)
    with pytest.raises(ValueError, match="id"):
        AsyncResult(None)


def test_a_handle_may_name_another_backend_than_its_apps(stage):
    from tests.unit.results.stage import Stage

    other = Stage()
    other.succeed("a", "theirs")
    stage.succeed("a", "ours")
    assert stage.result("a", backend=other.backend).get() == "theirs"
    assert AsyncResult("a", backend=other.backend).get() == "theirs"
    assert stage.result("a").get() == "ours"


def test_children_are_handles_and_the_tree_is_walked_level_by_level(stage):
    stage.succeed("1", None, children=[[["2", None], None], [["g", None], [[["3", None], None]]]])
    stage.succeed("2", 20, children=[[["4", None], None]])
    stage.succeed("3", 30)
    stage.succeed("4", 40)
    root = stage.result("1")
    assert root.children == ["2", GroupResult("g", [stage.result("3")])]
    assert [(node.id, value) for node, value in root.collect()] == [
        ("1", None), ("2", 20), ("g", [30]), ("4", 40), ("3", 30),
    ]  # fmt: skip
    assert root.get_leaf() == 30
    graph = root.graph
    assert [node.id for node in graph] == ["1", "2", "g", "4", "3"]
    assert [node.id for node in graph["1"]] == ["2", "g"]


def test_a_tree_with_unfinished_parts_is_walked_only_when_asked(stage):
    stage.succeed("1", None, children=[[["2", None], None]])
    with pytest.raises(IncompleteStream, match="2 is not ready"):
        list(stage.result("1").iterdeps())
    assert [node.id for _, node in stage.result("1").iterdeps(intermediate=True)] == ["1", "2"]


def test_an_exception_class_that_cannot_be_rebuilt_is_raised_with_its_attributes(stage):
    from skirret.meta import ResultMeta
    from skirret.results.raising import fresh, remote_error

    original = Unreplayable(7, reason="x")
    twin = fresh(original)
    assert (type(twin), twin.code, twin.args) == (Unreplayable, 7, original.args)
    assert twin is not original
    os_error = fresh(FileNotFoundError(2, "gone", "path"))
    assert (os_error.errno, os_error.filename) == (2, "path")
    raised = remote_error(ResultMeta(task_id="a", status="FAILURE", result=original, traceback="t"))
    assert raised.__notes__ == ["Traceback of task a:\nt"]


def test_then_calls_back_when_the_task_finishes(stage):
    seen = []
    stage.result("a").then(lambda result: seen.append((result.id, result.result)))
    stage.somebody_waits("a")
    assert seen == []
    stage.succeed("a", 5)
    until(lambda: seen)
    assert seen == [("a", 5)]


def test_then_calls_back_at_once_for_a_known_result(stage):
    stage.succeed("a", 5)
    result = stage.result("a")
    result.get()
    seen = []
    assert result.then(seen.append) is result
    assert seen == [result]


def test_then_tells_on_error_of_a_failed_task(stage):
    stage.fail("a", ValueError("bad"))
    seen, failures = [], []
    stage.result("a").then(seen.append, failures.append)
    until(lambda: seen and failures)
    assert seen == ["a"]
    assert [type(exc) for exc in failures] == [ValueError]


def test_a_callback_of_then_may_itself_wait_for_a_result(stage):
    seen = []
    stage.result("a").then(lambda _: seen.append(stage.result("b").get(timeout=5)))
    stage.somebody_waits("a")
    stage.succeed("a", 1)
    stage.somebody_waits("b")
    stage.succeed("b", 2)
    until(lambda: seen)
    assert seen == [2]


def test_a_callback_that_raises_is_logged_and_later_ones_still_run(stage, caplog):
    seen = []
    stage.result("a").then(lambda _: 1 / 0)
    stage.somebody_waits("a")
    stage.succeed("a", 1)
    until(lambda: "callback for a result raised" in caplog.text)
    stage.result("b").then(seen.append)
    stage.succeed("b", 1)
    until(lambda: seen)


def test_a_weak_callback_dies_with_its_owner(stage):
    class Owner:
        def __init__(self):
            self.seen = []

        def called(self, result):
            self.seen.append(result)

    gone, kept = Owner(), Owner()
    stage.result("a").then(gone.called, weak=True)
    stage.result("a").then(kept.called, weak=True)
    seen = gone.seen
    del gone
    stage.succeed("a", 1)
    until(lambda: kept.seen)
    assert seen == []
