"""Which workers live, by their nodes' names: a set with expiry that each worker renews."""

from __future__ import annotations

from skirret.coordination.base import Coordination
from skirret.errors import OperationalError

KEY = "workers"
"""The set in ``Coordination``."""

LIFETIME = 30.0
"""Seconds for which a node's word that it lives is believed."""

RENEWAL = 10.0
"""Seconds from one such word to the next."""


def living(coordination: Coordination) -> list[str]:
    """The names of the nodes that said lately that they live; none where nobody can be asked."""
    try:
        return coordination.members(KEY)
    except OperationalError:
        return []


def enrol(coordination: Coordination, node: str) -> None:
    """Say that a node lives."""
    coordination.add(KEY, [node], ttl=LIFETIME)


def leave(coordination: Coordination, node: str) -> None:
    """Say that a node is gone."""
    coordination.discard(KEY, [node])
