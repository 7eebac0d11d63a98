"""The app that is measured: tasks that do nothing, so that what is left is Skirret."""

from __future__ import annotations

import os

from skirret import Skirret

app = Skirret("benchmarks", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BACKEND"])


@app.task
def nothing(payload: str = "") -> None:
    """Return at once."""
