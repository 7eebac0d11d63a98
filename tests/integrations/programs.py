"""Programs of a framework's project, as integration tests run them."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.processes import Program, run, running

PYTHON = sys.executable
STRICT = f"{PYTHON} -W error -W 'ignore:no broker is configured'"
EXAMPLES = Path(__file__).parents[2] / "examples"


def copied(source: Path, target: Path) -> Path:
    """A copy of a project, to be run in."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".skirret", "*.sqlite3"))
    return target


def well(command: str, directory: Path) -> str:
    """What a Python program says that must succeed; its warnings are errors."""
    status, said = run(f"{STRICT} {command}", directory, timeout=60)
    assert status == 0, said
    return said


def its_tests_pass(directory: Path) -> None:
    """Run the tests that a project brings."""
    well("-m pytest -q -W error -p no:cacheprovider -p no:asyncio -c /dev/null --rootdir .", directory)


@contextlib.contextmanager
def worker(command: str, directory: Path, **env: str) -> Iterator[Program]:
    """A worker started by a Python command, ready."""
    with running(f"{PYTHON} -W error {command}", directory, env) as program:
        program.wait_until_it_says("ready", timeout=30)
        yield program
