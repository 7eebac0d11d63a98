"""``skirret inspect``: ask workers what they run, consume and count."""

from __future__ import annotations

import click

from skirret.cli import exits
from skirret.cli.nodes import carry_out, destination_option, json_option, show_list, timeout_option
from skirret.cli.session import Session, pass_session


@click.command(short_help="Look into running workers.")
@click.argument("words", nargs=-1, metavar="COMMAND [ARGUMENT]...")
@click.option("-l", "--list", "listed", is_flag=True, help="List the commands.")
@timeout_option
@destination_option
@json_option
@pass_session
def command(
    session: Session,
    words: tuple[str, ...],
    listed: bool,
    timeout: float | None,
    destination: list[str] | None,
    as_json: bool,
) -> int:
    """Look into running workers: what they run, what they consume, how they are set.

    Returns as soon as all workers have replied. Exit code 75 says that none did, 1 that one could not do it.
    """
    if listed:
        show_list(session, "inspect")
        return exits.OK
    if not words:
        raise click.UsageError("name a command; `skirret inspect --list` lists them.")
    return carry_out(session, "inspect", words, timeout=timeout, destination=destination, as_json=as_json)
