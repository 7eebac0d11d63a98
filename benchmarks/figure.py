"""One measured figure, and figures as a table or as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """What was measured.

    Args:
        name: what it is.
        value: the number.
        unit: of the number.
        budget: what the design asks for, in words; empty if it asks for nothing.
        note: how it was measured, where the name does not say.
    """

    name: str
    value: float
    unit: str
    budget: str = ""
    note: str = ""


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names this machine."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "sqlite": sqlite3.sqlite_version,
    }


def as_json(about: dict[str, Any], figures: Sequence[Figure]) -> str:
    """Machine and figures for programs."""
    return json.dumps({"machine": about, "figures": [asdict(figure) for figure in figures]}, indent=2)


def show(about: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Machine and figures for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Skirret on this machine", caption=", ".join(f"{key} {value}" for key, value in about.items()))
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_column("unit")
    table.add_column("budget")
    table.add_column("note", overflow="fold")
    for figure in figures:
        digits = 0 if figure.value >= 100 else 1 if figure.value >= 10 else 2
        table.add_row(figure.name, f"{figure.value:,.{digits}f}", figure.unit, figure.budget, figure.note)
    Console().print(table)
