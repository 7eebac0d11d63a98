"""Pauses and resumes queues across the fleet: a durable note that every worker looks up about once a second."""

from __future__ import annotations

from collections.abc import Sequence

from skirret.app.protocol import ConnectedApp
from skirret.coordination import pauses


def pause(app: ConnectedApp, queue: str | Sequence[str]) -> list[str]:
    """Let no worker take from a queue until it is resumed; what runs already goes on, and publishing does too.

    The pause outlives workers and, where the shared state is durable, servers. Workers follow within about a second.

    Args:
        app: whose workers.
        queue: a name or several; nobody needs to know them yet.

    Returns:
        Those that were not paused before.

    Raises:
        OperationalError: the shared state cannot be reached.
    """
    return pauses.pause(app.coordination, _names(queue))


def resume(app: ConnectedApp, queue: str | Sequence[str]) -> list[str]:
    """Let workers take from a queue again; those that were paused. See `pause`."""
    return pauses.resume(app.coordination, _names(queue))


def paused(app: ConnectedApp) -> list[str]:
    """The paused queues, sorted."""
    return sorted(pauses.paused(app.coordination))


def _names(queue: str | Sequence[str]) -> list[str]:
    return [queue] if isinstance(queue, str) else [str(name) for name in queue]
