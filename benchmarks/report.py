"""A run for people, as tables of medians and ratios, and for programs, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.peers import ENTRIES
from benchmarks.sample import Failure, Quantity, Sample, medians, times_better

OURS = "skirret"
CELERY = "celery"
NO_PEERS = {OURS, "floor"}


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"


def best_peer(quantity: Quantity, by_peer: dict[str, float]) -> str | None:
    """Which peer does best; None if none was measured."""
    peers = [name for name in by_peer if name not in NO_PEERS]
    if not peers:
        return None
    return (max if quantity.more_is_better else min)(peers, key=by_peer.__getitem__)


def ratio(quantity: Quantity, by_peer: dict[str, float], peer: str | None) -> float | None:
    """How many times better we are than a peer; None if one of the two was not measured."""
    if peer is None or OURS not in by_peer or peer not in by_peer:
        return None
    return times_better(quantity, by_peer[OURS], by_peer[peer])


def times(value: float | None) -> str:
    """A ratio in a table."""
    return "" if value is None else f"{number(value)}x"


def summary_rows(found: dict[Quantity, dict[str, float]]) -> list[list[str]]:
    """Quantity, ours, the floor, Celery, the ratio to it, the best peer, the ratio to it, budget."""
    rows = []
    for quantity, by_peer in found.items():
        best = best_peer(quantity, by_peer)
        shown = {name: number(value) for name, value in by_peer.items()}
        rows.append([
            f"{quantity.name}, {quantity.unit}",
            shown.get(OURS, ""),
            shown.get("floor", ""),
            shown.get(CELERY, ""),
            times(ratio(quantity, by_peer, CELERY)),
            f"{ENTRIES[best].title} {shown[best]}" if best else "",
            times(ratio(quantity, by_peer, best)),
            quantity.budget,
        ])  # fmt: skip
    return rows


SUMMARY_HEADS = ["what", "Skirret", "floor", "Celery", "x Celery", "best peer", "x best peer", "budget"]


def full_rows(found: dict[Quantity, dict[str, float]], peers: Iterable[str]) -> list[list[str]]:
    """Quantity, then each queue."""
    return [
        [f"{quantity.name}, {quantity.unit}", *(number(by_peer[peer]) if peer in by_peer else "" for peer in peers)]
        for quantity, by_peer in found.items()
    ]


def show(about: dict[str, Any], samples: Sequence[Sample], failures: Sequence[Failure]) -> None:
    """Print both tables and what failed."""
    from rich.console import Console
    from rich.table import Table

    found = medians(samples)
    measured = {peer for by_peer in found.values() for peer in by_peer}
    peers = [name for name in ENTRIES if name in measured]
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)

    def table(title: str, heads: list[str], rows: list[list[str]]) -> None:
        made = Table(title=title)
        for head in heads:
            made.add_column(head, justify="left" if head in {"what", "budget"} else "right")
        for row in rows:
            made.add_row(*row)
        console.print(made)

    table("Medians, and how many times better Skirret is", SUMMARY_HEADS, summary_rows(found))
    table("Medians of all", ["what", *(ENTRIES[name].title for name in peers)], full_rows(found, peers))
    console.print(", ".join(f"{key} {value}" for key, value in about.items() if not isinstance(value, dict)))
    for failure in failures:
        console.print(f"round {failure.turn}, {failure.peer}, {failure.part}: {failure.reason}", markup=False)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    aligned = ["---" if head in {"what", "budget"} else "---:" for head in heads]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, aligned, *rows]) + "\n"


def as_page(about: dict[str, Any], samples: Sequence[Sample], failures: Sequence[Failure]) -> str:
    """What stands between the marks of docs/performance.md."""
    found = medians(samples)
    measured = {peer for by_peer in found.values() for peer in by_peer}
    peers = [name for name in ENTRIES if name in measured]
    versions = [
        f"{ENTRIES[name].title} {told.get(ENTRIES[name].library, '')}".strip()
        + f" ({', '.join(f'{key} {value}' for key, value in told.items() if key != ENTRIES[name].library)})"
        for name, told in about["versions"].items()
    ]
    plain = {key: value for key, value in about.items() if not isinstance(value, dict)}
    lines = [
        "![Drain of a backlog of no-op tasks](images/drain.svg)\n",
        "Medians, and how many times better Skirret is (below 1: worse):\n",
        markdown(SUMMARY_HEADS, summary_rows(found)),
        "Medians of all:\n",
        markdown(["what", *(ENTRIES[name].title for name in peers)], full_rows(found, peers)),
        "Measured with: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in plain.items()) + ".\n",
        "Versions: " + "; ".join(versions) + ".\n",
    ]
    lines += [f"- Round {each.turn}, {each.peer}, {each.part}: {each.reason}" for each in failures]
    return "\n".join(lines)


def as_json(about: dict[str, Any], samples: Sequence[Sample], failures: Sequence[Failure]) -> str:
    """Everything: the medians with their ratios, and each sample."""
    figures = []
    for quantity, by_peer in medians(samples).items():
        best = best_peer(quantity, by_peer)
        figures.append(asdict(quantity) | {
            "medians": by_peer,
            "times_better_than_celery": ratio(quantity, by_peer, CELERY),
            "best_peer": best,
            "times_better_than_best_peer": ratio(quantity, by_peer, best),
        })  # fmt: skip
    told = {
        "about": about,
        "figures": figures,
        "samples": [
            {"turn": each.turn, "peer": each.peer, "quantity": each.quantity.name, "value": each.value}
            for each in samples
        ],
        "failures": [asdict(failure) for failure in failures],
    }
    return json.dumps(told, indent=2)
