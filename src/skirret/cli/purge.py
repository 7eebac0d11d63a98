"""``skirret purge``: drop what waits in queues."""

from __future__ import annotations

import click

from skirret.cli.completing import complete_queues
from skirret.cli.known import declared_queues
from skirret.cli.output import show_json
from skirret.cli.parameters import CommaList, json_option, option
from skirret.cli.session import Session, pass_session


@click.command(short_help="Drop the messages that wait in queues.")
@option("-f", "--force", is_flag=True, help="Do not ask.")
@option(
    "-Q", "--queues", type=CommaList(), shell_complete=complete_queues, help="Purge these (default: the app's own)."
)
@option(
    "-X", "--exclude-queues", "exclude", type=CommaList(), shell_complete=complete_queues, help="Purge all but these."
)
@json_option
@pass_session
def command(session: Session, force: bool, queues: list[str] | None, exclude: list[str] | None, as_json: bool) -> int:
    """Drop the messages that wait in queues, ready and delayed. There is no way back.

    What workers hold already is not touched, nor are dead letters (see `skirret dead purge`).
    """
    app = session.app()
    names = [name for name in (queues or declared_queues(app)) if name not in (exclude or [])]
    if not names:
        raise click.UsageError("no queue is left to purge")
    if not force:
        waiting = {name: app.broker.size(name) for name in names}
        total = sum(size.ready + size.delayed for size in waiting.values())
        listed = ", ".join(f"{name} ({size.ready + size.delayed})" for name, size in waiting.items())
        click.confirm(f"Drop {total} messages for ever from {listed}?", abort=True, err=True)
    dropped = {name: app.broker.purge(name) for name in names}
    if as_json:
        show_json({"dropped": dropped, "total": sum(dropped.values())})
    else:
        total = sum(dropped.values())
        click.echo(f"Dropped {total} message{'' if total == 1 else 's'} from {', '.join(names)}.")
    return 0
