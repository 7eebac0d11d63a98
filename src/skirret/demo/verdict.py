"""What the demo found, and whether it may say that nothing was lost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skirret.demo.ledger import Account


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over the measured files."""

    files: int = 0
    bytes: int = 0
    lines: int = 0
    words: int = 0
    compressed: int = 0
    largest: list[dict[str, Any]] = field(default_factory=list)
    identifiers: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Proof:
    """The count, file by file.

    Args:
        expected: files that were to be measured.
        lost: files without a SUCCESS result, or that the ledger does not know as measured.
        wrong: files whose result differs from the ledger's digest or from the demo's own measurement.
        verified: files that the demo measured itself to compare.
        repeated: measurements beyond the first of a file (at-least-once: they may be, and are counted).
        cut_off: runs that a kill ended.
        killed_children, killed_workers: strikes of ``--chaos``.
        processes: how many processes ran tasks.
        left_behind: processes of the worker that did not end by themselves.
    """

    expected: int
    lost: list[str]
    wrong: list[str]
    verified: int
    repeated: int
    cut_off: int
    killed_children: int = 0
    killed_workers: int = 0
    processes: int = 0
    left_behind: int = 0

    @property
    def holds(self) -> bool:
        """Nothing was lost, nothing is wrong, nobody was left behind."""
        return not self.lost and not self.wrong and not self.left_behind


@dataclass(slots=True, kw_only=True)
class Report:
    """All that the demo has to tell."""

    directory: str
    files: int
    skipped: int
    succeeded: int
    failed: dict[str, str]
    retried: int
    seconds: float
    totals: Totals
    proof: Proof
    broker: str
    results: str
    queue: str
    project: str
    example_id: str

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return self.files / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-plain."""
        return {**asdict(self), "tasks_per_second": round(self.rate, 1), "proven": self.proof.holds}


def add_up(results: Mapping[str, Mapping[str, Any]]) -> Totals:
    """Sums, the ten largest files and the ten most frequent identifiers.

    Args:
        results: what `measure` gave, by path.
    """
    names: Counter[str] = Counter()
    for facts in results.values():
        names.update(dict(facts["identifiers"]))
    largest = sorted(results.values(), key=lambda facts: (-facts["size"], facts["path"]))[:10]
    keys = ("path", "size", "lines", "words", "ratio")
    return Totals(
        files=len(results),
        bytes=sum(facts["size"] for facts in results.values()),
        lines=sum(facts["lines"] for facts in results.values()),
        words=sum(facts["words"] for facts in results.values()),
        compressed=sum(facts["compressed"] for facts in results.values()),
        largest=[{key: facts[key] for key in keys} for facts in largest],
        identifiers=sorted(names.items(), key=lambda item: (-item[1], item[0]))[:10],
    )


def prove(
    paths: list[str], results: Mapping[str, Mapping[str, Any]], account: Account, own: Mapping[str, Mapping[str, Any]]
) -> Proof:
    """Compare three accounts that know nothing of each other.

    Args:
        paths: what was sent.
        results: the results of the tasks that succeeded, by path.
        account: the ledger.
        own: measurements that the demo made itself, by path.
    """
    lost = [path for path in paths if path not in results or path not in account.measured]
    wrong = []
    for path, facts in results.items():
        digests = account.digests.get(path, set())
        differs = path in own and any(facts.get(key) != value for key, value in own[path].items())
        if facts["path"] != path or (digests and facts["sha256"] not in digests) or differs:
            wrong.append(path)
    return Proof(
        expected=len(paths),
        lost=lost,
        wrong=sorted(wrong),
        verified=len(own),
        repeated=account.repeated,
        cut_off=max(0, account.cut_off),
        processes=len(account.processes),
    )
