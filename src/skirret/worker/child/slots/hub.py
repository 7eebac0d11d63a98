"""What greenlet slots need of the library that switches between greenlets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Hub(Protocol):
    """One library's switching."""

    def spawn(self, function: Callable[..., object], *args: object) -> Any:
        """Start a greenlet, soon; it is returned."""
        ...

    def wait_readable(self, fd: int) -> None:
        """Let others run until `fd` can be read."""

    def throw(self, place: Any, error: BaseException, still: Callable[[], bool]) -> None:
        """Raise `error` in another greenlet, soon, if `still` holds then."""


def throw_now(place: Any, error: BaseException, still: Callable[[], bool]) -> None:
    """What a hub does when that time has come."""
    if still() and not place.dead:
        place.throw(error)
