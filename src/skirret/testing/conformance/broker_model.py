"""What the machine of histories knows of a queue: each message and where it is, each worker and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from skirret.brokers.base import Consumer
from skirret.message import Publication


@dataclass(eq=False)
class Known:
    """What the model knows of one message. `place` is waiting, held, dead or gone."""

    publication: Publication
    body: bytes
    place: str = "waiting"
    due: float | None = None
    deliveries: int = 0
    crashes: int = 0

    @property
    def name(self) -> str:
        """Its task id, unique among all histories."""
        return self.publication.task_id

    @property
    def queue(self) -> str:
        """Its home."""
        return self.publication.route.queue

    @property
    def priority(self) -> int:
        """0 to 9."""
        return self.publication.envelope.priority


@dataclass(eq=False)
class Worker:
    """One incarnation in the model and what it holds (after it was reaped: what it believes that it holds)."""

    consumer: Consumer
    held: dict[int, Known] = field(default_factory=dict)
