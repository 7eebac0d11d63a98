"""Writes the pages of docs/ that the code itself knows best: settings, command line, differences from Celery.

    .venv/bin/python -m tools.pages

A test compares them with what is committed.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from skirret.cli import exits
from skirret.cli.differences import DIFFERENCES
from skirret.cli.root import root
from skirret.settings.option import Option
from skirret.settings.sections import SECTIONS

DOCS = Path(__file__).parents[1] / "docs"
NOTE = "<!-- Written by tools/pages.py from the code. Change the code, then run it again. -->\n\n"


def cell(text: object) -> str:
    """`text` inside one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(heads: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def differences() -> str:
    """Where Skirret differs from Celery."""
    rows: list[list[object]] = [[row.about, row.celery, row.skirret] for row in DIFFERENCES]
    return (
        NOTE
        + "# Where Skirret differs from Celery, on purpose\n\n"
        + "Names, options, settings, states and the wire are Celery's. These are the places where the behaviour is "
        + "not. `skirret report` prints the same table.\n\n"
        + table(["", "Celery", "Skirret"], rows)
        + "\n`Celery` is an alias of `Skirret`: `from skirret import Celery` is the only line that code must change.\n"
    )


def code(value: object) -> str:
    """A value as code; empty text and objects by their kind."""
    if callable(value):
        return "a function"
    return f"`{value!r}`"


def meaning(known: Option) -> str:
    """One setting's sentence, with its unit, choices, bounds and standing."""
    parts = [known.doc]
    if known.unit and known.unit not in known.doc:
        parts.append(f"In {known.unit}.")
    if known.choices:
        parts.append(f"One of {', '.join(f'`{choice}`' for choice in known.choices)}.")
    if known.unused:
        parts.append(f"*Accepted and not used: {known.unused}.*")
    return " ".join(part if part.endswith((".", "*")) else f"{part}." for part in parts)


def settings() -> str:
    """Every setting."""
    text = NOTE + (
        "# Settings\n\n"
        "Each is an attribute of `app.conf`, a key of `[tool.skirret]`, and in the environment `SKIRRET_` and its "
        "name in upper case. `skirret config show --origin` prints the values in use and where they come from.\n"
    )
    for section in SECTIONS:
        title = (section.__doc__ or section.__name__).strip().splitlines()[0].rstrip(".:")
        rows: list[list[object]] = [
            [f"`{known.key}`", f"`{known.annotation}`", code(known.default), meaning(known)]
            for known in section.options.values()
        ]
        text += f"\n## {title}\n\n" + table(["setting", "type", "default", "meaning"], rows)
    return text


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """(full name, command) of all commands below `group`."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield f"{path} {name}", command
            if isinstance(command, click.Group):
                yield from commands(command, f"{path} {name}")


def usage(name: str, command: click.Command) -> str:
    """One command: what it does, how it is called, its options."""
    context = click.Context(command, info_name=name)
    text = f"\n## {name}\n\n{inspect.cleandoc(command.help or '')}\n\n```\n{command.get_usage(context)}\n```\n"
    rows: list[list[object]] = []
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            rows.append([f"`{record[0]}`", record[1]])
    return text + ("\n" + table(["option", "meaning"], rows) if rows else "")


def exit_codes() -> str:
    """The table of exit codes, from the docstring that is its source."""
    doc = ast.get_docstring(ast.parse(Path(exits.__file__).read_text(encoding="utf-8"))) or ""
    found = re.findall(r"^ {4}(\d+) +(.+)$", doc, flags=re.MULTILINE)
    return table(["code", "means"], [[number, words] for number, words in found])


def command_line() -> str:
    """Every command and its options, and the exit codes."""
    text = (
        NOTE
        + "# The command line\n\n"
        + "Global options stand before the command: `skirret -A shop worker`. Each option names the setting that it "
        + "overrides and the environment variables that set it. Commands that read take `--json`.\n\n"
        + "## Exit codes\n\n"
        + exit_codes()
        + usage("skirret", root)
    )
    return text + "".join(usage(name, command) for name, command in commands(root, "skirret"))


PAGES: dict[str, Callable[[], str]] = {
    "differences.md": differences,
    "reference/settings.md": settings,
    "reference/command-line.md": command_line,
}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
