"""Names that the shell completes: queues, tasks and settings. A completion never fails; at worst it knows nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import click
from click.shell_completion import CompletionItem

from skirret.cli.session import Session


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    # A user's module may print while it is imported; the shell reads our stdout.
    stdout = sys.stdout
    try:
        sys.stdout = sys.stderr
        yield
    finally:
        sys.stdout = stdout


def _complete(ctx: click.Context, incomplete: str, names: Callable[[Session], list[str]]) -> list[CompletionItem]:
    given = ctx.find_root().params
    session = Session(
        app_path=given.get("app_path"), broker=given.get("broker"), config=given.get("config"), quiet=True
    )
    head, comma, tail = incomplete.rpartition(",")
    try:
        with _silence():
            found = names(session)
    except Exception:  # noqa: BLE001  a shell in the middle of a line is no place for an error
        return []
    return [CompletionItem(head + comma + name) for name in found if name.startswith(tail)]


def complete_queues(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of queues, after a comma too."""
    from skirret.cli.known import queue_names

    return _complete(ctx, incomplete, lambda session: queue_names(session.app()))


def complete_tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the app's tasks."""
    from skirret.cli.known import task_names

    return _complete(ctx, incomplete, lambda session: task_names(session.app()))


def complete_settings(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys of settings."""
    return _complete(ctx, incomplete, lambda session: sorted(session.app().conf.keys()))
