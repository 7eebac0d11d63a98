"""What a task sends from inside a worker belongs to its family; what follows it does too."""

from __future__ import annotations

import pytest

from skirret import context
from skirret.request import Context
from skirret.wire import task as wire_task
from tests.unit.app.conftest import only


@pytest.fixture
def running(app):
    """A task that a worker runs."""
    task = app.task(name="parent")(lambda: None)
    request = Context(
        id="pid",
        task="parent",
        root_id="root",
        called_directly=False,
        delivery_info={"priority": 7, "routing_key": "q"},
    )
    context.push_task(task, request)
    yield request
    context.pop_task()


def test_a_call_from_a_running_task_is_its_child(app, running):
    child = app.task(name="child")(lambda: None)
    result = child.delay()
    assert (only(app).root_id, only(app).parent_id) == ("root", "pid")
    assert [r.id for r in running.children] == [result.id]


def test_add_to_parent_false_leaves_no_trail_but_keeps_the_lineage(app, running):
    app.task(name="child")(lambda: None).apply_async(add_to_parent=False)
    assert running.children == []
    assert only(app).parent_id == "pid"


def test_a_task_without_trail_remembers_nothing(app, running):
    app.tasks["parent"].trail = False
    app.send_task("child")
    assert running.children == []


def test_the_parents_priority_is_inherited_if_the_settings_say_so(app, running):
    app.send_task("a", queue="one")
    app.conf.task_inherit_parent_priority = True
    app.send_task("b", queue="two")
    app.send_task("c", queue="three", priority=2)
    assert [only(app, q).priority for q in ("one", "two", "three")] == [0, 7, 2]


def test_a_task_that_was_called_directly_is_nobodys_parent(app, running):
    @app.task
    def inner():
        return app.send_task("x")

    inner()
    assert only(app).parent_id == "pid"


def test_outside_of_tasks_a_call_is_its_own_root(app):
    @app.task
    def direct():
        return app.send_task("x")

    result = direct()
    assert (only(app).root_id, only(app).parent_id) == (result.id, None)


def test_a_successor_is_prepared_with_arguments_in_front_and_the_lineage_of_its_predecessor(app):
    request = Context(id="pid", root_id="root", delivery_info={"priority": 5})
    signature = {"task": "next", "args": [2], "kwargs": {"k": 1}, "options": {"queue": "q", "task_id": "next-id"}}
    publication = app.publisher.successor(signature, (1,), request)
    message = wire_task.decode(publication.envelope)
    assert (publication.task_id, publication.route.queue) == ("next-id", "q")
    assert (list(message.args), message.kwargs) == ([1, 2], {"k": 1})
    assert (message.root_id, message.parent_id, message.priority) == ("root", "pid", 0)
    app.conf.task_inherit_parent_priority = True
    assert wire_task.decode(app.publisher.successor(signature, (), request).envelope).priority == 5


def test_an_immutable_successor_takes_no_arguments_and_chain_wins_over_its_options(app):
    signature = {"task": "next", "args": [2], "kwargs": {}, "options": {}, "immutable": True}
    rest = [{"task": "last", "args": [], "kwargs": {}, "options": {}}]
    publication = app.publisher.successor(signature, (1,), Context(id="pid"), chain=rest)
    message = wire_task.decode(publication.envelope)
    assert (list(message.args), message.root_id) == ([2], "pid")
    assert message.chain[0]["task"] == "last"


def test_a_successor_uses_the_attributes_of_its_task(app):
    app.task(name="next", queue="own")(lambda: None)
    assert app.publisher.successor({"task": "next"}, (), Context(id="p")).route.queue == "own"
