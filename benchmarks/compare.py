"""``scripts/bench [redis|rabbitmq]``: Skirret beside its peers on one private server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import chart, drain, environment, rabbitmq, report, server
from benchmarks.figure import machine
from benchmarks.peers import ENTRIES, Entry
from benchmarks.plan import BACKLOGS, PARTS, Plan
from benchmarks.sample import Sample, medians
from benchmarks.turns import Turns

PAGE = environment.ROOT / "docs" / "performance.md"
CHART = environment.ROOT / "docs" / "images" / "drain.svg"
BEGIN = "<!-- Written by scripts/bench --docs. -->"
END = "<!-- End of what scripts/bench wrote. -->"


def names(known: Iterable[str], what: str) -> Any:
    """A reader of comma-separated names."""
    known = list(known)

    def read(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        if wrong := [name for name in found if name not in known]:
            message = f"no {what} is called {', '.join(wrong)}; there are: {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
        return found

    return read


def add_options(parser: argparse.ArgumentParser, broker: str = "redis") -> None:
    """What can be chosen on the command line, for a run on this broker."""
    parser.set_defaults(broker=broker, docs=False)
    there = [name for name, entry in ENTRIES.items() if broker in entry.brokers]
    usual = Plan()
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: one small round, of what is installed already"
    )
    parser.add_argument(
        "--only",
        type=names(there, "queue"),
        metavar="NAME,...",
        help="these queues and no others",
    )
    parser.add_argument("--parts", type=names(PARTS, "part"), metavar="PART,...", help="of: " + ", ".join(PARTS))
    parser.add_argument(
        "--drains", metavar="TEXT", help="only the backlogs whose names contain it, of: "
        + "; ".join(backlog.name for backlog in BACKLOGS),
    )  # fmt: skip
    parser.add_argument("--tasks", type=int, help="length of every backlog (default: from each queue's own rate)")
    parser.add_argument("--most", type=int, default=usual.most_tasks, help="no backlog is longer (default %(default)s)")
    parser.add_argument("--rounds", type=int, help=f"medians are of so many (default {usual.rounds})")
    parser.add_argument("--seconds", type=float, help=f"of the drain of no-op tasks (default {usual.seconds:g})")
    parser.add_argument("--calls", type=int, help=f"single calls and round trips (default {usual.calls})")
    parser.add_argument("--idle", type=float, help=f"seconds an idle worker is watched (default {usual.idle:g})")
    parser.add_argument("--concurrency", type=int, default=usual.concurrency, help="of a worker (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too; - for stdout only")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write the chart there, as SVG")
    if broker == "redis":  # the page has one place for figures
        parser.add_argument("--docs", action="store_true", help="put figures and chart into docs/performance.md")


def plan_of(options: argparse.Namespace) -> Plan:
    """What the options ask for."""
    usual = Plan(rounds=1, seconds=1, tasks=40, calls=20, idle=0.3) if options.quick else Plan()
    backlogs = [each for each in BACKLOGS if options.drains is None or options.drains in each.name]
    if options.quick and options.drains is None:
        backlogs = [each for each in BACKLOGS if each.concurrency is None and each.kind in {"none", "mixed"}]

    def chosen(name: str) -> Any:
        given = getattr(options, name)
        return getattr(usual, name) if given is None else given

    return Plan(
        rounds=chosen("rounds"), seconds=chosen("seconds"), tasks=chosen("tasks"), most_tasks=options.most,
        calls=chosen("calls"), idle=chosen("idle"), concurrency=options.concurrency,
        parts=tuple(options.parts or usual.parts), backlogs=tuple(backlogs),
    )  # fmt: skip


def queues(options: argparse.Namespace) -> dict[Entry, Path]:
    """The queues to measure, with their interpreters; environments are made unless the run is a quick one."""
    found: dict[Entry, Path] = {}
    for entry in ENTRIES.values():
        if options.broker not in entry.brokers or (options.only and entry.name not in options.only):
            continue
        if not options.quick:
            found[entry] = environment.make(entry.environment)
        elif python := environment.installed(entry.environment, entry.library):
            found[entry] = python
        else:
            print(f"... {entry.title} is not installed", file=sys.stderr)
    return found


def draw(samples: list[Sample], file: Path) -> None:
    """The chart of the headline drain, fastest first."""
    headline = drain.rate_of(next(backlog for backlog in BACKLOGS if backlog.headline))
    by_peer = medians(samples).get(headline, {})
    kinds = {report.OURS: "ours", "floor": "floor"}
    rows = [
        (ENTRIES[name].title, value, report.number(value), kinds.get(name, "bar"))
        for name, value in sorted(by_peer.items(), key=lambda item: -item[1])
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(chart.bars("Drain of a backlog of no-op tasks, tasks/s", rows), encoding="utf-8")


def about(plan: Plan, turns: Turns) -> dict[str, Any]:
    """What the figures depend on."""
    return (
        machine()
        | turns.server.about
        | {
            "load_after": os.getloadavg()[0],
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "concurrency": plan.concurrency,
            "tasks": {entry.name: round(rate) for entry, rate in turns.paces.items()},
            "versions": turns.versions,
        }
    )


def put(page: str, figures: str) -> str:
    """`page` with `figures` between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def run(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    plan = plan_of(options)
    chosen = queues(options)
    before = os.getloadavg()[0]
    with server.running() if options.broker == "redis" else rabbitmq.running() as measured:
        turns = Turns(plan, chosen, measured)
        try:
            turns.run()
        except KeyboardInterrupt:
            print("... interrupted: what was measured follows", file=sys.stderr)
    told = about(plan, turns) | {"load_before": before}
    if options.json:
        text = report.as_json(told, turns.samples, turns.failures)
        if str(options.json) == "-":
            print(text)
            return
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.chart:
        draw(turns.samples, options.chart)
    if options.docs:
        draw(turns.samples, CHART)
        figures = report.as_page(told, turns.samples, turns.failures)
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    report.show(told, turns.samples, turns.failures)
