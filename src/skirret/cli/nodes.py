"""What ``inspect``, ``control`` and ``status`` share: which command is meant, asking workers, showing replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from skirret.cli import exits
from skirret.cli.output import printable, show_json
from skirret.cli.parameters import CommaList, option
from skirret.cli.session import Session

if TYPE_CHECKING:
    from skirret.control.catalogue import Command

timeout_option = option(
    "-t", "--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long for replies at most."
)
destination_option = option("-d", "--destination", type=CommaList(), help="Ask only these nodes.")
json_option = click.option("-j", "--json", "as_json", is_flag=True, help="Print JSON and nothing else on stdout.")


class NoReply(click.ClickException):
    """No worker replied in time."""

    exit_code = exits.NO_REPLY

    def __init__(self) -> None:
        super().__init__(
            "No nodes replied within the time.\n"
            "What to do: see that workers of this app run, with remote control on; -t gives them more time."
        )


def carry_out(
    session: Session,
    kind: str,
    words: Sequence[str],
    *,
    timeout: float | None,
    destination: list[str] | None,
    as_json: bool,
) -> int:
    """Send the command that `words` tell, and show the replies; the exit code."""
    app = session.app()
    command = find(session, kind, words[0])
    try:
        arguments = command.read(words[1:])
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    options: dict[str, Any] = {
        "destination": destination,
        "reply": True,
        "timeout": command.timeout if timeout is None else timeout,
    }
    remembered = _remembered(app.control, command.name, arguments)
    if remembered is not None:
        replies = remembered(**options) or []
    else:
        replies = app.control.broadcast(command.name, arguments, **options) or []
    by_node = {node: value for reply in replies for node, value in sorted(reply.items())}
    if not by_node and remembered is None:
        raise NoReply
    if as_json:
        show_json(by_node)
    else:
        for node, value in by_node.items():
            show(session, node, value)
        session.note(f"{len(by_node)} node{'' if len(by_node) == 1 else 's'} replied.")
        if remembered is not None and not by_node:
            session.note("It is remembered for workers that start later.")
    return exits.FAILED if any(is_error(value) for value in by_node.values()) else exits.OK


def _remembered(control: Any, name: str, arguments: Mapping[str, Any]) -> Callable[..., Any] | None:
    """How to send what is kept for workers that start later, too: revokes."""
    if name == "revoke":
        return lambda **options: control.revoke(arguments["task_id"], **options)
    if name == "terminate":
        return lambda **options: control.terminate(arguments["task_id"], signal=arguments["signal"], **options)
    if name == "revoke_by_stamped_headers":
        headers: dict[str, list[str]] = {}
        for pair in arguments["headers"]:
            header, _, value = pair.partition("=")
            headers.setdefault(header, []).append(value)
        return lambda **options: control.revoke_by_stamped_headers(headers, **options)
    return None


def find(session: Session, kind: str, name: str) -> Command:
    """The command of that name.

    Raises:
        click.UsageError: there is none; near ones are suggested.
    """
    known = {command.name: command for command in known_commands(session, kind)}
    from skirret.control.catalogue import ALIASES

    found = known.get(ALIASES.get(name, name))
    if found is None:
        near = get_close_matches(name, known, n=3)
        other = "control" if kind == "inspect" else "inspect"
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"`skirret {kind} --list` lists them."
        if any(command.name == name for command in known_commands(session, other)):
            hint = f"That is a command of `skirret {other}`."
        raise click.UsageError(f"There is no command {name!r}. {hint}")
    return found


def known_commands(session: Session, kind: str) -> list[Command]:
    """The commands of one kind, those of the app's own included, sorted by name."""
    from skirret.control.catalogue import COMMANDS
    from skirret.control.custom import registered

    if session.app_path:
        from skirret.errors import SkirretError

        try:
            session.app().import_modules()
        except SkirretError as exc:
            session.note(f"Warning: commands of the app's own are not known here: {exc}")
    own = {one.command.name: one.command for one in registered().values()}
    found = [command for command in {**COMMANDS, **own}.values() if command.kind == kind]
    return sorted(found, key=lambda command: command.name)


def show_list(session: Session, kind: str) -> None:
    """Print the commands of one kind."""
    formatter = click.HelpFormatter(max_width=110)
    rows = [
        (f"{command.name} {command.usage}".strip(), command.doc)
        for command in known_commands(session, kind)
        if command.visible
    ]
    with formatter.section(f"{kind.capitalize()} commands"):
        formatter.write_dl(rows)
    click.echo(formatter.getvalue(), nl=False)


def show(session: Session, node: str, value: Any) -> None:
    """Print what one node replied."""
    wrong = is_error(value)
    head = f"->  {printable(node)}: {'ERROR' if wrong else 'OK'}"
    colour = session.rich() and session.color is not False
    click.echo(click.style(head, fg="red" if wrong else "green", bold=True) if colour else head)
    for line in _lines(value):
        click.echo(f"    {line}")


def is_error(value: Any) -> bool:
    """Whether a reply says that the command failed."""
    return isinstance(value, dict) and set(value) == {"error"}


def _lines(value: Any) -> list[str]:
    if value is None or value in ([], {}, ""):
        return ["- empty -"]
    if isinstance(value, dict) and set(value) in ({"ok"}, {"error"}):
        return _lines(next(iter(value.values())))
    if isinstance(value, list):
        return [f"* {line}" if at == 0 else f"  {line}" for item in value for at, line in enumerate(_lines(item))]
    if isinstance(value, str):
        return [printable(line) for line in value.splitlines()]
    text = json.dumps(value, indent=2, default=str, ensure_ascii=False)
    return [printable(line) for line in text.splitlines()]
