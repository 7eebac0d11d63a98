"""The one rule by which options are merged, and what is said of misspelt ones."""

from __future__ import annotations

import inspect

import pytest

from skirret import options


def test_the_strongest_layer_that_says_something_wins():
    assert options.merge({"a": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 3, "c": 3}) == {"a": 1, "b": 2, "c": 3}


def test_none_says_nothing_and_false_zero_and_empty_do():
    assert options.merge({"a": None, "b": 0, "c": False, "d": ""}, {"a": 1, "b": 1, "c": 1, "d": 1}) == {
        "a": 1, "b": 0, "c": False, "d": "",
    }  # fmt: skip
    assert options.merge(None, {"a": 1}) == {"a": 1}
    assert options.merge() == {}


def test_layers_are_left_as_they_were():
    weak, strong = {"a": 1}, {"a": 2}
    options.merge(strong, weak)["a"] = 3
    assert (weak, strong) == ({"a": 1}, {"a": 2})


@pytest.mark.parametrize(
    "wrong,right", [("priorty", "priority"), ("expire", "expires"), ("que", "queue"), ("routingkey", "routing_key")]
)
def test_a_name_near_an_option_is_refused(wrong, right):
    with pytest.raises(TypeError, match=rf"{wrong!r}; did you mean {right!r}"):
        options.check([wrong])


def test_a_name_of_the_callers_own_is_let_through():
    options.check(["x_my_property", "tenant"])


def test_every_option_of_celerys_apply_async_and_send_task_is_known():
    from celery.app.base import Celery
    from celery.app.task import Task

    names = set()
    for function in (Task.apply_async, Celery.send_task):
        names |= set(inspect.signature(function).parameters)
    assert names - {"self", "name", "args", "kwargs", "options"} <= options.KNOWN
