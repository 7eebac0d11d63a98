"""``skirret events``: hear what a fleet tells; print it, photograph it, or watch it live."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skirret.cli import exits
from skirret.cli.parameters import Choice, daemon_options, json_option, option
from skirret.cli.session import Session, pass_session
from skirret.errors import SkirretError

if TYPE_CHECKING:
    from skirret.app import Skirret
    from skirret.events.receiver import EventReceiver

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")


@click.command(short_help="Show, print or photograph what workers tell of themselves and their tasks.")
@click.option("-d", "--dump", is_flag=True, help="Print each event as it comes.")
@json_option
@option("-c", "--camera", metavar="MODULE:CLASS", help="Take pictures of the fleet's state with this camera.")
@option(
    "-F",
    "--freq",
    "--frequency",
    "freq",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="With -c: seconds between pictures.",
)
@option("-r", "--maxrate", metavar="RATE", help="With -c: at most so many pictures, such as 10/m.")
@option(
    "-l",
    "--loglevel",
    type=Choice(LEVELS, case_sensitive=False),
    metavar="LEVEL",
    default="INFO",
    show_default=True,
    help="With -c: log what is at least this grave.",
)
@option("-f", "--logfile", setting="events_logfile", type=click.Path(dir_okay=False), help="With -c: log to this file.")
@click.option("-D", "--detach", is_flag=True, help="With -c: run in the background, once it has started.")
@partial(daemon_options, part="events")
@pass_session
def command(session: Session, /, dump: bool, as_json: bool, camera: str | None, detach: bool, **flags: Any) -> int:
    """Show what workers tell of themselves and of their tasks.

    Without --dump or --camera it is a live view, as `skirret top`. Workers tell of their tasks if they were started
    with -E, or told to by `skirret control enable_events`; of themselves they tell always.
    """
    if camera:
        return _photograph(session, camera, detach, flags)
    if dump or as_json:
        return _dump(session, as_json)
    from skirret.cli.top import watch

    return watch(session)


def _dump(session: Session, as_json: bool) -> int:
    from skirret.cli.event_lines import EventLines
    from skirret.cli.output import show_json_line

    app = session.app()
    lines = EventLines(color=session.rich() and session.color is not False)
    receiver = app.events.Receiver()
    _stop_politely(receiver)
    if not as_json:
        session.note(f"Events at {_where(app)}, until Ctrl-C:")
    for event in receiver.itercapture():
        if as_json:
            show_json_line(event)
        else:
            click.echo(lines.line(event))
        sys.stdout.flush()
    return exits.OK


def _photograph(session: Session, camera: str, detach: bool, flags: dict[str, Any]) -> int:
    from skirret import logs
    from skirret.cli import daemon
    from skirret.events.snapshot import pause_of
    from skirret.plugins import import_object
    from skirret.worker.identity import identity, take_on

    app = session.app()
    given = {name: flags[name] or app.conf.get(f"events_{name}") for name in _DAEMON}
    kind = import_object(camera)
    try:
        pause_of(flags["maxrate"])
    except ValueError as exc:
        raise click.BadParameter(f"{exc}.", param_hint="--maxrate") from None
    take_on(identity(given["uid"], given["gid"], given["umask"]))
    logfile = str(Path(given["logfile"]).absolute()) if given["logfile"] else None

    def run(started: Callable[[], object]) -> int:
        logs.setup(str(flags["loglevel"]).upper(), logfile, color=session.color)
        try:
            return _run_camera(app, kind, flags["freq"], flags["maxrate"], given["pidfile"], started)
        except SkirretError as exc:  # here, because in the background nobody above would tell it
            code, text = exits.describe(exc)
            click.echo(text, err=True)
            return code

    watcher = daemon.watcher()
    if not detach or watcher.waited_for or daemon.stays():
        code = run(watcher.started)
        watcher.failed(code)
        return code
    logfile = logfile or str(Path("skirret-events.log").absolute())
    return daemon.background(
        "the camera", logfile, run, quiet=session.quiet, executable=given["executable"] and str(given["executable"])
    )


_DAEMON = ("pidfile", "uid", "gid", "umask", "executable", "logfile")


def _run_camera(
    app: Skirret, kind: Any, freq: float, maxrate: str | None, pidfile: str | None, started: Callable[[], object]
) -> int:
    from skirret.worker.pidfile import PidFile

    held = PidFile(str(Path(pidfile).absolute())) if pidfile else None
    if held is not None:
        held.acquire()
    try:
        state = app.events.State()
        receiver = app.events.Receiver(handlers={"*": state.event})
        _stop_politely(receiver)
        with kind(state, freq=freq, maxrate=maxrate, app=app):
            started()
            receiver.capture()
    finally:
        if held is not None:
            held.release()
    return exits.OK


def _stop_politely(receiver: EventReceiver) -> None:
    def stop(_signum: int, _frame: Any) -> None:
        receiver.should_stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _where(app: Skirret) -> str:
    from skirret.url import mask

    return mask(app.broker_url_in_use())
