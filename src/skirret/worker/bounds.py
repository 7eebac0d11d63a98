"""How long and how large a child may get before a fresh one takes its place."""

from __future__ import annotations

import logging

import msgspec

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

    def without_children(self) -> Bounds:
        """The bounds of a pool that has no child to replace: none; says so if some were asked for."""
        asked = {
            "worker_max_tasks_per_child": self.tasks,
            "worker_max_memory_per_child": self.memory,
            "worker_memory_cap_per_child": self.cap,
        }
        if names := [name for name, bound in asked.items() if bound]:
            logger.warning(
                "The pool solo has no child that could be replaced or ended; it does not heed %s. Any other pool does.",
                ", ".join(names),
            )
        return Bounds()
