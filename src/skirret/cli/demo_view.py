"""What the demo looks like: a progress bar for a person, lines for a pipe, and the report."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from skirret.cli.output import console, show_pairs, show_table
from skirret.cli.session import Session
from skirret.demo.run import Progress, Watcher
from skirret.demo.verdict import Proof, Report

LINE_EVERY = 1.0


@contextmanager
def watching(session: Session, total: int, *, silent: bool) -> Iterator[Watcher]:
    """Something to hand the progress to. All of it goes to stderr, because it is no data."""
    if silent:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _bar(session, total) as watch:
            yield watch
    else:
        yield _Lines()


@contextmanager
def _bar(session: Session, total: int) -> Iterator[Watcher]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console(session, stderr=True)) as bar:
        line = bar.add_task("measuring", total=total, numbers="")

        def watch(progress: Progress) -> None:
            bar.update(line, completed=progress.done + progress.failed, numbers=_numbers(progress))

        yield watch


class _Lines:
    """A line a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        finished = progress.done + progress.failed
        now = time.monotonic()
        if now - self._last >= LINE_EVERY or (finished == progress.total and self._last):
            self._last = now
            click.echo(f"{finished}/{progress.total}  {_numbers(progress)}", err=True)


def _numbers(progress: Progress) -> str:
    rate = progress.done / progress.seconds if progress.seconds else 0.0
    text = f"{progress.done} done, {progress.failed} failed, {progress.retried} retried, {rate:.0f} tasks/s"
    return f"{text}, {progress.strikes} kills" if progress.strikes else text


def show_report(session: Session, report: Report, *, chaos: bool) -> None:
    """Print the tables, the proof, and where to look further."""
    totals = report.totals
    ratio = totals.bytes / totals.compressed if totals.compressed else 0.0
    click.echo()
    show_pairs(
        session,
        {
            "files": f"{report.files:,} of {report.directory}"
            + (f" ({report.skipped} skipped)" if report.skipped else ""),
            "succeeded": f"{report.succeeded:,}",
            "failed": f"{len(report.failed):,}",
            "retried": f"{report.retried:,} (they fail on purpose at the first attempt)",
            "size": f"{totals.bytes:,} bytes, {ratio:.2f} times their compressed size",
            "lines": f"{totals.lines:,}",
            "words": f"{totals.words:,}",
            "throughput": f"{report.rate:,.0f} tasks/s, {totals.bytes / 1e6 / (report.seconds or 1):.1f} MB/s",
            "time": f"{report.seconds:.1f} s",
        },
        title="Totals",
    )
    base = report.directory + "/"
    click.echo()
    rows = [
        [f["path"].removeprefix(base), *(f"{f[k]:,}" for k in ("size", "lines", "words")), f["ratio"]]
        for f in totals.largest
    ]
    columns = ("file", "bytes", "lines", "words", "ratio")
    show_table(session, columns, rows, title="The ten largest", numbers=columns[1:])
    click.echo()
    names = [[name, f"{count:,}"] for name, count in totals.identifiers]
    show_table(
        session,
        ("identifier", "times"),
        names,
        title="The most frequent identifiers (of each file's top 25)",
        numbers=("times",),
    )
    for path, reason in sorted(report.failed.items())[:10]:
        click.echo(f"failed: {path}: {reason}")
    click.echo()
    _show_proof(session, report.proof, chaos=chaos)
    click.echo()
    _show_next(report)


def _show_proof(session: Session, proof: Proof, *, chaos: bool) -> None:
    facts: dict[str, Any] = {}
    if chaos:
        facts["killed -9"] = f"{proof.killed_children} children, {proof.killed_workers} times the worker itself"
        facts["cut off"] = f"{proof.cut_off} runs were interrupted by a kill"
    facts["lost"] = len(proof.lost)
    facts["wrong"] = f"{len(proof.wrong)} ({proof.verified} files were measured again to compare)"
    facts["repeated"] = f"{proof.repeated} files' measurements ran again (at least once is the promise)"
    if proof.left_behind:
        facts["left behind"] = f"{proof.left_behind} processes of the worker did not end by themselves"
    show_pairs(session, facts, title="Proof: the tasks' ledger, the stored results and measurements of our own agree")
    for path in [*proof.lost[:10], *proof.wrong[:10]]:
        click.echo(f"  NOT PROVEN: {path}")
    verdict = "each file was measured, nothing was lost" if proof.holds else "THE COUNT IS NOT PROVEN, see above"
    click.echo(f"  {proof.expected} files: {verdict}.")


def _program() -> str:
    """What to type for this very program: its name where the shell finds it by that, else its path."""
    started, found = Path(sys.argv[0]).absolute(), shutil.which("skirret")
    if found is not None and started.name == "skirret" and Path(found).samefile(started):
        return "skirret"
    return shlex.quote(str(started)) if started.name == "skirret" else f"{shlex.quote(sys.executable)} -m skirret"


def _show_next(report: Report) -> None:
    project = shlex.quote(report.project)
    where = f"cd {project} && {_program()}"
    if not report.broker.startswith("sqlite:"):
        where += f" -b {shlex.quote(report.broker)} --result-backend {shlex.quote(report.results)}"
    click.echo("Look up a result:")
    click.echo(f"  {where} result {report.example_id}")
    click.echo(f"The ledger and the worker's log are in {report.project}; when you are done: rm -r {project}")
