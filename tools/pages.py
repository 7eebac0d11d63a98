"""Writes the pages of docs/ that the code itself knows best: settings, command line, differences from Celery.

    .venv/bin/python -m tools.pages

A test compares them with what is committed.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import click

from skirret.cli import exits
from skirret.cli.differences import DIFFERENCES
from skirret.cli.root import root
from skirret.settings.option import SAME, Option
from skirret.settings.sections import SECTIONS
from skirret.settings.sources import CELERY_VARIABLES
from skirret.worker.acknowledgement import Failure, fate
from skirret.worker.manifest import TaskTraits

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


POLICIES: dict[str, TaskTraits] = {
    "the defaults": TaskTraits(),
    "`acks_on_failure=False`": TaskTraits(acks_on_failure=False),
    "`acks_on_timeout=False`": TaskTraits(acks_on_timeout=False),
    "`reject_on_worker_lost=False`": TaskTraits(reject_on_worker_lost=False),
    "`reject_on_worker_lost=False`, `acks_on_failure=False`": TaskTraits(
        reject_on_worker_lost=False, acks_on_failure=False
    ),
    "`retry_on_worker_lost=True`": TaskTraits(retry_on_worker_lost=True),
    "`acks_late=False`": TaskTraits(acks_late=False),
    "`acks_late=False`, `retry_on_worker_lost=True`": TaskTraits(acks_late=False, retry_on_worker_lost=True),
}
"""Combinations of a task's options that differ in what becomes of a failed run."""


def acknowledgement() -> str:
    """What becomes of a message when its run fails: the table of docs/reliability.md."""
    rows: list[list[object]] = []
    for name, traits in POLICIES.items():
        rows.append([name, *(fate(failure, traits).value for failure in Failure)])
    return table(["", *(failure.value for failure in Failure)], rows)


SETTINGS_HEAD = """\
# Settings

Every setting of Celery 5.7 is known under its name, typed and checked; a few are Skirret's own. Set them

- in code: `app.conf.task_acks_late = False`, `app.conf.update(...)`;
- in a module, class or dict: `app.config_from_object("project.settings")`, with `namespace="CELERY"` if its names begin
  so; `app.config_from_envvar("PROJECT_SETTINGS")`;
- in the environment: `SKIRRET_` and the key in capitals, such as `SKIRRET_TASK_ACKS_LATE=no`; Celery's own variables
  VARIABLES count too;
- in `pyproject.toml`, under `[tool.skirret]`.

Where several set the same, the command line wins over code, code over the object, that over the environment, and that
over `pyproject.toml`; only the environment's addresses of servers (the four above, and those that begin with
`SKIRRET_`) win over code. `skirret config show --origin` tells where each value came from, without passwords.

Text is read as the type asks: `yes` and `no`, `90s`, `1.5h` and `2d` for times, `16MiB` for sizes, `a,b` for names,
JSON for tables, `none` for None. All mistakes are reported at once. A name that resembles a setting without being one
is an error; any other unknown name is kept as your own. Celery's upper-case names from before version 4
(`CELERY_ACKS_LATE`, `BROKER_URL`) are understood, but, as in Celery, one object cannot mix them with new ones.
"""


def written(value: object) -> str:
    """A default as one writes it."""
    if isinstance(value, timedelta):
        return f"`timedelta(days={value.days})`"
    return "`" + repr(value).replace("'", '"') + "`"


def facts(known: Option) -> str:
    """One setting's type, default, choices, bounds and old names, in one sentence."""
    said = [f"`{known.annotation}`" + (f" ({known.unit})" if known.unit else ""), f"default {written(known.default)}"]
    if known.celery is not SAME:
        said.append(f"in Celery {written(known.celery)}")
    if known.choices:
        said.append("one of " + ", ".join(map(written, known.choices)))
    if known.minimum is not None:
        said.append(f"at least {known.minimum:g}")
    if known.maximum is not None:
        said.append(f"at most {known.maximum:g}")
    if known.old:
        said.append("formerly " + ", ".join(f"`{name}`" for name in known.old))
    return "; ".join(said) + "."


def settings() -> str:
    """Every setting."""
    text = NOTE + SETTINGS_HEAD.replace("VARIABLES", ", ".join(f"`{name}`" for name in CELERY_VARIABLES))
    for section in SECTIONS:
        text += f"\n## {section.__name__.removesuffix('Settings')}\n\n{inspect.getdoc(section)}\n"
        for known in section.options.values():
            text += f"\n### `{known.key}`\n\n{known.doc}\n\n{facts(known)}\n"
            if known.unused:
                text += f"\n**Accepted, but not used:** {known.unused}.\n"
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
    "settings.md": settings,
    "command-line.md": command_line,
}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
