"""``skirret systemd``: a unit file for a worker of this project, printed for you to look at and install."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from skirret.cli.session import Session, pass_session
from skirret.errors import ImproperlyConfigured

GRACE: Final = 25.0
"""Seconds that running tasks get at a stop, unless another number is given."""

MARGIN: Final = 10
"""Seconds beyond the grace before systemd kills what is left: settling and letting go of the broker need a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a unit file says.

    Args:
        name: the unit's name, without ``.service``.
        command: the command line.
        directory: where it runs; the one directory that it may write to.
        user, group: who it is; no user is one that systemd makes for the unit.
        grace: seconds that running tasks get at a stop.
    """

    name: str
    command: Sequence[str]
    directory: str
    user: str | None = None
    group: str | None = None
    grace: float = GRACE

    def text(self) -> str:
        """The file's text."""
        who = [f"User={self.user}"] if self.user else ["DynamicUser=yes"]
        who += [f"Group={self.group}"] if self.group else []
        values = {
            "name": self.name, "who": "\n".join(who), "stop": int(self.grace) + MARGIN, "grace": f"{self.grace:g}",
            "directory": escape(self.directory), "writable": word(f"-{self.directory}"),
            "command": " ".join(word(part) for part in self.command),
        }  # fmt: skip
        return TEMPLATE.format(**values)


TEMPLATE: Final = """\
# /etc/systemd/system/{name}.service
# then: systemctl daemon-reload && systemctl enable --now {name}

[Unit]
Description=Skirret worker {name}
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target
# It is started anew however often it fails; RestartSec keeps that from being a busy loop.
StartLimitIntervalSec=0

[Service]
# The worker says itself when it is ready, and proves every few seconds that its loop makes progress.
Type=notify
NotifyAccess=main
WatchdogSec=30
ExecStart={command}
# HUP: tasks that run are finished first, then the same process begins anew with the new code.
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={directory}
{who}

# TERM goes to the supervisor alone, which stops its children in order: running tasks get {grace} s (--grace), what is
# interrupted goes back to its queue. Only what is left {stop} s later is killed.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={stop}
# A configuration that cannot work (78) or a wrong command line (2) is no better after a restart.
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 78
# A task that takes all memory costs its own child process, not the worker.
OOMPolicy=continue
LimitNOFILE=65536

# `skirret health` as this user finds the worker here.
RuntimeDirectory={name}
RuntimeDirectoryMode=0700
Environment=SKIRRET_RUN_DIR=%t/{name}
Environment=PYTHONUNBUFFERED=1
# Addresses with passwords belong into a file that only root and this unit can read:
EnvironmentFile=-/etc/{name}.env

# What a worker does not need. Tasks that do need one of these: remove that line.
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths={writable}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0027

[Install]
WantedBy=multi-user.target
"""


@click.command(
    short_help="Print a systemd unit for a worker.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True},
)
@click.option("--name", metavar="NAME", help="The unit's name (default: skirret- and the app's name).")
@click.option("--user", metavar="USER", help="Run as this user (default: one that systemd makes for the unit).")
@click.option("--group", metavar="GROUP", help="Run as this group.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE,
    show_default=True,
    help="Seconds that running tasks get at a stop; systemd waits 10 s longer.",
)
@click.argument("worker_options", nargs=-1, type=click.UNPROCESSED)
@pass_session
def command(
    session: Session,
    name: str | None,
    user: str | None,
    group: str | None,
    grace: float,
    worker_options: tuple[str, ...],
) -> None:
    """Print a unit file for `skirret -A APP worker` in this directory, with WORKER_OPTIONS: -c 4 -Q images.

    It uses Type=notify with a watchdog, stops the worker in order, and takes away what a worker does not need. Look at
    it, then write it to the file that its first line names. `systemd-analyze verify` reads it.
    """
    if not session.app_path:
        raise ImproperlyConfigured("a unit needs an app: skirret -A proj.tasks systemd")
    unwanted = [option for option in worker_options if option.partition("=")[0] in {"-D", "--detach", "--pidfile"}]
    if unwanted:
        raise click.UsageError(f"systemd keeps the worker itself: leave out {' '.join(unwanted)}.")
    program = Path(sys.executable).with_name("skirret")
    start = [str(program)] if program.exists() else [sys.executable, "-m", "skirret"]
    start += ["-A", session.app_path]
    for option, value in (("--broker", session.broker), ("--config", session.config)):
        start += [f"{option}={value}"] if value else []
    named = name or f"skirret-{re.sub(r'[^A-Za-z0-9]+', '-', session.app_path).strip('-').lower()}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9:_.\\-]*", named):
        raise click.UsageError(f"{named!r} is no name of a unit: letters, digits and - _ . : may stand in it.")
    unit = Unit(
        name=named,
        command=[*start, "worker", "--loglevel=info", f"--grace={grace:g}", *worker_options],
        directory=str(Path.cwd()),
        user=user,
        group=group,
        grace=grace,
    )
    click.echo(unit.text(), nl=False)


def escape(text: str) -> str:
    """`text` in a unit file, where ``%`` begins an abbreviation."""
    return text.replace("%", "%%")


def word(text: str) -> str:
    """`text` as one word of ExecStart, in which quotes, ``$`` and ``%`` mean something."""
    safe = escape(text).replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", safe):
        return safe
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'
