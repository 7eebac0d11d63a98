"""Why tasks ran again: every second run held against the moments of the faults, as promise P2 counts them. No I/O."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SETTLING = 1.0
"""Seconds that the settlement of a finished run may be under way, on a machine that others use."""


NOTING = 0.02
"""Seconds within which a fault comes after its moment was noted."""


@dataclass
class Repeats:
    """Runs of tasks beyond their first, by what made them."""

    interrupted: int = 0
    """Of runs that were under way when a fault came, or finished and not settled yet."""
    followed: int = 0
    """Of what follows a task that ran again: a broker that knows no ids has its message twice."""
    resent: int = 0
    """Of a message whose sender had heard no confirmation when a fault came."""
    unexplained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"of second runs {self.interrupted} were of interrupted or unsettled ones, {self.followed} follow such, "
            f"{self.resent} were sent twice, {len(self.unexplained)} have no cause"
        )


@dataclass
class Run:
    """One run of a task; without an end it died."""

    process: str
    began: float
    ended: float | None = None


def runs_of(ledger: Iterable[Sequence[str]]) -> dict[str, list[Run]]:
    """Each task's runs in their order.

    Args:
        ledger: the tasks' lines: word, key, process, moment.
    """
    found: dict[str, list[Run]] = defaultdict(list)
    for word, key, process, moment in ledger:
        if word == "start":
            found[key].append(Run(process, float(moment)))
        elif word == "end":
            mine = [run for run in found[key] if run.process == process]
            mine[-1].ended = float(moment)
    return found


def explain(
    runs: Mapping[str, Sequence[Run]],
    called: Mapping[str, tuple[float, float]],
    faults: Sequence[float],
    afterlife: float = 0.0,
) -> Repeats:
    """Find the cause of each second run.

    Args:
        runs: of each task.
        called: when each task's sender called, and when it was told of the end.
        faults: the moments of the kills.
        afterlife: seconds that a process may live after a fault that is its end.
    """
    found = Repeats()
    for key, mine in runs.items():
        for first, again in itertools.pairwise(mine):
            call, told = called.get(key, (0.0, 0.0))
            latest = max(afterlife, NOTING)
            between = [fault for fault in faults if first.began <= fault + latest and fault <= again.began]
            if any(first.ended is None or fault <= first.ended + SETTLING for fault in between):
                found.interrupted += 1
            elif len(runs.get(key.removesuffix("+"), ())) > 1 and key.endswith("+"):
                found.followed += 1
            elif any(call <= fault <= told for fault in faults):
                found.resent += 1
            else:
                found.unexplained.append(f"{key} began {[run.began for run in mine]}, faults at {faults}")
    return found
