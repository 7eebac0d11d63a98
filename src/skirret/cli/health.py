"""``skirret health``: whether the workers of this machine are well, for probes and scripts."""

from __future__ import annotations

import click

from skirret.cli import probe
from skirret.cli.parameters import json_option


@click.command(short_help="Tell whether the workers of this machine are well.")
@click.option("-n", "--hostname", "node", metavar="NAME", help="Ask this node only, such as w1@%h.")
@click.option("--ready", is_flag=True, help="Also ask whether it is ready for tasks, not only whether it lives.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=2.0, show_default=True, help="Seconds to wait for answers."
)
@json_option
def command(node: str | None, ready: bool, timeout: float, as_json: bool) -> int:
    """Tell whether the workers of this user on this machine are well: exit code 0 if all are, 1 if not.

    Each worker answers on a socket in a private directory: SKIRRET_RUN_DIR, or skirret-UID in the directory for
    temporary files. Without -n there must be at least one. The app is not imported, and the broker is not asked.
    """
    return probe.report(node, ready=ready, as_json=as_json, timeout=timeout)
