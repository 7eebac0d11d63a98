"""The judge of second runs knows each cause, and tells when there is none."""

from __future__ import annotations

import pytest

from tests.acceptance.repeats import explain, runs_of

FAULT = 100.0


def ledger(*runs: tuple[str, float, float | None]) -> list[list[str]]:
    """Lines of runs: task, beginning, end or death."""
    lines = [(began, "start", key, n) for n, (key, began, _) in enumerate(runs)]
    lines += [(ended, "end", key, n) for n, (key, _, ended) in enumerate(runs) if ended is not None]
    return [[word, key, str(process), str(moment)] for moment, word, key, process in sorted(lines)]


@pytest.mark.parametrize(
    "cause, runs",
    [
        ("interrupted", [("a", 99.9, None), ("a", 103.0, 103.1)]),  # its process died
        ("interrupted", [("a", 99.9, 100.1), ("a", 103.0, 103.1)]),  # it ran on while the server was away
        ("interrupted", [("a", 99.5, 99.6), ("a", 103.0, 103.1)]),  # its settlement was under way
        ("resent", [("sent", 99.95, 99.96), ("sent", 99.97, 99.98)]),
        ("unexplained", [("a", 90.0, 90.1), ("a", 103.0, 103.1)]),  # settled long before
        ("unexplained", [("a", 100.5, 100.6), ("a", 103.0, 103.1)]),  # not begun at the fault: it should have waited
        ("unexplained", [("a", 103.0, 103.1), ("a", 104.0, 104.1)]),
    ],
)
def test_a_second_run_has_its_cause(cause, runs):
    repeats = explain(runs_of(ledger(*runs)), {"sent": (99.9, 101.0)}, [50.0, FAULT])
    found = {name: count if isinstance(count, int) else len(count) for name, count in vars(repeats).items()}
    assert found == {**dict.fromkeys(found, 0), cause: 1}


def test_what_follows_a_task_that_ran_again_may_run_again():
    follows = [("a+", 105.0, 105.1), ("a+", 106.0, 106.1)]
    twice = explain(runs_of(ledger(("a", 99.9, None), ("a", 103.0, 103.1), *follows)), {}, [FAULT])
    assert (twice.interrupted, twice.followed, twice.unexplained) == (1, 1, [])
    assert explain(runs_of(ledger(("a", 99.9, 100.0), *follows)), {}, [FAULT]).unexplained


def test_a_child_may_begin_a_task_after_its_supervisors_death():
    runs = runs_of(ledger(("a", 100.3, None), ("a", 103.0, 103.1)))
    assert explain(runs, {}, [FAULT], afterlife=1.0).interrupted == 1
