"""A listener to broadcasts, whatever the server."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Subscription(ABC):
    """A listener to broadcasts. Messages sent while nobody listens are gone: hints, never tasks."""

    @abstractmethod
    def receive(self, timeout: float) -> list[tuple[str, bytes]]:
        """Broadcasts as (topic, payload), waiting at most `timeout` seconds for the first."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening."""
