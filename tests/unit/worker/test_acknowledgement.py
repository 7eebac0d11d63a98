"""What becomes of a message when its run fails, as the table of the documents prints it."""

from __future__ import annotations

from itertools import product

import pytest

from skirret.worker.acknowledgement import Failure, Fate, fate
from skirret.worker.manifest import TaskTraits
from tools.pages import DOCS, acknowledgement

DEFAULT = TaskTraits()


def test_the_documents_print_the_table_as_it_stands() -> None:
    assert acknowledgement() in (DOCS / "reliability.md").read_text()


def test_by_default_a_failure_is_recorded_and_a_death_runs_again() -> None:
    assert {failure: fate(failure, DEFAULT) for failure in Failure} == {
        Failure.EXCEPTION: Fate.FAIL,
        Failure.SOFT_LIMIT: Fate.FAIL,
        Failure.HARD_LIMIT: Fate.FAIL,
        Failure.CHILD_KILLED: Fate.AGAIN,
        Failure.WORKER_KILLED: Fate.AGAIN,
        Failure.TERMINATED: Fate.REVOKE,
        Failure.INTERRUPTED: Fate.RELEASE,
    }


@pytest.mark.parametrize("values", list(product([False, True], repeat=6)))
def test_no_combination_loses_a_late_task_or_repeats_an_early_one(values: tuple[bool, ...]) -> None:
    late, on_failure, on_timeout, reject, retry, left = values
    traits = TaskTraits(
        acks_late=late,
        acks_on_failure=on_failure,
        acks_on_timeout=on_timeout,
        reject_on_worker_lost=reject,
        retry_on_worker_lost=retry,
    )
    for failure in Failure:
        decided = fate(failure, traits, retries_left=left)
        if late:
            assert decided is not Fate.VANISH
        else:
            assert decided in {Fate.FAIL, Fate.VANISH, Fate.REVOKE, Fate.RETRY}
        if failure is Failure.INTERRUPTED and late:
            assert decided is Fate.RELEASE, "an interrupted late task is never recorded as failed"
        if decided is Fate.RETRY:
            assert failure is Failure.CHILD_KILLED
            assert retry
            assert left
