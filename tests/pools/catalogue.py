"""The features that the table of pools has a row for, which pools refuse them, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.pools.stage import POOLS, Stage

Proof = Callable[[Stage], str | None]
"""Shows on a real worker that a feature works, and returns None; or returns in which words the pool refuses it, or what
it does instead."""

PAGE = Path(__file__).parents[2] / "docs" / "pools.md"
BEGIN, END = "<!-- written by the tests: begin -->\n", "<!-- written by the tests: end -->\n"

WORKS, REFUSED, OTHERWISE = "works", "refused", "otherwise"


@dataclass(frozen=True, slots=True)
class Feature:
    """One row.

    Args:
        group: the heading that it stands under.
        words: what it is, in Markdown.
        worker: the worker that it is shown on, a key of ``stage.WORKERS``.
        refusing: the pools that refuse it: what needs a child that can be killed or added, and no more.
        otherwise: the pools in which it has another meaning.
        proof: what shows it.
    """

    group: str
    words: str
    worker: str
    refusing: frozenset[str]
    otherwise: frozenset[str]
    proof: Proof

    @property
    def name(self) -> str:
        """A name for test runs."""
        return self.proof.__name__

    def cell(self, pool: str) -> str:
        """The word under `pool`."""
        return REFUSED if pool in self.refusing else OTHERWISE if pool in self.otherwise else WORKS


FEATURES: dict[str, Feature] = {}
"""By name, in the order of the page."""


def feature(
    group: str,
    words: str,
    *,
    worker: str = "shared",
    refusing: tuple[str, ...] = (),
    otherwise: tuple[str, ...] = (),
) -> Callable[[Proof], Proof]:
    """Register the proof of a feature; see `Feature`."""

    def register(proof: Proof) -> Proof:
        FEATURES[proof.__name__] = Feature(group, words, worker, frozenset(refusing), frozenset(otherwise), proof)
        return proof

    return register


def rendered(shown: Mapping[tuple[str, str], str | None]) -> str:
    """What the tests showed, as tables.

    Args:
        shown: by (feature, pool), None or the words of the refusal.
    """
    text, refusals = "", ""
    for group in dict.fromkeys(feature.group for feature in FEATURES.values()):
        text += f"\n## {group}\n\n| | " + " | ".join(f"`{pool}`" for pool in POOLS) + " |\n|" + "---|" * 7 + "\n"
        for row in (feature for feature in FEATURES.values() if feature.group == group):
            text += f"| {row.words} | " + " | ".join(row.cell(pool) for pool in POOLS) + " |\n"
            for pool in POOLS:
                if (said := shown[row.name, pool]) is not None:
                    refusals += f"- {row.words}, `{pool}`: “{said}”\n"
    return text + (
        "\n## What is refused, in the worker's words, and what is otherwise\n\n" + refusals if refusals else ""
    )


def written(page: str) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """What the page says: (the cells, the words of refusals), each by (words of the feature, pool)."""
    part = page.partition(BEGIN)[2].partition(END)[0]
    cells: dict[tuple[str, str], str] = {}
    for line in part.splitlines():
        if line.startswith("| ") and not line.startswith("| |"):
            words, *row = [cell.strip() for cell in line.strip("|").split(" | ")]
            cells |= {(words, pool): cell for pool, cell in zip(POOLS, row, strict=True)}
    said = {
        (words, pool): reason
        for words, pool, reason in re.findall(r"^- (.*), `(\w+)`: “(.*)”$", part, flags=re.MULTILINE)
    }
    return cells, said


def rewrite(shown: Mapping[tuple[str, str], str | None]) -> None:
    """Put what the tests showed between the marks of the page; what they did not show stays as it is there.

    Raises:
        KeyError: a cell was not shown and does not stand there either.
    """
    page = PAGE.read_text(encoding="utf-8")
    cells, said = written(page)
    whole = dict(shown)
    for feature in FEATURES.values():
        for pool in POOLS:
            if (feature.name, pool) not in shown and (feature.words, pool) in cells:
                whole[feature.name, pool] = said.get((feature.words, pool))
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(head + BEGIN + rendered(whole) + "\n" + END + rest.partition(END)[2], encoding="utf-8")
