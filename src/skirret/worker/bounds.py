"""How long and how large a child may get before a fresh one takes its place."""

from __future__ import annotations

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """What a child is replaced at; None is never.

    Args:
        tasks: so many runs.
        memory: KiB of resident memory, looked at between tasks.
        cap: KiB of resident memory at which it is killed while a task runs.
    """

    tasks: int | None = None
    memory: int | None = None
    cap: int | None = None
