"""How a result is shown, shared by `call --wait` and `result`."""

from __future__ import annotations

from typing import Any

import click

from skirret import states
from skirret.cli import exits
from skirret.cli.output import printable, show_pairs
from skirret.cli.session import Session


def summary(result: Any) -> dict[str, Any]:
    """What a result handle knows, JSON-plain but for the value itself.

    Args:
        result: an ``AsyncResult``.

    Returns:
        Keys task_id, state, result (the value; for exceptions their ``repr``), traceback, date_done, name, worker,
        queue, retries.
    """
    state = str(result.state)
    value = result.result
    return {
        "task_id": result.id,
        "state": state,
        "result": repr(value) if isinstance(value, BaseException) else value,
        "traceback": result.traceback,
        "date_done": result.date_done,
        "name": result.name,
        "worker": result.worker,
        "queue": result.queue,
        "retries": result.retries,
    }


def exit_code(view: dict[str, Any]) -> int:
    """0 for SUCCESS, 1 for a task that ended otherwise, 75 for one that has not ended."""
    if view["state"] == states.SUCCESS:
        return exits.OK
    return exits.FAILED if view["state"] in states.READY_STATES else exits.NO_REPLY


def show_result(session: Session, view: dict[str, Any], *, traceback: bool) -> None:
    """Print a summary for a person: the bare value of a success, else what is known."""
    if view["state"] == states.SUCCESS and not traceback:
        value = view["result"]
        if not isinstance(value, str):
            value = repr(value)
        # A pipe gets the text as it is; a terminal must not be driven by it.
        click.echo(printable(value) if session.rich() else value)
        return
    known = {key: value for key, value in view.items() if value is not None and key != "traceback"}
    show_pairs(session, known)
    if traceback and view["traceback"]:
        show_traceback(view["traceback"])


def show_traceback(text: str) -> None:
    """Print a traceback that came from elsewhere, line by line, without its control characters."""
    for line in text.rstrip().splitlines():
        click.echo(printable(line))
