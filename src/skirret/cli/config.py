"""``skirret config``: the settings in use, and where each value comes from."""

from __future__ import annotations

from difflib import get_close_matches

import click

from skirret.cli.completing import complete_settings
from skirret.cli.output import printable, show_json, show_table
from skirret.cli.parameters import SuggestingGroup, json_option, option
from skirret.cli.session import Session, pass_session


@click.group(cls=SuggestingGroup, short_help="Show the settings in use and where they come from.")
def command() -> None:
    """Show the settings in use and where they come from."""


@command.command("show")
@click.argument("keys", nargs=-1, shell_complete=complete_settings)
@option("--all", "everything", is_flag=True, help="Show built-in defaults too.")
@option("--origin", is_flag=True, help="Show where each value comes from.")
@json_option
@pass_session
def show_config(session: Session, keys: tuple[str, ...], everything: bool, origin: bool, as_json: bool) -> None:
    """Show settings: those that were set, or KEYS, or all. Secrets are masked."""
    conf = session.app().conf
    table = conf.table(with_defaults=everything or bool(keys), censored=True)
    if keys:
        for key in keys:
            if key not in table:
                near = get_close_matches(key, list(table), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise click.UsageError(f"There is no setting {key!r}.{hint}")
        table = {key: table[key] for key in keys}
    for row in conf.unused():
        session.note(f"Warning: {row.key} ({row.origin}) has no effect: {row.unused}")
    if as_json:
        show_json({k: {"value": v, "origin": str(conf.origin(k))} if origin else v for k, v in table.items()})
    elif origin:
        rows = [[key, repr(value), str(conf.origin(key))] for key, value in sorted(table.items())]
        show_table(session, ("setting", "value", "origin"), rows)
    elif table:
        for key, value in sorted(table.items()):
            click.echo(f"{key} = {printable(repr(value))}")
    else:
        session.note("Nothing was set: all settings have their built-in defaults (--all shows them).")
