"""Sets and groups of results: looked at and waited for as one."""

from __future__ import annotations

import pickle
import threading

import pytest

from skirret import context
from skirret.errors import TimeoutError  # noqa: A004  ours
from skirret.results import EagerResult, GroupResult, ResultSet, denied_join_result
from tests.unit.results.stage import Thread, until


@pytest.fixture
def group(stage):
    return GroupResult("g", [stage.result(name) for name in "abc"], app=stage)


def test_get_returns_values_in_the_order_of_the_members(stage, group):
    for name in "cba":
        stage.succeed(name, name.upper())
    assert group.get(timeout=5) == ["A", "B", "C"]
    assert group.join(timeout=5) == group.join_native(timeout=5) == ["A", "B", "C"]


def test_get_waits_for_all_with_one_registration(stage, group):
    waiting = Thread(group.get, timeout=30)
    stage.somebody_waits(*"abc")
    for name in "bca":
        stage.succeed(name, name)
    assert waiting.outcome() == ["a", "b", "c"]
    assert stage.reader.room()._by_id == {}


def test_a_group_of_thousands_is_waited_for_without_asking_for_each(stage):
    names = [str(n) for n in range(3000)]
    group = ResultSet([stage.result(name) for name in names], app=stage)
    for name in names:
        stage.succeed(name, int(name))
    assert sum(group.get(timeout=30)) == sum(range(3000))
    assert group.completed_count() == 3000
    assert stage.backend.waits + stage.backend.fetches == 1


def test_the_first_failure_is_raised_though_others_still_run(stage, group):
    stage.fail("b", ValueError("bad"))
    with pytest.raises(ValueError, match="bad"):
        group.get(timeout=10)
    stage.succeed("a", 1)
    stage.succeed("c", 3)
    values = group.get(timeout=5, propagate=False)
    assert (values[0], type(values[1]), values[2]) == (1, ValueError, 3)


def test_missing_members_are_a_timeout_error_that_counts_them(stage, group):
    stage.succeed("a", 1)
    with pytest.raises(TimeoutError, match=r"2 tasks \(b, c\) were not ready after 0.02 s"):
        group.get(timeout=0.02)
    with pytest.raises(TimeoutError):
        group.get(timeout=0)
    assert stage.reader.room()._by_id == {}


def test_callback_sees_values_as_they_arrive_and_nothing_is_returned(stage, group):
    seen = []
    waiting = Thread(group.get, timeout=30, callback=lambda *told: seen.append(told))
    stage.somebody_waits(*"abc")
    for n, name in enumerate("cab"):
        stage.succeed(name, name)
        until(lambda n=n: len(seen) == n + 1)
    assert waiting.outcome() == []
    assert seen == [("c", "c"), ("a", "a"), ("b", "b")]


def test_messages_and_intervals_are_told(stage, group):
    messages, calls = [], []

    def on_interval():
        calls.append(1)
        stage.succeed("abc"[len(calls) - 1], len(calls))

    assert group.get(timeout=10, interval=0.002, on_interval=on_interval, on_message=messages.append) == [1, 2, 3]
    assert [meta["task_id"] for meta in messages] == ["a", "b", "c"]


def test_others_are_served_while_somebody_ponders_over_one_of_several_results(stage, group):
    stage.succeed("a", 1)
    values = group.iterate(timeout=30)
    assert next(values) == 1  # and the two others are still waited for
    other = Thread(stage.reader.wait, "x", 30)
    stage.somebody_waits("x")
    stage.succeed("x", 2)
    assert other.outcome(5).result == 2


def test_others_are_led_when_somebody_turns_to_one_of_several_results(stage, group):
    pondering, go_on = threading.Event(), threading.Event()

    def ponder():
        for value in group.iterate(timeout=30):
            assert value == 1
            pondering.set()
            go_on.wait(30)
            return

    ponderer = Thread(ponder)
    stage.somebody_waits("a")
    other = Thread(stage.reader.wait, "x", 30)
    stage.somebody_waits("x")
    stage.succeed("a", 1)
    assert pondering.wait(10)
    stage.succeed("x", 2)
    assert other.outcome(5).result == 2
    go_on.set()
    ponderer.outcome()
    assert stage.reader.room()._by_id == {}


def test_iterating_gives_values_and_metas_as_they_arrive(stage, group):
    for name in "abc":
        stage.succeed(name, name)
    assert sorted(group.iterate(timeout=5)) == ["a", "b", "c"]
    assert sorted((task_id, meta["status"]) for task_id, meta in group.iter_native(timeout=5)) == [
        ("a", "SUCCESS"), ("b", "SUCCESS"), ("c", "SUCCESS"),
    ]  # fmt: skip


def test_states_of_the_members_add_up(stage, group):
    assert (group.ready(), group.waiting(), group.successful(), group.failed()) == (False, True, False, False)
    stage.succeed("a")
    stage.succeed("b")
    assert (group.completed_count(), group.ready()) == (2, False)
    stage.fail("c", ValueError("bad"))
    assert (group.ready(), group.waiting(), group.successful(), group.failed()) == (True, False, False, True)
    assert group.completed_count() == 2
    with pytest.raises(ValueError, match="bad"):
        group.maybe_throw()


def test_groups_within_groups_give_lists_within_lists(stage):
    inner = GroupResult("h", [stage.result("b"), stage.result("c")])
    outer = GroupResult("g", [stage.result("a"), inner])
    for name in "abc":
        stage.succeed(name, name)
    assert outer.get(timeout=5) == ["a", ["b", "c"]]
    assert outer.app is stage


def test_members_come_and_go(stage, group):
    group.add(stage.result("d"))
    group.add(stage.result("a"))
    assert [member.id for member in group] == list("abcd")
    group.remove("d")
    group.discard("d")
    with pytest.raises(KeyError):
        group.remove("d")
    group.update([stage.result("a"), stage.result("e")])
    assert (len(group), group[3]) == (4, "e")
    group.clear()
    assert len(group) == 0
    assert group.get() == []


def test_eager_and_ignored_members_are_not_waited_for(stage):
    ignored = stage.result("i")
    ignored.ignored = True
    stage.succeed("a", 1)
    group = ResultSet([EagerResult("e", 5, "SUCCESS"), stage.result("a"), ignored], app=stage)
    assert group.get(timeout=5) == [5, 1, None]


def test_waiting_for_a_group_inside_a_task_is_refused(group):
    with denied_join_result(), pytest.raises(RuntimeError):
        group.get()


def test_then_calls_back_once_when_the_last_member_is_ready(stage, group):
    seen = []
    group.then(seen.append)
    for name in "ab":
        stage.succeed(name)
    stage.somebody_waits("c")
    assert seen == []
    stage.succeed("c")
    until(lambda: seen)
    assert seen == [group]


def test_a_saved_group_is_found_again_with_its_parent(stage, group):
    group.parent = stage.result("p")
    group.save()
    group.add(stage.result("d"))
    group.save()
    found = GroupResult.restore("g", app=stage)
    assert found == group
    assert (type(found), found.parent, [member.id for member in found]) == (GroupResult, "p", list("abcd"))
    group.delete()
    assert GroupResult.restore("g", app=stage) is None


def test_forgetting_and_revoking_reach_all_members(stage, group):
    for name in "abc":
        stage.succeed(name)
    group.forget()
    assert stage.backend.fetch(list("abc")) == {}
    group.revoke(terminate=True)
    assert stage.revoked[0][0] == ["a", "b", "c"]


def test_groups_are_equal_by_id_members_and_parent(stage, group):
    twin = GroupResult("g", [stage.result(name) for name in "abc"])
    assert group == twin == "g"
    assert hash(group) == hash(twin)
    assert group != GroupResult("g", [])
    assert ResultSet([stage.result("a")]) == ResultSet([stage.result("a")])
    assert not GroupResult()
    assert repr(twin) == "<GroupResult: g [a, b, c]>"
    with pytest.raises(TypeError):
        hash(ResultSet([]))
    try:
        context.set_current_app(stage)
        assert pickle.loads(pickle.dumps(group)) == group
    finally:
        context.set_current_app(None)
