"""Type checkers see through tasks: wrong calls in user code are errors, right ones are not, results have their type."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

SAMPLES = sorted((Path(__file__).parent / "typing_samples").glob("*.py"))


def expected(path: Path) -> set[int]:
    """The lines that must be refused."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def refused_by_mypy(path: Path, cache: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache), str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    found = re.findall(rf"^{re.escape(str(path.relative_to(ROOT)))}:(\d+): error", done.stdout, flags=re.MULTILINE)
    return {int(line) for line in found}


def refused_by_pyright(path: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)["generalDiagnostics"]
    return {entry["range"]["start"]["line"] + 1 for entry in report if entry["severity"] == "error"}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_mypy_refuses_the_wrong_calls_and_no_others(path, tmp_path):
    assert refused_by_mypy(path, tmp_path) == expected(path)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_pyright_refuses_the_wrong_calls_and_no_others(path):
    assert refused_by_pyright(path) == expected(path)


def test_the_samples_expect_both_kinds_of_lines():
    for path in SAMPLES:
        assert expected(path)
        assert len(expected(path)) < len(path.read_text(encoding="utf-8").splitlines()) / 2
