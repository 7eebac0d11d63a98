"""What Celery's users pass around as a connection: a handle of the app's own connections, which open on use."""

from __future__ import annotations

from typing import Any, Protocol, Self

from skirret.brokers.base import Broker
from skirret.url import mask


class Connected(Protocol):
    """What it needs of an app."""

    @property
    def broker(self) -> Broker:
        """The broker of this process."""
        ...

    def broker_url_in_use(self) -> str:
        """The address that messages go to."""
        ...


class Connection:
    """An app's connection to its broker. It is shared by all of the process, so nothing closes with it.

    Args:
        app: the app.
    """

    def __init__(self, app: Connected) -> None:
        self.app = app

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Self:
        """Make sure that the broker answers.

        Raises:
            OperationalError: it does not.
        """
        _ = self.app.broker.identity
        return self

    connect = ensure_connection

    def as_uri(self, include_password: bool = False, **options: Any) -> str:
        """The broker's address, by default with its password masked."""
        url = self.app.broker_url_in_use()
        return url if include_password else mask(url)

    @property
    def default_channel(self) -> Self:
        """Itself: there is one."""
        return self

    channel = clone = lambda self, *_, **__: self

    def release(self) -> None:
        """Nothing to let go of."""

    close = release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Connection: {self.as_uri()}>"
