"""How long and how large a child may get before a fresh one takes its place."""

from __future__ import annotations

import logging

import msgspec
from msgspec.structs import replace

logger = logging.getLogger("skirret.worker")


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

    def without_cap(self) -> Bounds:
        """The bounds of a pool in which nothing can be killed; says so if a cap was asked for."""
        if self.cap:
            logger.warning(
                "The pool solo has no child that could be killed; it does not heed worker_memory_cap_per_child. "
                "Any other pool does."
            )
        return replace(self, cap=None)
