"""``skirret`` itself: the global options, and commands that are imported when they are called."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from skirret.cli.parameters import SuggestingGroup, option
from skirret.cli.session import Session

# name -> (file under cli/, the line that --help prints). A test keeps the lines equal to the commands' own.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "call": ("call", "Send one task by its name."),
    "completion": ("completion", "Print the script that completes commands, queues and tasks in your shell."),
    "config": ("config", "Show the settings in use and where they come from."),
    "control": ("control", "Steer running workers."),
    "dead": ("dead", "List, show, retry or purge dead letters."),
    "demo": ("demo", "Measure a directory's files with a real worker, and prove that none was lost."),
    "events": ("events", "Show, print or photograph what workers tell of themselves and their tasks."),
    "health": ("health", "Tell whether the workers of this machine are well."),
    "init": ("init", "Write a small working tasks.py."),
    "inspect": ("inspect", "Look into running workers."),
    "multi": ("multi", "Start, stop and name several workers of this machine."),
    "purge": ("purge", "Drop the messages that wait in queues."),
    "queues": ("queues", "Show how many messages each queue has; pause, resume."),
    "report": ("report", "Print what a bug report needs: versions, platform, addresses, settings without secrets."),
    "result": ("result", "Show what became of a task."),
    "status": ("status", "Show which workers are online."),
    "systemd": ("systemd", "Print a systemd unit for a worker."),
    "top": ("top", "Watch workers, queues and tasks live, and steer them."),
    "worker": ("worker", "Run a worker."),
}

APART: Final = frozenset({"worker"})
"""Commands that leave the app to other processes: those read what the command line says to the app's options."""


class Root(SuggestingGroup):
    """The group that knows its commands by a table, so that ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"skirret.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, and its own arguments: what belongs to options of the app is set apart."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or command is None or not ctx.params.get("app_path") or ctx.resilient_parsing:
            return name, command, rest
        if command.context_settings.get("ignore_unknown_options"):  # it hands on what it does not know to workers
            return name, command, rest
        from skirret.cli.user_options import set_apart, spellings

        session = begin(ctx)
        session.command = name
        if {"-h", "--help"} & set(rest):
            return name, _with_options_of(session, command), rest
        own, apart = set_apart(ctx, command, rest, None)
        if apart and name not in APART:  # only now is it worth importing the app to ask
            from skirret.app.user_options import options_of

            own, apart = set_apart(ctx, command, rest, spellings(options_of(session.imported(), name)))
        session.user_args = apart
        return name, command, own

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in COMMANDS])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an int that it returns is the exit code, an error of ours is told without a traceback."""
        from skirret.cli import exits
        from skirret.errors import SkirretError

        try:
            code = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt, BrokenPipeError):
            raise
        except SkirretError as exc:
            code, text = exits.describe(exc)
            click.echo(text, err=True)
        except Exception as exc:  # noqa: BLE001  the last border: a bug is told as one
            code = exits.BUG
            click.echo(exits.describe_bug(exc), err=True)
        if isinstance(code, int) and not isinstance(code, bool):
            ctx.exit(code)


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import skirret

        click.echo(f"skirret {skirret.__version__}")
        ctx.exit()


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 the task failed, 2 usage, 65 data, 69 broker or store, 70 bug, 75 no reply in time, "
    "78 configuration, 130 interrupted.",
)
@option(
    "-A",
    "--app",
    "app_path",
    env="APP",
    bare_env=True,
    metavar="MODULE",
    help="The app: a module, module:attribute, or a package.",
)
@option("-b", "--broker", setting="broker_url", env="BROKER_URL", bare_env=True, metavar="URL", help="Use this broker.")
@option(
    "--result-backend",
    setting="result_backend",
    env="RESULT_BACKEND",
    bare_env=True,
    metavar="URL",
    help="Use this result store.",
)
@option("--loader", env="LOADER", bare_env=True, metavar="CLASS", help="Loader class of an app without -A.")
@option("--config", env="CONFIG_MODULE", bare_env=True, metavar="MODULE", help="Read settings from this module.")
@option(
    "--workdir",
    env="WORKDIR",
    type=click.Path(exists=True, file_okay=False),
    help="Change to this directory first.",
)
@click.option(
    "-C",
    "--no-color",
    is_flag=True,
    help="Print without colour.  [env: NO_COLOR, SKIRRET_NO_COLOR, CELERY_NO_COLOR]",
)
@option("-q", "--quiet", env="QUIET", is_flag=True, help="Print data and errors only.")
@option("--skip-checks", env="SKIP_CHECKS", bare_env=True, is_flag=True, help="Skip Django's system checks.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
@click.pass_context
def root(ctx: click.Context, /, **_given: Any) -> None:
    """Skirret, a distributed task queue: run workers, send tasks, look after queues.

    Try `skirret demo`, or `skirret init` to begin a project of your own.
    """
    session = begin(ctx)
    if session.color is False:
        ctx.color = False
    ctx.with_resource(_told_warnings(session))


def begin(ctx: click.Context) -> Session:
    """Carry out what the global options say, once; what they lead to."""
    if ctx.obj is not None:
        begun: Session = ctx.obj
        return begun
    given = ctx.params
    workdir = given["workdir"]
    if workdir:
        os.chdir(workdir)
        workdir = str(Path.cwd())
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    if given["skip_checks"]:
        os.environ["SKIRRET_SKIP_CHECKS"] = os.environ["CELERY_SKIP_CHECKS"] = "true"
    plain = given["no_color"] or any(
        os.environ.get(name) for name in ("NO_COLOR", "SKIRRET_NO_COLOR", "CELERY_NO_COLOR")
    )
    session = ctx.obj = Session(
        app_path=given["app_path"],
        broker=given["broker"],
        result_backend=given["result_backend"],
        loader=given["loader"],
        config=given["config"],
        workdir=workdir,
        color=False if plain else None,
        quiet=given["quiet"],
    )
    return session


def _with_options_of(session: Session, command: click.Command) -> click.Command:
    """The command for its help, with the options that the app adds; without them if the app cannot be imported."""
    from skirret.app.user_options import options_of

    try:
        added = options_of(session.imported(), session.command)
    except Exception as exc:  # noqa: BLE001  whatever is wrong with the app, help is given
        session.note(f"Options that the app adds are not shown, because it cannot be imported: {exc}")
        return command
    shown = copy(command)
    shown.params = [*command.params, *added]
    return shown


@contextmanager
def _told_warnings(session: Session) -> Iterator[None]:
    """Skirret's own warnings as sentences, without a line of source that means nothing here."""
    with warnings.catch_warnings():
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            from skirret.errors import SkirretWarning

            if issubclass(category, SkirretWarning):
                session.note(f"Warning: {message}")
            else:
                show_others(message, category, *place, **more)

        warnings.showwarning = show
        yield
