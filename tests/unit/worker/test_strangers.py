"""An operator hears of a task that is not registered, once, and how many came meanwhile."""

from __future__ import annotations

import logging

import pytest

from skirret.wire.envelope import Head
from skirret.worker import strangers
from skirret.worker.strangers import MOST, QUIET, Strangers


def head(task: str, task_id: str) -> Head:
    return Head(task=task, id=task_id)


@pytest.fixture
def now(monkeypatch):
    moment = [100.0]
    monkeypatch.setattr(strangers.clock, "monotonic", lambda: moment[0])
    return moment


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.ERROR, "skirret.worker")
    return lambda: caplog.messages


def test_a_thousand_messages_are_one_line_and_then_one_with_their_number(now, said):
    some = Strangers()
    for number in range(1000):
        some.came(head("gone", f"id-{number}"))
    assert len(said()) == 1
    assert "'gone'" in said()[0]
    assert "id-0" in said()[0]
    now[0] += QUIET
    some.came(head("gone", "last"))
    assert "999 more" in said()[1]
    now[0] += QUIET
    some.came(head("gone", "again"))
    assert "more" not in said()[2]


def test_each_name_is_told(now, said):
    some = Strangers()
    for name in ("one", "two", "one"):
        some.came(head(name, "id"))
    assert [("'one'" in line, "'two'" in line) for line in said()] == [(True, False), (False, True)]


def test_made_up_names_take_no_memory(now, said):
    some = Strangers()
    for number in range(3 * MOST):
        some.came(head(f"name-{number}", "id"))
        assert len(some._told) <= MOST
    some.came(head("x" * 100_000, "id"))
    assert len(said()[-1]) < 500
