"""``skirret multi``: start, stop and name several workers of this machine with one command line."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from skirret.cli import exits
from skirret.cli.multi_language import OWN, Node, Words, Wrong, expand, nodes, read
from skirret.cli.session import Session, pass_session
from skirret.errors import ImproperlyConfigured
from skirret.worker.pidfile import owner

PATIENCE: Final = 4.0
"""Seconds for which ``stop`` watches; ``stopwait`` and ``restart`` wait for as long as it takes."""

HELP: Final = """\
Start, stop and name several workers of this machine.

\b
skirret multi start    NODES [WORKER OPTIONS]
skirret multi stop     NODES [-SIGNAL]          ask them to stop (-TERM), and watch for 4 s
skirret multi stopwait NODES [-SIGNAL]          the same, and wait until the last task is done
skirret multi restart  NODES [-SIGNAL] [WORKER OPTIONS]
skirret multi kill     NODES                    end them at once; their tasks run again elsewhere
skirret multi show     NODES [WORKER OPTIONS]   print the command lines
skirret multi get      NODE NODES [WORKER OPTIONS]   print one of them
skirret multi names    NODES                    print the nodes' names
skirret multi expand   TEMPLATE NODES           print a text for each node: %n its name, %d its host, %p both

NODES are names (image video w3@host), or a number: 3 is skirret1 skirret2 skirret3 (--range-prefix=w: w1 w2 w3).
--hostname gives all of them another host. Options are those of `skirret worker`, for all nodes (-c 3) or for some:
-c:1 10, -Q:1-3 images, -l:video,w3@host debug, --concurrency:2=5. What follows -- is passed on.

Files: --pidfile (default /var/run/skirret/%n.pid) and --logfile (/var/log/skirret/%n%I.log). Give stop, restart and
kill the same --pidfile as start.

How it speaks: --quiet, --verbose, --no-color, --nosplash.
"""


@dataclass(slots=True)
class Cluster:
    """Some nodes, what was said to all of them, and where to tell of it.

    Args:
        nodes: the nodes.
        say: tells a person; silent with ``--quiet``.
        verbose: show command lines.
    """

    nodes: list[Node]
    say: Callable[[str], None]
    verbose: bool = False

    def start(self) -> int:
        """Start all nodes at once, in the background; 1 if one did not start."""
        self.say("> Starting nodes...")
        begun = [(node, self._launch(node)) for node in self.nodes]
        failed = 0
        for node, process in begun:
            said, _ = process.communicate()
            if process.returncode == 0:
                self.say(f"\t> {node.name}: OK")
                continue
            failed += 1
            click.echo(f"\t> {node.name}: FAILED (exit code {process.returncode})", err=True)
            click.echo(said.decode("utf-8", "replace").rstrip(), err=True)
        return exits.FAILED if failed else exits.OK

    def stop(self, number: signal.Signals, patience: float | None) -> int:
        """Signal all nodes and wait for their end; 1 if one still runs after `patience` seconds (None: no limit)."""
        running = self._signal(number)
        if running and patience != 0:
            self.say(f"> Waiting for {len(running)} node(s) -> {', '.join(map(str, running.values()))}")
        until = None if patience is None else time.monotonic() + patience
        while running and (until is None or time.monotonic() < until):
            for node in [node for node in self.nodes if node.name in running and not owner(node.pidfile)]:
                del running[node.name]
                self.say(f"\t> {node.name}: DOWN")
            time.sleep(0.05 if running else 0)
        for name, pid in running.items():
            click.echo(
                f"\t> {name}: process {pid} finishes its tasks first; `multi stopwait` waits, `multi kill` does not",
                err=True,
            )
        return exits.FAILED if running else exits.OK

    def _signal(self, number: signal.Signals) -> dict[str, int]:
        running: dict[str, int] = {}
        self.say("> Stopping nodes...")
        for node in self.nodes:
            pid = owner(node.pidfile)
            if not pid:
                self.say(f"\t> {node.name}: DOWN")
                continue
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            self.say(f"\t> {node.name}: {number.name.removeprefix('SIG')} -> {pid}")
            running[node.name] = pid
        return running

    def _launch(self, node: Node) -> subprocess.Popen[bytes]:
        for file in (node.pidfile, node.logfile):
            try:
                Path(file).absolute().parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise ImproperlyConfigured(
                    f"the directory of {file!r} cannot be made: {exc.strerror}; give --pidfile and --logfile"
                ) from exc
        if self.verbose:
            self.say(f"\t{shlex.join(node.command)}")
        return subprocess.Popen(
            node.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )


@click.command(
    short_help="Start, stop and name several workers of this machine.",
    help=HELP,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("verb", required=False, default="help")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@pass_session
def command(session: Session, ctx: click.Context, /, verb: str, arguments: tuple[str, ...]) -> int:
    """Carry out one verb of `HELP`."""
    if verb in {"help", "--help", "-h"}:
        click.echo(ctx.get_help())
        return exits.OK
    if verb not in VERBS:
        raise click.UsageError(f"multi knows no {verb!r}; it knows {', '.join(VERBS)}.", ctx)
    words = list(arguments)
    first = words.pop(0) if verb in {"expand", "get"} and words else ""
    told = read([*_global(session), *words], **_options())
    if not told.names:
        raise click.UsageError(f"multi {verb} needs names of nodes, or how many there are.", ctx)
    try:
        found = nodes(told)
    except Wrong as exc:
        raise click.UsageError(str(exc), ctx) from exc
    return VERBS[verb](found, told, first, session)


def _options() -> dict[str, Any]:
    """The options that take a value, and those that take none, of the worker and of the program."""
    from skirret.cli.root import root
    from skirret.cli.worker import command as worker

    options = [param for param in [*worker.params, *root.params] if isinstance(param, click.Option)]
    flags = {name for option in options if option.is_flag for name in option.opts}
    return {"flags": flags.union(OWN), "valued": {name for option in options for name in option.opts} - flags}


def _global(session: Session) -> list[str]:
    """Options that stood before ``multi``; those behind it win."""
    pairs = {
        "--app": session.app_path, "--broker": session.broker, "--result-backend": session.result_backend,
        "--loader": session.loader, "--config": session.config,
    }  # fmt: skip
    return [f"{option}={value}" for option, value in pairs.items() if value]


def _cluster(found: list[Node], told: Words, session: Session, verb: str) -> Cluster:
    quiet = session.quiet or "--quiet" in told.options

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    if "--nosplash" not in told.options:
        import skirret

        say(f"skirret multi {verb}, version {skirret.__version__}")
    return Cluster(found, say, "--verbose" in told.options)


def _start(found: list[Node], told: Words, _first: str, session: Session) -> int:
    return _cluster(found, told, session, "start").start()


def _stop(found: list[Node], told: Words, _first: str, session: Session) -> int:
    return _cluster(found, told, session, "stop").stop(told.signal or signal.SIGTERM, PATIENCE)


def _stopwait(found: list[Node], told: Words, _first: str, session: Session) -> int:
    return _cluster(found, told, session, "stopwait").stop(told.signal or signal.SIGTERM, None)


def _kill(found: list[Node], told: Words, _first: str, session: Session) -> int:
    return _cluster(found, told, session, "kill").stop(signal.SIGKILL, PATIENCE)


def _restart(found: list[Node], told: Words, _first: str, session: Session) -> int:
    cluster = _cluster(found, told, session, "restart")
    cluster.stop(told.signal or signal.SIGTERM, None)
    return cluster.start()


def _show(found: list[Node], _told: Words, _first: str, _session: Session) -> int:
    for node in found:
        click.echo(shlex.join(node.command))
    return exits.OK


def _get(found: list[Node], _told: Words, first: str, _session: Session) -> int:
    wanted = [node for node in found if first in {node.name, node.name.partition("@")[0]}]
    if not wanted:
        click.echo(f"There is no node {first!r} among {', '.join(node.name for node in found)}.", err=True)
        return exits.FAILED
    click.echo(shlex.join(wanted[0].command))
    return exits.OK


def _names(found: list[Node], _told: Words, _first: str, _session: Session) -> int:
    for node in found:
        click.echo(node.name)
    return exits.OK


def _expand(found: list[Node], _told: Words, first: str, _session: Session) -> int:
    for node in found:
        click.echo(expand(first, node.name))
    return exits.OK


VERBS: Final[dict[str, Callable[[list[Node], Words, str, Session], int]]] = {
    "start": _start, "stop": _stop, "stopwait": _stopwait, "stop_verify": _stopwait, "restart": _restart, "kill": _kill,
    "show": _show, "get": _get, "names": _names, "expand": _expand,
}  # fmt: skip
