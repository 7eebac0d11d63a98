"""What asking and steering workers needs of an app."""

from __future__ import annotations

from typing import Any, Protocol

from skirret.brokers.base import Broker
from skirret.coordination.base import Coordination


class ControlApp(Protocol):
    """The part of an app that remote commands use."""

    @property
    def broker(self) -> Broker:
        """The broker of this process."""
        ...

    @property
    def coordination(self) -> Coordination:
        """The state that workers share."""
        ...

    def coordination_url_in_use(self) -> str | None:
        """The address of that state; None where nothing keeps it."""
        ...

    @property
    def conf(self) -> Any:
        """The settings."""

    @property
    def queues(self) -> Any:
        """The declared queues by name."""
