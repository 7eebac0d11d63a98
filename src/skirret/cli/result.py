"""``skirret result``: what became of a task."""

from __future__ import annotations

import click

from skirret.cli import exits
from skirret.cli.call import wait_for
from skirret.cli.output import show_json
from skirret.cli.parameters import json_option, option
from skirret.cli.results import exit_code, show_result, show_traceback, summary
from skirret.cli.session import Session, pass_session


@click.command(short_help="Show what became of a task.")
@click.argument("task_id", metavar="ID")
@option("--traceback", is_flag=True, help="Print the traceback of a failed task.")
@option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long for it to end (default: do not).")
@json_option
@pass_session
def command(session: Session, task_id: str, traceback: bool, timeout: float | None, as_json: bool) -> int:
    """Show the state and the result of the task ID.

    The exit code is 0 if it succeeded, 1 if it failed or was revoked, 75 if it has not ended (or was never sent: the
    store cannot tell).
    """
    result = session.app().AsyncResult(task_id)
    if timeout is not None:
        code = wait_for(session, result, timeout, as_json=as_json)
        if code == exits.FAILED and traceback and not as_json and result.traceback:
            show_traceback(str(result.traceback))
        return code
    view = summary(result)
    if as_json:
        show_json(view)
    else:
        show_result(session, view, traceback=traceback)
    return exit_code(view)
