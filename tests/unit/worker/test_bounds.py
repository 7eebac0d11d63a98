"""The bounds of children: a pool that has none says which of them it does not heed."""

from __future__ import annotations

import logging

import pytest

from skirret.worker.bounds import Bounds


@pytest.mark.parametrize(
    "bounds, named",
    [
        (Bounds(tasks=5), "worker_max_tasks_per_child"),
        (Bounds(memory=1000, cap=2000), "worker_max_memory_per_child, worker_memory_cap_per_child"),
    ],
)
def test_a_pool_without_children_names_what_it_does_not_heed(caplog, bounds, named):
    with caplog.at_level(logging.WARNING, "skirret.worker"):
        assert bounds.without_children() == Bounds()
    (record,) = caplog.records
    assert f"does not heed {named}. " in record.getMessage()


def test_nothing_is_said_where_nothing_was_asked(caplog):
    assert Bounds().without_children() == Bounds()
    assert caplog.records == []
