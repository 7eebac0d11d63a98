"""``skirret queues``: how much waits where."""

from __future__ import annotations

import click

from skirret.cli.completing import complete_queues
from skirret.cli.known import declared_queues, queue_names
from skirret.cli.output import show_json, show_table
from skirret.cli.parameters import CommaList, json_option, option
from skirret.cli.session import Session, pass_session

COLUMNS = ("queue", "ready", "held", "delayed", "dead")


@click.command(short_help="Show how many messages each queue has.")
@option("-Q", "--queues", type=CommaList(), shell_complete=complete_queues, help="Show these only.")
@json_option
@pass_session
def command(session: Session, queues: list[str] | None, as_json: bool) -> None:
    """Show how many messages each queue has.

    ready: may run now. held: with a worker. delayed: wait for their time. dead: given up, see `skirret dead`.
    """
    app = session.app()
    declared = set(declared_queues(app))
    rows = []
    for name in queues or queue_names(app):
        size = app.broker.size(name)
        rows.append(
            {
                "queue": name,
                "ready": size.ready,
                "held": size.held,
                "delayed": size.delayed,
                "dead": size.dead,
                "declared": name in declared,
            }
        )
    if as_json:
        show_json(rows)
        return
    show_table(session, COLUMNS, [[row[name] for name in COLUMNS] for row in rows], numbers=COLUMNS[1:])
