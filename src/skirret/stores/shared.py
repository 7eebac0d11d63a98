"""The stores of this process: one for all who agree on where it is, and a fork's child begins without their lines."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class Shared(Generic[Key, Kept]):
    """What is kept for as long as somebody uses it. Safe for threads and forks.

    Args:
        after_fork: called in a fork's child with each that the parent had.
    """

    def __init__(self, after_fork: Callable[[Kept], object] = lambda _kept: None) -> None:
        self.guard: Any = threading.Lock()
        """Held while one is found or made."""
        self._kept: weakref.WeakValueDictionary[Key, Kept] = weakref.WeakValueDictionary()
        self._after_fork = after_fork
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def at(self, key: Key, make: Callable[[], Kept]) -> Kept:
        """The one of this key, made if there is none."""
        with self.guard:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = make()
            return found

    def _forked(self) -> None:
        self.guard = threading.Lock()  # a thread of the parent may have held it
        for kept in list(self._kept.values()):
            self._after_fork(kept)
