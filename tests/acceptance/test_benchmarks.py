"""The benchmarks run and tell figures; what the figures are is nobody's promise here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_run_of_the_benchmarks_tells_every_figure_as_json():
    command = [sys.executable, "-m", "benchmarks", "--json", "--tasks", "2000", "--calls", "50", "--idle", "0.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["machine"]["cores"] >= 1
    figures = {figure["name"]: figure["value"] for figure in told["figures"]}
    assert len(figures) == 12
    assert figures["drain, 2 children"] > 0
    assert figures["idle round trip delay().get(), p50"] > 0
