"""The rules of a pool in which nothing can be killed: it says which of them it does not heed."""

from __future__ import annotations

import logging

from skirret.settings import Conf
from skirret.worker.bounds import Bounds
from skirret.worker.manifest import TaskTraits
from skirret.worker.rules import Rules


def rules(**settings):
    return Rules({}, Conf.from_plain(settings), stores_results=False)


def test_a_pool_in_which_nothing_can_be_killed_says_what_it_does_not_heed(caplog):
    asked = rules(
        worker_max_tasks_per_child=3,
        worker_memory_cap_per_child=2000,
        worker_cancel_long_running_tasks_on_connection_loss=True,
    )
    with caplog.at_level(logging.WARNING, "skirret.worker"):
        asked.without_kills()
    assert asked.bounds == Bounds(tasks=3)
    assert not asked.cancels_on_loss
    (record,) = caplog.records
    names = "worker_memory_cap_per_child, worker_cancel_long_running_tasks_on_connection_loss"
    assert f"does not heed {names}. " in record.getMessage()


def test_nothing_is_said_where_nothing_was_asked(caplog):
    rules(worker_max_tasks_per_child=3).without_kills()
    assert caplog.records == []


def test_messages_may_be_held_for_as_long_as_the_longest_hard_limit_if_there_is_one():
    limits = {"none": TaskTraits(), "short": TaskTraits(time_limit=5.0), "long": TaskTraits(time_limit=3600.0)}
    assert Rules(limits, Conf(), stores_results=False).limits.hold == 3600.0
    assert Rules({"none": TaskTraits()}, Conf(), stores_results=False).limits.hold is None
