"""The command line: one file a command, each imported only when it is called."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the ``skirret`` command and give its exit code (see `skirret.cli.exits`).

    Args:
        argv: arguments without the program's name; None is ``sys.argv``.
    """
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["health"]:  # probes ask often: without the command line's own machinery it costs a third
        from skirret.cli import probe

        code = probe.quick(words[1:])
        if code is not None:
            return code
    from skirret.cli.root import root

    try:
        root.main(args=argv, prog_name="skirret")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
