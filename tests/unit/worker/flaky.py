"""A broker, a result store and a coordination whose methods fail when a test says so; nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from skirret.brokers.base import Broker, Consumer


class Faults:
    """What goes wrong: `before` and `after` a method runs, by its name; each call is counted."""

    def __init__(self) -> None:
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.calls: Counter[str] = Counter()

    def run(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `method` among its faults."""
        self.calls[name] += 1
        self.before.get(name, bool)()
        value = method(*args, **kwargs)
        self.after.get(name, bool)()
        return value


def fails(error: Exception, times: int | None = None) -> Callable[[], object]:
    """Raises `error`: always, or so many times."""
    left = [times]

    def fail() -> None:
        if left[0] is None:
            raise error
        if left[0] > 0:
            left[0] -= 1
            raise error

    return fail


class Flaky:
    """Any object of a seam with `faults` around its methods; consumers that it makes are flaky too."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def begin_settle(self, settlements: Any) -> Any:
        """In one step, as most consumers do it."""
        return self.settle(settlements)

    def begin_store(self, records: Any) -> Callable[[], object]:
        """In one step, as most result stores do it."""
        self.store(records)
        return lambda: None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def method(*args: Any, **kwargs: Any) -> Any:
            value = self._faults.run(name, found, *args, **kwargs)
            return Flaky(value, self._faults) if isinstance(value, Consumer) else value

        return method


def flaky(inner: Any, faults: Faults) -> Any:
    """`inner` with `faults`; typed as whatever the caller needs."""
    assert isinstance(inner, Broker) or inner is not None
    return Flaky(inner, faults)
