"""``scripts/bench [redis|rabbitmq|embedded]``: measure this machine and print figures."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.figure import as_json, machine, show


def add_embedded_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen for the run on the embedded file."""
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else on stdout")
    parser.add_argument("--tasks", type=int, default=100_000, help="length of the backlog (default 100000)")
    parser.add_argument("--children", type=int, default=2, help="processes that run tasks (default 2)")
    parser.add_argument("--calls", type=int, default=2_000, help="single calls and round trips (default 2000)")
    parser.add_argument(
        "--idle", type=float, default=10, help="seconds for which an idle worker is watched (default 10)"
    )
    parser.add_argument("--directory", default=None, help="where the embedded file lies (default: a temporary one)")


def embedded(options: argparse.Namespace) -> None:
    """Skirret alone, on the embedded file."""
    with tempfile.TemporaryDirectory(prefix="skirret-bench-", dir=options.directory) as directory:
        url = f"sqlite:///{Path(directory).resolve()}/queue.sqlite3"
        env = {"BENCH_BROKER": url, "BENCH_BACKEND": url}
        os.environ.update(env)
        # Only now: the app reads its addresses as it is made.
        from benchmarks.embedded import Embedded
        from benchmarks.tasks import nothing

        about = machine()
        figures = list(Embedded(nothing, env, options).figures())
    if options.json:
        print(as_json(about, figures))
    else:
        show(about, figures)


def main() -> None:
    """Read the options, measure, print."""
    from benchmarks import compare

    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Skirret on this machine.")
    # Without a word it is the comparison; its options stand on the first level, too.
    words = parser.add_subparsers(dest="what", metavar="{redis,rabbitmq,embedded}")
    compare.add_options(words.add_parser("redis", help="beside its peers on a private Redis (default)"))
    of_rabbitmq = words.add_parser("rabbitmq", help="beside its peers on a private RabbitMQ, with results in a Redis")
    compare.add_options(of_rabbitmq, "rabbitmq")
    add_embedded_options(words.add_parser("embedded", help="alone, on the embedded file"))
    compare.add_options(parser)
    options = parser.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.what == "embedded":
        embedded(options)
    else:
        compare.run(options)


if __name__ == "__main__":
    main()
