"""Data on stdout: JSON when asked, a rich table for a person at a terminal, plain columns for a pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from skirret.cli.session import Session


def show_json(data: Any) -> None:
    """Print one JSON document; values that JSON lacks are printed as text."""
    click.echo(json.dumps(data, indent=2, default=str))


def show_json_line(data: Any) -> None:
    """Print one JSON document on a line of its own, for streams of them."""
    click.echo(json.dumps(data, default=str))


def show_table(
    session: Session,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    numbers: Sequence[str] = (),
) -> None:
    """Print rows under their columns.

    Args:
        session: the caller's.
        columns: the headings.
        rows: one value a column; None prints as nothing.
        title: over the table, at a terminal only.
        numbers: headings of columns that are aligned to the right.
    """
    texts = [["" if value is None else printable(str(value)) for value in row] for row in rows]
    if session.rich():
        _show_rich(session, columns, texts, title, numbers)
        return
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(columns)]
    for row in [list(columns), *texts]:
        cells = [
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for cell, width, name in zip(row, widths, columns, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def show_pairs(session: Session, pairs: Mapping[str, Any], *, title: str = "") -> None:
    """Print names and values, one pair a line."""
    width = max((len(name) for name in pairs), default=0)
    if title:
        click.echo(click.style(title, bold=True) if session.rich() and session.color is not False else title)
    for name, value in pairs.items():
        click.echo(f"  {name.ljust(width)}  {printable(str(value))}".rstrip())


def printable(text: str) -> str:
    r"""`text` without the power to drive a terminal: control characters as escapes, line ends kept as ``\n``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _show_rich(
    session: Session, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str, numbers: Sequence[str]
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", expand=False)
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out = console(session)
    if title:
        out.print(Text(title, style="bold"))
    out.print(table)


def console(session: Session, *, stderr: bool = False) -> Any:
    """A rich console that honours ``--no-color`` and ``NO_COLOR``."""
    from rich.console import Console

    return Console(no_color=True if session.color is False else None, stderr=stderr, highlight=False)
