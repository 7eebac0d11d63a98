"""What is measured, as names, and one measured value."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """Something that is measured for several queues.

    Args:
        name: of it.
        unit: of its values.
        more_is_better: else less is.
        budget: what the design asks of Skirret, in words; empty if nothing.
    """

    name: str
    unit: str
    more_is_better: bool = True
    budget: str = ""


@dataclass(frozen=True)
class Sample:
    """One value.

    Args:
        turn: in which round, from 1.
        peer: whose, by name.
        quantity: what.
        value: in the quantity's unit.
    """

    turn: int
    peer: str
    quantity: Quantity
    value: float


@dataclass(frozen=True)
class Failure:
    """What could not be measured.

    Args:
        turn: in which round, from 1.
        peer: whose, by name.
        part: what was tried.
        reason: what happened.
    """

    turn: int
    peer: str
    part: str
    reason: str


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def medians(samples: Sequence[Sample]) -> dict[Quantity, dict[str, float]]:
    """The median over the rounds, by quantity and peer, in the order in which they came."""
    values: dict[Quantity, dict[str, list[float]]] = {}
    for sample in samples:
        values.setdefault(sample.quantity, {}).setdefault(sample.peer, []).append(sample.value)
    return {
        quantity: {peer: statistics.median(found) for peer, found in by_peer.items()}
        for quantity, by_peer in values.items()
    }


def times_better(quantity: Quantity, ours: float, theirs: float) -> float:
    """How many times better `ours` is than `theirs`; below 1 it is worse."""
    over, under = (ours, theirs) if quantity.more_is_better else (theirs, ours)
    return over / under if under else float("inf")
