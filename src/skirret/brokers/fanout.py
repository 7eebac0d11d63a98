"""Fanout exchanges as Celery's monitors and remote control use them, told in the broadcasts of a broker."""

from __future__ import annotations

from collections.abc import Sequence

from skirret.brokers.subscription import Subscription


def topic(exchange: str, key: str = "") -> str:
    """The topic of a broadcast to `exchange` with a routing key; a pattern of keys that ends in ``#`` is a prefix."""
    return f"{exchange}/{key.replace('#', '*')}" if key else exchange


def mailbox(exchange: str, key: str) -> str:
    """The name of the queue in which one caller's replies arrive, as kombu names it."""
    return f"{key}.{exchange}"


def topics(exchange: str, keys: Sequence[str]) -> list[str]:
    """What to subscribe to in order to hear `keys` of `exchange`."""
    return [topic(exchange, key) for key in keys]


class FanoutSubscription(Subscription):
    """A listener to one exchange: what it receives is (routing key, payload).

    Args:
        inner: a subscription to the exchange's topics.
        exchange: its name.
    """

    def __init__(self, inner: Subscription, exchange: str) -> None:
        self._inner = inner
        self._start = len(exchange) + 1

    def receive(self, timeout: float) -> list[tuple[str, bytes]]:
        """All messages that came, waiting for the first."""
        return [(told[self._start :], payload) for told, payload in self._inner.receive(timeout)]

    def close(self) -> None:
        """Stop listening; a `receive` that waits returns."""
        self._inner.close()
