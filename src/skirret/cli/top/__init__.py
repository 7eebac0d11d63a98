"""``skirret top``: workers, queues and tasks, live, and what steers them."""

from __future__ import annotations

import os

import click

from skirret.cli import exits
from skirret.cli.session import Session, pass_session
from skirret.errors import ImproperlyConfigured, MissingDependency


@click.command(short_help="Watch workers, queues and tasks live, and steer them.")
@click.option("--freq", type=click.FloatRange(0.1), default=0.5, show_default=True, help="Seconds between two looks.")
@pass_session
def command(session: Session, freq: float) -> int:
    """Watch workers, queues and tasks live, and steer them.

    Keys stand at the bottom. Tasks are seen of workers that send their events: those started with -E, or turned on
    here with the key e.
    """
    return watch(session, freq)


def watch(session: Session, freq: float = 0.5) -> int:
    """Run the live view until it is left.

    Raises:
        MissingDependency: Textual is not installed.
        ImproperlyConfigured: this is no terminal.
    """
    if session.color is False:
        os.environ["NO_COLOR"] = "1"
    try:
        from skirret.cli.top.screen import Top
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "textual":
            raise
        raise MissingDependency(
            'the live view needs Textual, which is not installed: pip install "skirret[top]". '
            "`skirret events --dump` prints events without it"
        ) from exc
    if not session.rich():
        raise ImproperlyConfigured("the live view needs a terminal; `skirret events --dump` prints events anywhere")
    from skirret.cli.top.feed import Feed
    from skirret.cli.top.fleet import Fleet
    from skirret.url import mask

    app = session.app()
    fleet = Fleet()
    Top(fleet, Feed(app, fleet), mask(app.broker_url_in_use()), freq).run()
    return exits.OK
