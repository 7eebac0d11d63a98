"""The end of a process with all that it has started: what a killed task leaves running must not outlive it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Kin(NamedTuple):
    """A process, by its number and the moment at which it began: numbers are used again."""

    pid: int
    began: str


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


def below(pid: int) -> list[Kin]:
    """The processes below one that ends by itself, for `end_all` after that: then the kernel knows them no more."""
    found: list[Kin] = []
    waiting = _children(pid)
    while waiting:
        one = waiting.pop()
        found.append(Kin(one, _began(one)))
        waiting += _children(one)
    return found


def end_all(those: Iterable[Kin]) -> None:
    """Kill what is left of some processes, and what they have started meanwhile."""
    for one in those:
        if one.began and _began(one.pid) == one.began:
            end(one.pid)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread that ends meanwhile: its children go to another one
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def _began(pid: int) -> str:
    """The moment by the kernel's clock, in its own words; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
