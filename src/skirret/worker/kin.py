"""The end of a process with all that it has started: what a killed task leaves running must not outlive it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def end(pid: int) -> None:
    """Kill a process and, where the kernel lists them (Linux), the processes below it.

    Each is stopped before its children are listed, so that it starts no further ones meanwhile. A process whose parent
    has ended, such as a daemon, belongs to nobody any more and is not found.
    """
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        with suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGSTOP)
            waiting += _children(one)
            os.kill(one, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found
