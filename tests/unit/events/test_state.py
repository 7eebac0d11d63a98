"""What a monitor knows: bounded, patient with events in any order, and the same as Celery's where that is defined."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from celery.events.state import State as CelerysState
from hypothesis import given
from hypothesis import strategies as st

from skirret import clock
from skirret.events.state import State, heartbeat_expires


class Teller:
    """Tells events to a state, with a growing clock."""

    def __init__(self, *states: Any) -> None:
        self.states = states
        self.clock = 0

    def __call__(self, kind: str, **fields: Any) -> Any:
        self.clock += 1
        event = {**self.common(), "type": kind, **fields}
        told = [state.event(dict(event)) for state in self.states]
        return told[0]

    def common(self) -> dict[str, Any]:
        now = clock.wall()
        return {
            "hostname": "w@h", "pid": 5, "utcoffset": 0.0, "clock": self.clock, "timestamp": now, "local_received": now,
        }  # fmt: skip


@pytest.fixture
def state():
    return State()


@pytest.fixture
def tell(state):
    return Teller(state)


def test_a_worker_is_alive_from_its_first_event_until_it_says_good_bye(state, tell):
    (worker, created), subject = tell("worker-online", freq=2.0, active=1, processed=3, loadavg=[1, 2, 3], sw_ident="x")
    assert (created, subject) == (True, "online")
    assert worker is state.workers["w@h"]
    assert (worker.alive, worker.status_string, worker.id) == (True, "ONLINE", "w@h.5")
    assert (worker.active, worker.processed, worker.loadavg, worker.sw_ident) == (1, 3, [1, 2, 3], "x")
    assert list(state.alive_workers()) == [worker]
    tell("worker-offline", freq=2.0)
    assert (worker.alive, worker.status_string) == (False, "OFFLINE")
    assert list(state.alive_workers()) == []


def test_a_silent_worker_is_gone_after_two_heartbeats(state, tell, monkeypatch):
    (worker, _), _ = tell("worker-heartbeat", freq=2.0)
    heard = worker.heartbeats[-1]
    assert worker.heartbeat_expires == heartbeat_expires(heard, 2.0) == heard + 4.0
    monkeypatch.setattr(clock, "wall", lambda: heard + 3.9)
    assert worker.alive
    monkeypatch.setattr(clock, "wall", lambda: heard + 4.1)
    assert not worker.alive


def test_a_worker_whose_clock_is_off_is_named_once(tell, caplog):
    for _ in range(3):
        tell("worker-heartbeat", freq=2.0, timestamp=clock.wall() - 3600)
    assert [record.getMessage() for record in caplog.records] == ["The clock of w@h and ours differ by 3600 s."]


def test_a_task_is_followed_from_its_client_to_its_end(state, tell):
    tell("task-sent", uuid="a", name="n", args="(1,)", kwargs="{}", queue="q", routing_key="q", hostname="gen@c")
    task = state.tasks["a"]
    assert (task.state, task.client, task.worker, task.ready) == ("PENDING", "gen@c", None, False)
    tell("task-received", uuid="a", name="n", args="(1,)", kwargs="{}")
    tell("task-started", uuid="a")
    assert (task.state, task.worker.hostname, task.origin) == ("STARTED", "w@h", "w@h.5")
    tell("task-succeeded", uuid="a", result="5", runtime=0.25)
    assert (task.state, task.result, task.runtime, task.ready) == ("SUCCESS", "5", 0.25, True)
    assert task.sent < task.received < task.started < task.succeeded == task.timestamp
    assert state.task_count == 1


def test_events_may_overtake_each_other(state, tell):
    tell("task-succeeded", uuid="a", result="5", runtime=0.1)
    tell("task-started", uuid="a")
    tell("task-received", uuid="a", name="n", args="(1,)", kwargs="{}")
    task = state.tasks["a"]
    assert (task.state, task.name, task.args, task.result) == ("SUCCESS", "n", "(1,)", "5")


def test_a_retried_task_runs_again(state, tell):
    for kind in ("received", "started", "retried", "received", "started", "failed"):
        tell(f"task-{kind}", uuid="a", name="n", exception="ValueError()")
    assert state.tasks["a"].state == "FAILURE"


def test_a_custom_event_is_a_state_of_its_own(state, tell):
    tell("task-received", uuid="a", name="n")
    assert tell("task-progress", uuid="a", done=3)[1] == "progress"
    assert (state.tasks["a"].state, state.tasks["a"].done) == ("PROGRESS", 3)


def test_tasks_know_their_relatives_in_whatever_order_they_come(state, tell):
    tell("task-received", uuid="child", name="n", parent_id="root", root_id="root")
    assert state.tasks["child"].parent is None
    tell("task-received", uuid="root", name="n", parent_id=None, root_id="root")
    tell("task-received", uuid="other", name="n", parent_id="root", root_id="root")
    assert state.tasks["child"].parent is state.tasks["child"].root is state.tasks["root"]
    assert {child.uuid for child in state.tasks["root"].children} == {"child", "other"}


def test_tasks_are_found_by_time_by_type_and_by_worker(state, tell):
    for uuid, name, host in (("a", "one", "w1"), ("b", "two", "w2"), ("c", "one", "w2")):
        tell("task-received", uuid=uuid, name=name, hostname=host)
    tell("task-started", uuid="a", hostname="w1")
    assert [uuid for uuid, _ in state.tasks_by_time()] == ["a", "c", "b"]
    assert [uuid for uuid, _ in state.tasks_by_time(limit=2, reverse=False)] == ["b", "c"]
    assert [uuid for uuid, _ in state.tasks_by_type("one")] == ["a", "c"]
    assert [uuid for uuid, _ in state.tasks_by_worker("w2", limit=1)] == ["c"]
    assert {task.uuid for task in state.tasks_by_type["one"]} == {"a", "c"}
    assert state.task_types() == ["one", "two"]
    assert [uuid for uuid, _ in state.itertasks(limit=2)] == ["b", "c"]


def test_memory_is_bounded_and_the_longest_unheard_of_goes_first():
    state = State(max_workers_in_memory=3, max_tasks_in_memory=10)
    tell = Teller(state)
    tell("task-received", uuid="kept", hostname="w", name="n")
    for number in range(1000):
        tell("task-received", uuid=str(number), hostname=f"w{number}", parent_id=f"parent-{number}", name=f"n{number}")
        tell("task-started", uuid="kept", hostname="w")
    assert len(state.tasks) == 10
    assert len(state.workers) == 3
    assert "kept" in state.tasks
    assert "w" in state.workers
    assert len(state._orphans) <= 10
    assert len(state.task_types()) == 10


def test_clearing_keeps_what_still_runs_unless_told_otherwise(state, tell):
    tell("task-started", uuid="runs")
    tell("task-succeeded", uuid="done")
    state.clear_tasks()
    assert list(state.tasks) == ["runs"]
    state.clear(ready=False)
    assert (len(state.tasks), len(state.workers), state.event_count) == (0, 0, 0)


def test_nothing_is_taken_in_while_it_is_frozen(state, tell):
    tell("task-succeeded", uuid="done")

    def look(number: int) -> tuple[int, int]:
        return number, len(state.tasks)

    assert state.freeze_while(look, 7, clear_after=True) == (7, 1)
    assert not state.tasks


def test_those_who_asked_are_told_of_nodes_and_events():
    told: list[Any] = []
    state = State(
        callback=lambda _, event: told.append(event["type"]),
        on_node_join=lambda worker: told.append(worker.hostname),
        on_node_leave=lambda worker: told.append(worker.hostname),
    )
    tell = Teller(state)
    for kind in ("worker-online", "other-thing", "worker-offline"):
        tell(kind)
    assert told == ["w@h", "worker-online", "other-thing", "w@h", "worker-offline"]


def test_a_state_survives_pickling(state, tell):
    tell("task-received", uuid="a", name="n")
    tell("task-started", uuid="a")
    again = pickle.loads(pickle.dumps(state))
    assert again.tasks["a"].as_dict() == state.tasks["a"].as_dict()
    assert again.workers["w@h"].hostname == "w@h"
    assert again.tasks["a"].worker is again.workers["w@h"]


HOSTILE = ["heard", "uuid", "cluster_state", "children", "heartbeats", "update", "_fields", "alive", "clock", "freq"]


@given(st.sampled_from(["task-started", "worker-heartbeat", "task-x", "worker-x", "", "-"]), st.data())
def test_no_field_can_hurt(kind, data):
    state = State()
    tell = Teller(state)
    values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
    for _ in range(3):
        tell(kind, uuid="a", **data.draw(st.dictionaries(st.sampled_from(HOSTILE[3:]), values)))
    tell("task-started", uuid="a", heard="x", cluster_state=1)
    tell("worker-heartbeat", freq="often", heartbeats="many")
    assert [uuid for uuid, _ in state.tasks_by_time()]
    assert list(state.alive_workers())
    assert repr(state.workers["w@h"])


KINDS = ["sent", "received", "started", "succeeded", "failed", "revoked", "rejected", "retried", "progress"]
FIELDS = {"name": "n", "args": "(1,)", "kwargs": "{}", "result": "5", "runtime": 0.5, "exception": "E()", "retries": 1}


STEPS = st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b"]), st.sets(st.sampled_from(sorted(FIELDS))))


@given(st.lists(STEPS))
def test_any_course_of_events_leads_to_the_state_that_celery_finds(course):
    ours, theirs = State(), CelerysState()
    tell = Teller(ours, theirs)
    for kind, uuid, names in course:
        tell(f"task-{kind}", uuid=uuid, root_id=uuid, **{name: FIELDS[name] for name in names})
    told = [name for name in ours.tasks["a"]._fields if name not in UNLIKE] if "a" in ours.tasks else []
    for uuid in ours.tasks:
        mine, other = ours.tasks[uuid].as_dict(), theirs.tasks[uuid].as_dict()
        assert {name: mine[name] for name in told} == {name: other[name] for name in told}
    assert ours.event_count == theirs.event_count
    assert ours.task_count == theirs.task_count


UNLIKE = {
    "worker",  # objects of two libraries
    "retries",  # Celery begins with 0 in one of two ways that it makes a task
    "timestamp",  # after an event that was overtaken, Celery tells that one's moment
    "clock",  # the same
}
