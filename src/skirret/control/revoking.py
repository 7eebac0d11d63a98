"""Which tasks must not start: kept in the state that workers share, so that workers that come later know it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skirret.coordination.base import Coordination

IDS = "revoked"
"""The set in ``Coordination`` that holds the ids of revoked tasks."""

STAMPS = "revoked-stamps"
"""The set of revoked stamps, each as `stamp` writes it."""

LIFETIME = 3 * 24 * 3600.0
"""Seconds for which a revoke is remembered."""

MAX_IDS = 10_000
"""Ids in one command; more come in several."""


def revoke(coordination: Coordination, ids: Sequence[str]) -> None:
    """Remember tasks that must not start.

    Raises:
        OperationalError: the shared state cannot be reached.
    """
    if ids:
        coordination.add(IDS, ids, ttl=LIFETIME)


def revoke_stamps(coordination: Coordination, headers: Mapping[str, Any]) -> None:
    """Remember stamps whose tasks must not start.

    Raises:
        OperationalError: the shared state cannot be reached.
    """
    found = list(stamps_of(headers))
    if found:
        coordination.add(STAMPS, found, ttl=LIFETIME)


def among(coordination: Coordination, tasks: Sequence[tuple[str, Any]]) -> set[str]:
    """The ids of those tasks that are revoked, by id or by a stamp that they carry.

    Args:
        coordination: where revokes are kept.
        tasks: id and stamps (or None) of each.

    Raises:
        OperationalError: the shared state cannot be reached.
    """
    revoked = coordination.contains(IDS, [task_id for task_id, _ in tasks])
    stamped = [(task_id, stamps_of(stamps)) for task_id, stamps in tasks if stamps]
    if stamped:
        found = coordination.contains(STAMPS, sorted({one for _, carried in stamped for one in carried}))
        revoked.update(task_id for task_id, carried in stamped if not found.isdisjoint(carried))
    return revoked


def ids_of(value: Any) -> list[str]:
    """The task ids in a command's argument: one, or a collection of them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
        return [str(one) for one in value][:MAX_IDS]
    return [] if value is None else [str(value)]


def stamp(header: str, value: Any) -> str:
    """One stamp as text: its header and one value."""
    return f"{header}={value}"


def stamps_of(headers: Any) -> set[str]:
    """All stamps in a mapping of headers to a value or a list of values, as text."""
    found: set[str] = set()
    if not isinstance(headers, Mapping):
        return found
    for header, value in headers.items():
        several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        found.update(stamp(str(header), one) for one in several)
        if len(found) > MAX_IDS:
            break
    return found
