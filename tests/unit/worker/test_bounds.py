"""The bounds of children: a pool that has none says which it does not heed."""

from __future__ import annotations

import logging

from skirret.worker.bounds import Bounds


def test_a_pool_in_which_nothing_can_be_killed_says_that_it_heeds_no_cap(caplog):
    with caplog.at_level(logging.WARNING, "skirret.worker"):
        assert Bounds(tasks=3, memory=1000, cap=2000).without_cap() == Bounds(tasks=3, memory=1000)
    (record,) = caplog.records
    assert "does not heed worker_memory_cap_per_child" in record.getMessage()


def test_nothing_is_said_where_nothing_was_asked(caplog):
    assert Bounds(tasks=3).without_cap() == Bounds(tasks=3)
    assert caplog.records == []
