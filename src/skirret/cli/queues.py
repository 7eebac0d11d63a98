"""``skirret queues``: how much waits where, and pausing and resuming a queue across the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from skirret.cli.completing import complete_queues
from skirret.cli.known import declared_queues, queue_names
from skirret.cli.output import show_json, show_table
from skirret.cli.parameters import CommaList, SuggestingGroup, json_option, option
from skirret.cli.session import Session, pass_session
from skirret.errors import ImproperlyConfigured

if TYPE_CHECKING:
    from skirret.app import Skirret

NUMBERS: Final = ("ready", "held", "delayed", "dead")
COLUMNS: Final = ("queue", *NUMBERS, "state")

_names = click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_queues)


@click.group(
    cls=SuggestingGroup, invoke_without_command=True, short_help="Show how many messages each queue has; pause, resume."
)
@option("-Q", "--queues", type=CommaList(), shell_complete=complete_queues, help="Show these only.")
@json_option
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, queues: list[str] | None, as_json: bool) -> None:
    """Show how many messages each queue has, and pause or resume queues.

    ready: may run now. held: with a worker. delayed: wait for their time. dead: given up, see `skirret dead`.
    A paused queue is one that no worker takes from until it is resumed.
    """
    if ctx.invoked_subcommand is not None:
        return
    app = session.app()
    rows = _rows(app, queues or sorted({*queue_names(app), *_paused(app)}))
    if as_json:
        show_json(rows)
        return
    cells = [[*(row[name] for name in COLUMNS[:-1]), "paused" if row["paused"] else ""] for row in rows]
    show_table(session, COLUMNS, cells, numbers=NUMBERS)


@command.command("pause")
@_names
@json_option
@pass_session
def pause(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Let no worker take from these queues until they are resumed.

    Tasks that run go on, and publishing does too. Workers follow within about a second, and so do those that start
    later.
    """
    changed = session.app().pause_queue(names)
    _tell(session, names, changed, "paused", as_json=as_json)


@command.command("resume")
@_names
@json_option
@pass_session
def resume(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Let workers take from these queues again."""
    changed = session.app().resume_queue(names)
    _tell(session, names, changed, "resumed", as_json=as_json)


def _tell(session: Session, names: tuple[str, ...], changed: list[str], word: str, *, as_json: bool) -> None:
    if as_json:
        show_json({word: changed})
        return
    for name in names:
        if name in changed:
            click.echo(f"{name}: {word}")
        else:
            session.note(f"{name}: was {'paused already' if word == 'paused' else 'not paused'}")


def _paused(app: Skirret) -> list[str]:
    try:
        return app.paused_queues()
    except ImproperlyConfigured:  # nothing here keeps shared state, so nothing can be paused
        return []


def _rows(app: Skirret, names: list[str]) -> list[dict[str, Any]]:
    declared, paused = set(declared_queues(app)), set(_paused(app))
    rows = []
    for name in names:
        size = app.broker.size(name)
        rows.append(
            {
                "queue": name,
                "ready": size.ready,
                "held": size.held,
                "delayed": size.delayed,
                "dead": size.dead,
                "declared": name in declared,
                "paused": name in paused,
            }
        )
    return rows
