"""``skirret call``: send one task by its name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from skirret.cli import exits
from skirret.cli.completing import complete_queues, complete_tasks
from skirret.cli.output import show_json
from skirret.cli.parameters import Json, Moment, json_option, option
from skirret.cli.results import exit_code, show_result, summary
from skirret.cli.session import Session, pass_session

if TYPE_CHECKING:
    from skirret.app import Skirret


@click.command(short_help="Send one task by its name.")
@click.argument("name", shell_complete=complete_tasks)
@option("-a", "--args", type=Json(list, "JSON list"), default="[]", help="Positional arguments, as a JSON list.")
@option("-k", "--kwargs", type=Json(dict, "JSON object"), default="{}", help="Keyword arguments, as a JSON object.")
@option("--eta", type=Moment(), help="Not before this moment (ISO 8601).")
@option("--countdown", type=float, metavar="SECONDS", help="Not before so many seconds from now.")
@option("--expires", type=Moment(seconds=True), help="Do not run after this moment, or so many seconds from now.")
@option("--serializer", setting="task_serializer", metavar="NAME", help="Serialise the arguments with this.")
@option("--queue", setting="task_default_queue", shell_complete=complete_queues, help="Send to this queue.")
@option("--exchange", setting="task_default_exchange", help="Send to this exchange.")
@option("--routing-key", setting="task_default_routing_key", help="Send with this routing key.")
@option("--priority", setting="task_default_priority", type=click.IntRange(0, 9), help="From 0 to 9; 9 runs first.")
@option("--wait", is_flag=True, help="Wait for the result and print it.")
@option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long at most (with --wait).")
@json_option
@pass_session
def command(
    session: Session,
    /,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Send the task NAME and print its id.

    With -A the app's own task of that name is called, with its options; else the name is sent as it is.
    """
    app = session.app()
    options = {key: value for key, value in given.items() if value is not None}
    result = _send(session, app, name, args, kwargs, options)
    if not wait:
        if as_json:
            show_json({"task_id": result.id, "task": name})
        else:
            click.echo(result.id)
        return exits.OK
    if not as_json:
        session.note(f"{name} sent as {result.id}; waiting for its result")
    return wait_for(session, result, timeout, as_json=as_json)


def _send(
    session: Session, app: Skirret, name: str, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any]
) -> Any:
    if session.app_path:
        from skirret.cli.known import task_names

        names = task_names(app)
        if name in names:
            task = app.tasks[name]
            if task.typing and app.strict_typing:
                try:
                    task.check_arguments(args, kwargs)
                except TypeError as exc:
                    raise click.UsageError(str(exc)) from None
            return task.apply_async(args=tuple(args), kwargs=kwargs, **options)
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        session.note(f"Warning: the app of -A {session.app_path} has no task {name!r}; sent all the same.{hint}")
    return app.send_task(name, args=tuple(args), kwargs=kwargs, **options)


def wait_for(session: Session, result: Any, timeout: float | None, *, as_json: bool) -> int:
    """Wait until `result` is ready and show it; the exit code."""
    from skirret.errors import TimeoutError as NotReady

    try:
        result.get(timeout=timeout, propagate=False)
    except NotReady:
        if not as_json:
            click.echo(
                f"Error (no reply): {result.id} was not ready in {timeout:g} s; it is {result.state}.\n"
                f"What to do: see that a worker runs (`skirret queues`), then ask again: skirret result {result.id}",
                err=True,
            )
            return exits.NO_REPLY
    view = summary(result)
    if as_json:
        show_json(view)
    else:
        show_result(session, view, traceback=False)
    return exit_code(view)
