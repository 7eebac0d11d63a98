"""The worker under measurement: started as users start it, and looked at from outside through /proc."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROCESS_CLOCK = 2  # Linux, clock_getcpuclockid(3): the clock of a process is ~pid << 3 | 2
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree so far, with that of its children that ended."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def run_seconds(pid: int) -> float:
    """CPU time of the living processes of a tree so far, to the nanosecond: for what is nearly idle."""
    total = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~each << 3) | PROCESS_CLOCK)
    return total


def memory_mb(pid: int) -> float:
    """Proportional set size of a process tree, in MB."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


@contextlib.contextmanager
def worker(children: int, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A running worker with so many prefork children. It need not be ready yet."""
    command = [
        sys.executable, "-m", "skirret", "--quiet", "-A", "benchmarks.tasks", "worker",
        "--concurrency", str(children), "--loglevel", "WARNING",
    ]  # fmt: skip
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, cwd=root, env=os.environ | env, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
