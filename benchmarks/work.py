"""What the measured tasks do, the same for every library."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

KIB = 1024
# Of 20 tasks in a row: mostly nothing, some short, one slow.
MIXED = [0.0] * 5 + [1.0] + [0.0] * 5 + [1.0, 10.0] + [0.0] * 7


def echo(payload: str = "", milliseconds: float = 0.0) -> str:
    """Keep a core busy for a while and give the payload back.

    Work is CPU time of the calling thread, not sleep: so what a library reaches depends on the machine's cores and its
    own overhead, not on how many tasks it lets sleep at once.
    """
    if milliseconds:
        until = time.thread_time() + milliseconds / 1000
        while time.thread_time() < until:
            pass
    return payload


def calls(count: int, size: int, kind: str) -> Iterator[tuple[Any, ...]]:
    """The arguments of `count` tasks.

    Args:
        count: how many.
        size: length of the payload in bytes; results are as long.
        kind: ``"none"``, a number of milliseconds of work, or ``"mixed"``.
    """
    payload = "x" * size
    if kind == "mixed":
        return ((payload, spin) if size or spin else () for spin in islice(cycle(MIXED), count))
    spin = 0.0 if kind == "none" else float(kind)
    args = (payload, spin) if spin else (payload,) if size else ()
    return (args for _ in range(count))


def mean_milliseconds(kind: str) -> float:
    """How long a task of this kind works on average."""
    return sum(MIXED) / len(MIXED) if kind == "mixed" else 0.0 if kind == "none" else float(kind)
