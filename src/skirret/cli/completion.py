"""``skirret completion``: the shell's side of completion."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

SHELLS: Final = ("bash", "zsh", "fish")
_HOW: Final = {
    "bash": 'add to ~/.bashrc:  eval "$(skirret completion bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(skirret completion zsh)"',
    "fish": "run once:  skirret completion fish > ~/.config/fish/completions/skirret.fish",
}


@click.command(short_help="Print the script that completes commands, queues and tasks in your shell.")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def command(ctx: click.Context, shell: str | None) -> None:
    """Print the script that completes commands, options, queues and tasks.

    SHELL is bash, zsh or fish; without it, the one of the SHELL variable.
    """
    from click.shell_completion import get_completion_class

    name = shell or Path(os.environ.get("SHELL", "bash")).name
    found = get_completion_class(name)
    if found is None or name not in SHELLS:
        raise click.UsageError(f"no completion for the shell {name!r}; there is one for {', '.join(SHELLS)}", ctx)
    click.echo(f"# {_HOW[name]}")
    click.echo(found(ctx.find_root().command, {}, "skirret", "_SKIRRET_COMPLETE").source())
