"""``skirret dead``: messages that were given up, with the reason; look, retry or purge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from skirret.cli import exits
from skirret.cli.completing import complete_queues
from skirret.cli.output import show_json, show_pairs, show_table
from skirret.cli.parameters import SuggestingGroup, json_option, option
from skirret.cli.session import Session, pass_session

if TYPE_CHECKING:
    from skirret.brokers.base import Broker, Dead

ALL: Final = 1_000_000_000
COLUMNS: Final = ("key", "died", "queue", "task", "id", "deliveries", "crashes", "reason")
HEAD_BYTES: Final = 16 * 1024 * 1024


class NoSuchLetter(click.ClickException):
    """A key names no dead letter, or several."""

    exit_code = exits.DATA


_queue_option = option("-Q", "--queue", shell_complete=complete_queues, help="Only those of this queue.")
_all_option = option("--all", "everything", is_flag=True, help="All of them (of the queue, with -Q).")


@click.group(cls=SuggestingGroup, short_help="List, show, retry or purge dead letters.")
def command() -> None:
    """Look after dead letters: messages that could not be run, kept with the reason until you decide.

    KEY is a dead letter's key or its task's id; the start of either is enough where it is unique.
    """


@command.command("list")
@_queue_option
@option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many, the newest first.")
@json_option
@pass_session
def list_dead(session: Session, queue: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    rows = [_row(dead) for dead in session.app().broker.dead(queue, limit)]
    if as_json:
        show_json(rows)
    elif rows:
        show_table(
            session, COLUMNS, [[row[name] for name in COLUMNS] for row in rows], numbers=("deliveries", "crashes")
        )
    else:
        session.note("There are no dead letters.")


@command.command("show")
@click.argument("key")
@json_option
@pass_session
def show_dead(session: Session, key: str, as_json: bool) -> None:
    """Show one dead letter with its message."""
    dead = _find(session.app().broker, [key])[0]
    view = {**_row(dead), **_message(dead)}
    if as_json:
        show_json(view)
    else:
        show_pairs(session, {name: value for name, value in view.items() if value is not None})


@command.command("retry")
@click.argument("keys", nargs=-1)
@_queue_option
@_all_option
@json_option
@pass_session
def retry_dead(session: Session, keys: tuple[str, ...], queue: str | None, everything: bool, as_json: bool) -> None:
    """Put dead letters back into their queues, with fresh counters."""
    broker = session.app().broker
    found = _chosen(broker, keys, queue, everything)
    count = broker.replay([dead.key for dead in found])
    _tell("retried", "Put back", count, as_json)


@command.command("purge")
@click.argument("keys", nargs=-1)
@_queue_option
@_all_option
@option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def purge_dead(
    session: Session, keys: tuple[str, ...], queue: str | None, everything: bool, force: bool, as_json: bool
) -> None:
    """Forget dead letters. There is no way back."""
    broker = session.app().broker
    found = _chosen(broker, keys, queue, everything)
    if found and not force:
        click.confirm(f"Forget {len(found)} dead letters for ever?", abort=True, err=True)
    count = broker.drop_dead([dead.key for dead in found])
    _tell("purged", "Forgot", count, as_json)


def _tell(name: str, verb: str, count: int, as_json: bool) -> None:
    if as_json:
        show_json({name: count})
    else:
        click.echo(f"{verb} {count} dead letter{'' if count == 1 else 's'}.")


def _chosen(broker: Broker, keys: Sequence[str], queue: str | None, everything: bool) -> list[Dead]:
    if everything == bool(keys):
        raise click.UsageError("give the KEYs of dead letters, or --all")
    return broker.dead(queue, ALL) if everything else _find(broker, keys)


def _find(broker: Broker, keys: Sequence[str]) -> list[Dead]:
    """The dead letters that `keys` name.

    Raises:
        NoSuchLetter: a key names none, or more than one.
    """
    letters = broker.dead(None, ALL)
    found = []
    for key in keys:
        exact = [dead for dead in letters if key in {dead.key, dead.task_id}]
        match = exact or [dead for dead in letters if dead.key.startswith(key) or dead.task_id.startswith(key)]
        if len(match) != 1:
            what = (
                f"{len(match)} dead letters match {key!r}; give more of the key" if match else f"no dead letter {key!r}"
            )
            raise NoSuchLetter(f"{what} (`skirret dead list` shows them)")
        found += match
    return found


def _row(dead: Dead) -> dict[str, Any]:
    from skirret.message import Malformed
    from skirret.wire.envelope import head

    known = head(dead.raw, max_bytes=HEAD_BYTES)
    return {
        "key": dead.key,
        "died": datetime.fromtimestamp(dead.died).astimezone().isoformat(timespec="seconds"),
        "queue": dead.queue,
        "task": None if isinstance(known, Malformed) else known.task,
        "id": dead.task_id or None,
        "deliveries": dead.deliveries,
        "crashes": dead.crashes,
        "reason": dead.reason,
    }


def _message(dead: Dead) -> dict[str, Any]:
    from skirret.message import Malformed
    from skirret.wire.envelope import head

    known = head(dead.raw, max_bytes=HEAD_BYTES)
    if isinstance(known, Malformed):
        return {"malformed": known.reason, "excerpt": known.excerpt, "bytes": len(dead.raw)}
    return {
        "args": known.argsrepr,
        "kwargs": known.kwargsrepr,
        "retries": known.retries,
        "eta": known.eta,
        "expires": known.expires,
        "origin": known.origin,
        "content_type": known.content_type,
        "bytes": len(dead.raw),
    }
