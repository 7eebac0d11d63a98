"""What every client does here, and the message that it does it with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from urllib.parse import unquote, urlsplit

WINDOW, BATCH, PREFETCH, ACKED_TOGETHER = 1000, 100, 100, 50
BODY = b'[[1, 2], {"x": "%s"}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]' % (b"y" * 681)
ID = "0b1f1d4e-9d4c-4c4e-8d0c-6a2d3b0f7c11"
HEADERS = {
    "lang": "py", "task": "proj.tasks.add", "id": ID, "root_id": ID, "parent_id": None, "group": None, "retries": 0,
    "eta": None, "expires": None, "argsrepr": "(1, 2)", "kwargsrepr": "{}", "origin": "gen1@host",
}  # fmt: skip
KIND = {"content_type": "application/json", "content_encoding": "utf-8"}


class Client(ABC):
    """One way to speak to the server.

    Args:
        url: of the server.
        queue: its own.
    """

    title: str

    def __init__(self, url: str, queue: str) -> None:
        parts = urlsplit(url)
        self.place = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self.user, self.password = parts.username or "guest", parts.password or "guest"
        self.host = unquote(parts.path[1:]) or "/"
        self.queue = queue
        self.confirmed = self.published = 0

    @abstractmethod
    def publish(self, count: int) -> None:
        """Send so many without waiting."""

    @abstractmethod
    def hear(self) -> None:
        """Wait until something arrives, and take it in."""

    @abstractmethod
    def consume(self, count: int) -> None:
        """Take so many and acknowledge them."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    def publish_pipelined(self, count: int) -> None:
        """At most `WINDOW` on their way."""
        end = self.published + count
        while self.confirmed < end:
            while self.published < end and self.published + BATCH - self.confirmed <= WINDOW:
                self.publish(BATCH)
                self.published += BATCH
            self.hear()

    def publish_single(self, count: int) -> None:
        """One on its way."""
        for _ in range(count):
            self.publish(1)
            self.published += 1
            while self.confirmed < self.published:
                self.hear()
