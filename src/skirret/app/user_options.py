"""Options that an app adds to the command line: ``app.user_options["preload"].add(click.Option(["--template"]))``.

``preload`` options belong to every command, all others to the command they are filed under, such as ``worker``. They
are read here, beside the app: a worker's command line does not import it, and hands on what it does not know itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from skirret import signals

if TYPE_CHECKING:
    import click

UserOptions = defaultdict[str, set["click.Option"]]
"""Options by the name of the command, or ``preload``."""


class HasUserOptions(Protocol):
    """What is needed of an app."""

    user_options: UserOptions


def options_of(app: HasUserOptions, command: str) -> list[click.Option]:
    """What the app adds to one command, in the order of their names (a set has none of its own)."""
    added = app.user_options
    found = {*added.get("preload", ()), *added.get(command, ())}
    return sorted(found, key=lambda option: option.name or "")


def read_user_options(app: HasUserOptions, command: str, args: Sequence[str]) -> dict[str, Any]:
    """What a command line says to the options that the app adds; receivers of ``user_preload_options`` are told.

    Args:
        app: the app.
        command: the command's name, such as ``worker``.
        args: the part of its arguments that the command itself does not know.

    Returns:
        Values by the options' names, defaults where nothing is said; empty for an app without such options.

    Raises:
        click.UsageError: an argument is no option of the app, or a value is not what it takes.
    """
    if not (app.user_options or args):
        return {}
    import click  # heavy, and a worker's processes need it for this only

    parser = click.Command(command, params=list(options_of(app, command)), add_help_option=False)
    values = dict(parser.make_context(command, list(args)).params)
    preload = [option.name for option in app.user_options.get("preload", ())]
    if preload:
        told = {name: values[name] for name in sorted(filter(None, preload)) if name in values}
        signals.user_preload_options.send(sender=command, app=app, options=told)
    return values
