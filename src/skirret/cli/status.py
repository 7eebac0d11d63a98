"""``skirret status``: which workers are there."""

from __future__ import annotations

import click

from skirret.cli import exits
from skirret.cli.nodes import NoReply, destination_option, json_option, timeout_option
from skirret.cli.output import printable, show_json
from skirret.cli.session import Session, pass_session


@click.command(short_help="Show which workers are online.")
@timeout_option
@destination_option
@json_option
@pass_session
def command(session: Session, timeout: float | None, destination: list[str] | None, as_json: bool) -> int:
    """Show which workers are online. Exit code 75 says that there are none."""
    replies = session.app().control.ping(destination, timeout=1.0 if timeout is None else timeout) or []
    nodes = sorted({node for reply in replies for node in reply})
    if as_json:
        show_json({node: {"ok": "online"} for node in nodes})
    else:
        for node in nodes:
            click.echo(f"->  {printable(node)}: OK")
    if not nodes:
        raise NoReply
    session.note(f"{len(nodes)} node{'' if len(nodes) == 1 else 's'} online.")
    return exits.OK
