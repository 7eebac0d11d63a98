"""Which queues are paused across the fleet: one value, so that looking costs a server next to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from skirret.coordination.base import Coordination
from skirret.coordination.keys import PAUSED


def paused(shared: Coordination) -> frozenset[str]:
    """The names of the paused queues."""
    return _names(shared.get(PAUSED))


def pause(shared: Coordination, names: Iterable[str]) -> list[str]:
    """Pause queues; those that were not paused before, in the order given."""
    wanted = list(dict.fromkeys(names))
    before = _change(shared, lambda known: known | set(wanted))
    return [name for name in wanted if name not in before]


def resume(shared: Coordination, names: Iterable[str]) -> list[str]:
    """Resume queues; those that were paused, in the order given."""
    wanted = list(dict.fromkeys(names))
    before = _change(shared, lambda known: known - set(wanted))
    return [name for name in wanted if name in before]


def _change(shared: Coordination, change: Callable[[frozenset[str]], frozenset[str]]) -> frozenset[str]:
    while True:
        old = shared.get(PAUSED)
        before = _names(old)
        after = change(before)
        new = json.dumps(sorted(after)).encode() if after else None
        if after == before or shared.compare_and_set(PAUSED, old, new):
            return before


def _names(value: bytes | None) -> frozenset[str]:
    return frozenset(json.loads(value)) if value else frozenset()
