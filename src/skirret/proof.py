"""Proof that a process of this machine is dead: its number, the moment of its birth and the machine's boot."""

from __future__ import annotations

import functools
import os
from pathlib import Path

_PROC = Path("/proc")


@functools.cache
def home() -> str:
    """Names the place where process numbers and birth times have one meaning; "" where nothing can be proven.

    That is one boot of one machine, and in it one namespace of process numbers and one of time: a container does not
    see the processes of its neighbour.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        spaces = [str((_PROC / "self/ns" / name).readlink()) for name in ("pid", "time")]
        birth(os.getpid())
    except OSError:
        return ""
    return " ".join([boot, *spaces])


def birth(pid: int) -> int:
    """When a process started, in clock ticks since boot (field 22 of proc(5)'s stat); 0 if it is a zombie.

    Raises:
        OSError: there is no such process, or it is hidden from us.
    """
    text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    fields = text.rpartition(")")[2].split()
    state, threads, start = fields[0], int(fields[17]), int(fields[19])
    # A zombie without other threads runs nothing any more; it only waits for its parent to look at it.
    return 0 if state in "ZX" and threads <= 1 else start


def is_dead(where: str, pid: int, born: int) -> bool:
    """Whether the process that was `pid` at `where`, born at `born`, certainly runs no more. False is "not known"."""
    if not where or where != home() or pid <= 0 or born <= 0:
        return False
    try:
        return birth(pid) != born
    except OSError:
        pass
    try:
        os.kill(pid, 0)  # sees processes that a /proc mounted with hidepid does not show
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
