"""The steps of a chain that a message carries: which comes next, and what is left for it to carry on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def pop_next(chain: Sequence[Mapping[str, Any]] | None) -> tuple[Mapping[str, Any] | None, list[Mapping[str, Any]]]:
    """The next step of an embedded chain, and the steps after it.

    Args:
        chain: the ``chain`` of a message's body: signatures in reverse, so that the next is the last. Not changed.

    Returns:
        (None, []) for no or an empty chain.
    """
    if not chain:
        return None, []
    return chain[-1], list(chain[:-1])
