"""Handles as plain values and back, eager results, permission to wait, the graph, and which state weighs more."""

from __future__ import annotations

import copy
import io
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skirret import context, states
from skirret.errors import BackendGetMetaError, TaskRevokedError
from skirret.request import Context
from skirret.results import (
    AsyncResult,
    EagerResult,
    GroupResult,
    allow_join_result,
    denied_join_result,
    result_from_tuple,
    task_join_will_block,
)
from skirret.results.graph import DependencyGraph

ids = st.text(min_size=1, max_size=8)
tasks = st.builds(AsyncResult, ids)
handles = st.recursive(
    tasks,
    lambda inner: st.one_of(
        st.builds(lambda name, parent: AsyncResult(name, parent=parent), ids, inner),
        st.builds(lambda name, members, parent: GroupResult(name, members, parent=parent), ids,
                  st.lists(inner, max_size=4), st.none() | inner),
    ),
    max_leaves=12,
)  # fmt: skip


@given(handles)
def test_a_handle_survives_its_plain_form_and_json(handle):
    plain = handle.as_tuple()
    for told in (plain, json.loads(json.dumps(plain))):
        back = result_from_tuple(told)
        assert (type(back), back) == (type(handle), handle)
        assert back.as_tuple() == plain
        assert back.as_list() == handle.as_list()


def test_the_plain_forms_are_celerys():
    from celery import Celery
    from celery.result import result_from_tuple as celerys

    app = Celery("t", backend="cache+memory://")
    handle = GroupResult("g", [AsyncResult("a", parent=AsyncResult("p"))], parent=AsyncResult("q"))
    theirs = celerys(handle.as_tuple(), app=app)
    assert theirs.as_tuple() == handle.as_tuple()
    assert result_from_tuple(theirs.as_tuple()) == handle


def test_a_chain_of_thousands_of_parents_survives_its_plain_form():
    handle = AsyncResult("0")
    for n in range(1, 5000):
        handle = AsyncResult(str(n), parent=handle)
    back = result_from_tuple(handle.as_tuple())
    assert back.as_list() == [str(n) for n in reversed(range(5000))]


def test_bare_ids_and_handles_are_understood():
    handle = AsyncResult("a")
    assert result_from_tuple(("a", None)) == handle
    assert result_from_tuple(handle) is handle


@pytest.mark.parametrize("garbage", [None, 3, "abc", [], [1, None], [["a", None], 5], [["a", 7], None], {"a": 1}])
def test_what_is_no_handle_is_an_error_and_not_a_crash(garbage):
    with pytest.raises(BackendGetMetaError, match="does not describe a result"):
        result_from_tuple(garbage)


def test_an_eager_result_is_there_already():
    result = EagerResult("a", 5, "SUCCESS", name="t.add")
    assert (result.get(), result.wait(timeout=0), result.result, result.state) == (5, 5, 5, "SUCCESS")
    assert (result.ready(), result.successful(), result.failed(), result.exists()) == (True, True, False, True)
    assert (result.name, result.traceback, result.children) == ("t.add", None, None)
    assert isinstance(result, AsyncResult)
    for twin in (copy.copy(result), pickle.loads(pickle.dumps(result))):
        assert (type(twin), twin.id, twin.get(), twin.name) == (EagerResult, "a", 5, "t.add")
    with denied_join_result(), pytest.raises(RuntimeError):
        result.get()


async def test_an_eager_result_can_be_awaited_and_calls_back_at_once():
    result = EagerResult("a", 5, "SUCCESS")
    assert await result == await result.aget() == 5
    seen = []
    result.then(seen.append)
    assert seen == [result]


def test_an_eager_failure_raises_the_exception_itself_with_the_frames_of_the_run():
    def failing():
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad") as caught:
        failing()
    result = EagerResult("a", caught.value, "FAILURE", traceback="text")
    depths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="bad") as again:
            result.get()
        assert again.value is caught.value
        depths.append(len(again.traceback))
        assert "failing" in [frame.name for frame in again.traceback]
    assert len(set(depths)) == 1
    assert result.get(propagate=False) is caught.value


def test_an_eager_result_can_be_revoked_afterwards():
    result = EagerResult("a", 5, "SUCCESS")
    result.forget()
    result.revoke()
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get()


def test_permission_to_wait_nests_and_comes_back():
    assert not task_join_will_block()
    with denied_join_result():
        assert task_join_will_block()
        with allow_join_result():
            assert not task_join_will_block()
            with denied_join_result():
                assert task_join_will_block()
        assert task_join_will_block()
    assert not task_join_will_block()
    with pytest.raises(KeyError), denied_join_result():
        raise KeyError
    assert not task_join_will_block()


def test_waiting_is_refused_inside_the_run_of_a_task_but_not_where_it_is_called_like_a_function():
    context.push_task("task", Context(called_directly=True))
    try:
        assert not task_join_will_block()
        context.push_task("worker", Context(called_directly=False))
        context.push_task("task", Context(called_directly=True))
        assert task_join_will_block()
        with allow_join_result():
            assert not task_join_will_block()
        assert task_join_will_block()
    finally:
        for _ in context.task_stack():
            context.pop_task()
    assert not task_join_will_block()


def test_a_graph_is_sorted_counted_and_drawn():
    graph = DependencyGraph([("a", ["b", "c"]), ("b", ["d"]), ("c", ["d"]), ("d", [])])
    order = graph.topsort()
    assert order.index("d") < order.index("b") < order.index("a")
    assert order.index("c") < order.index("a")
    assert (graph.valency_of("a"), graph.valency_of("d"), len(graph)) == (4, 0, 4)
    assert list(graph.edges()) == ["a", "b", "c"]
    assert repr(graph).splitlines()[0] == "a -> b, c"
    other = DependencyGraph([('q"', [])])
    graph.connect(other)
    text = io.StringIO()
    graph.to_dot(text)
    assert '"a" -> "b";' in text.getvalue()
    assert '"q\\"";' in text.getvalue()
    assert "d" in graph


any_state = st.sampled_from([*states.ALL_STATES, "PROGRESS", "MY_STATE", ""])


@given(any_state, any_state)
def test_of_two_states_exactly_one_weighs_more_or_they_weigh_the_same(one, other):
    less, equal = states.state(one) < other, states.precedence(one) == states.precedence(other)
    assert less + equal + (states.state(one) > other) == 1
    assert (states.state(one) <= other) == (less or equal)
    assert (states.state(one) >= other) == (not less)


@given(any_state, any_state, any_state)
def test_the_weight_of_states_is_transitive(one, two, three):
    if states.state(one) < two and states.state(two) < three:
        assert states.state(one) < three


@given(any_state, any_state)
def test_states_weigh_as_celerys_do(one, other):
    from celery.states import state as celerys

    assert (states.state(one) > other) == (celerys(one) > celerys(other))
    assert (states.state(one) < other) == (celerys(one) < celerys(other))


@given(st.lists(any_state, max_size=8))
def test_a_finished_task_never_looks_unfinished_again(arrivals):
    kept = None
    finished = False
    for new in arrivals:
        if states.supersedes(new, kept):
            assert not (finished and new not in states.READY_STATES)
            assert kept != states.SUCCESS
            kept = new
        finished = finished or kept in states.READY_STATES
        assert (kept in states.READY_STATES) == finished
    if states.SUCCESS in arrivals:
        assert kept == states.SUCCESS
