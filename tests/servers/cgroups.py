"""Control groups for tests: a limit of memory or processes, below the group that the test runs in."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
LIMITS = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}
"""The file that takes the limit, in version 1 and in version 2."""


def place_of(controller: str) -> tuple[Path, int] | None:
    """(this process's group for a controller, version); None where there is none that can be written to."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            place, version = ROOT / controller / path.lstrip("/"), 1
        elif not names:
            place, version = ROOT / path.lstrip("/"), 2
        else:
            continue
        if version == 2 and controller not in _words(place / "cgroup.subtree_control"):
            continue
        if os.access(place, os.W_OK):
            return place, version
    return None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


@contextlib.contextmanager
def limited(controller: str, limit: int) -> Iterator[Path | None]:
    """A group of its own with a limit, for the length of a ``with`` block; None where none can be made.

    Whoever writes its process id into ``cgroup.procs`` below it belongs to it, with all processes that it starts.
    """
    found = place_of(controller)
    if found is None:
        yield None
        return
    place, version = found
    group = place / f"skirret-test-{uuid.uuid4().hex[:12]}"
    try:
        group.mkdir()
        (group / LIMITS[controller][version - 1]).write_text(str(limit))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return
    try:
        yield group
    finally:
        remove(group)


def remove(group: Path) -> None:
    """Take the group away, once its processes are gone."""
    deadline = time.monotonic() + 10.0
    while True:
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def members(group: Path) -> list[int]:
    """The processes in it."""
    return [int(pid) for pid in _words(group / "cgroup.procs")]
