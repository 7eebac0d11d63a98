"""Where a setting's value came from."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """The place that gave a value.

    Args:
        kind: ``command line``, ``code``, ``object``, ``environment``, ``pyproject``, ``added default`` or ``default``.
        where: which one: the file and line, the module, the variable, the file; empty if there is no more to say.
    """

    kind: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}" if self.where else self.kind


DEFAULT = Origin("default")
"""Nobody set it."""
