from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from skirret.cli.root import root


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Iterator[None]:
    """Each test runs in a directory of its own, with the import path put back afterwards."""
    monkeypatch.chdir(tmp_path)
    path, environment = list(sys.path), dict(os.environ)
    yield
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Runs the command line in this process."""

    def run(*arguments: str, **options) -> Result:
        return CliRunner().invoke(root, list(arguments), prog_name="skirret", **options)

    return run
