"""Processes of greenlet pools: patched before the app is imported, and given a hub of their own after a fork."""

from __future__ import annotations

import importlib
from typing import Any

from skirret.worker.child.slots import serve_with

HUBS = {
    "gevent": "skirret.worker.child.slots.gevent_hub",
    "eventlet": "skirret.worker.child.slots.eventlet_hub",
}
"""Pool name -> the module with its `patch` and `forked`."""


def patch_for(pool: str | None) -> None:
    """Make this process's blocking calls cooperative, if `pool` needs that; its own imports are done before.

    Raises:
        MissingDependency: the library is not installed; the message names the extra.
    """
    if pool in HUBS:
        serve_with(pool)
        _hub_of(pool).patch()


def forked_for(pool: str) -> None:
    """Called in a forked child of `pool`, first."""
    if pool in HUBS:
        _hub_of(pool).forked()


def _hub_of(pool: str) -> Any:
    return importlib.import_module(HUBS[pool])
