"""The command line: one file a command, each imported only when it is called."""

from __future__ import annotations


def main(argv: list[str] | None = None) -> int:
    """Run the ``skirret`` command and give its exit code (see `skirret.cli.exits`).

    Args:
        argv: arguments without the program's name; None is ``sys.argv``.
    """
    from skirret.cli.root import root

    try:
        root.main(args=argv, prog_name="skirret")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
