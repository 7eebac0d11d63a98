"""``skirret demo``: real work by a real worker on real files."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from skirret.cli import exits
from skirret.cli.demo_view import show_report, watching
from skirret.cli.output import show_json
from skirret.cli.parameters import Choice, json_option, option
from skirret.cli.session import Session, pass_session
from skirret.demo.files import Selection, select
from skirret.demo.processes import WorkerFailed
from skirret.demo.run import Demo, Plan, Stalled
from skirret.demo.verdict import Report


@click.command(short_help="Measure a directory's files with a real worker, and prove that none was lost.")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@option(
    "--chaos",
    is_flag=True,
    help="While it runs, kill -9 children and the worker itself, many times; then prove the count.",
)
@option("--broker", setting="broker_url", metavar="URL", help="Run over this broker instead of an embedded file.")
@option(
    "--result-backend", setting="result_backend", metavar="URL", help="Keep results here (default: beside the broker)."
)
@option(
    "-c",
    "--concurrency",
    "--processes",
    "concurrency",
    setting="worker_concurrency",
    type=click.IntRange(1),
    help="Slots of the worker (default: the number of CPUs).",
)
@option(
    "-P", "--pool", setting="worker_pool", type=Choice(["prefork", "threads", "asyncio"]), help="The worker's pool."
)
@option("--limit", type=click.IntRange(1), metavar="N", help="Measure the first N files only.")
@option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run in this directory (default: a new temporary one, kept too, so that results can be looked up).",
)
@json_option
@pass_session
def command(session: Session, /, directory: Path | None, keep: Path | None, as_json: bool, **flags: Any) -> int:
    """Measure each file below DIRECTORY (default: the sources of this Python's standard library).

    A worker is started on an embedded broker and is sent one task a file. Some tasks fail on purpose at their first
    attempt and are retried. Then comes a report, and the proof that each file was measured: the tasks' own ledger, the
    stored results and measurements of the demo's own must agree. The exit code is 0 only if they do.
    """
    selection = select(directory, flags["limit"])
    if not selection.paths:
        raise click.UsageError(f"there are no readable files below {selection.directory}")
    if (flags["broker"] or session.broker or "").startswith("memory"):
        raise click.UsageError(
            "memory:// lives within one process, and the demo's worker is another; use another broker"
        )
    project = (keep or Path(tempfile.mkdtemp(prefix="skirret-demo-"))).resolve()
    try:
        report = _run(session, selection, project, silent=as_json or session.quiet, flags=flags)
    except KeyboardInterrupt:
        click.echo("\nInterrupted: the worker was stopped.", err=True)
        if keep is None:
            shutil.rmtree(project, ignore_errors=True)
        return exits.INTERRUPTED
    except WorkerFailed as exc:
        click.echo(f"Error (worker): {exc}\nWhat to do: correct what its log says, then repeat the command.", err=True)
        return exc.code if exc.code in {exits.UNAVAILABLE, exits.CONFIG} else exits.BUG
    except Stalled as exc:
        click.echo(
            f"Error (no reply): {exc}\nWhat to do: see that the broker works, then repeat the command.", err=True
        )
        return exits.NO_REPLY
    if as_json:
        show_json(report.as_dict())
    else:
        show_report(session, report, chaos=flags["chaos"])
    return exits.OK if report.proof.holds else exits.FAILED


def _run(session: Session, selection: Selection, project: Path, *, silent: bool, flags: dict[str, Any]) -> Report:
    plan = Plan(
        selection=selection,
        project=project,
        broker=flags["broker"] or session.broker,
        result_backend=flags["result_backend"] or session.result_backend,
        concurrency=flags["concurrency"],
        chaos=flags["chaos"],
        pool=flags["pool"],
    )
    session.note(f"Measuring {len(selection.paths)} files of {selection.directory} in {project}")
    with watching(session, len(selection.paths), silent=silent) as watch:
        demo = Demo(plan, watch)
        with _interruptible(demo):
            return demo.run()


@contextmanager
def _interruptible(demo: Demo) -> Iterator[None]:
    """INT and TERM end the demo where nothing can be left behind; a second one ends it at once."""

    def interrupt(_number: int, _frame: Any) -> None:
        if demo.interrupted:
            raise KeyboardInterrupt
        demo.interrupted = True

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
