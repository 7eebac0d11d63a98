"""What the server sends ahead from one queue, and how much it may: the window of a worker, kept as narrow as its need.

RabbitMQ fixes a consumer's prefetch when it begins. A window that follows the need is therefore a few consumers side by
side: one more where it grows, the widest taken away where it shrinks. All of it is decided here, without I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from skirret.brokers.amqp import letter as letters
from skirret.brokers.amqp.letter import Letter
from skirret.stores.amqp.content import priority_of
from skirret.stores.amqp.session import Arrived

EXACT = 16
"""Windows up to this are exactly as wide as needed, so that nothing waits behind long tasks; wider ones double."""

MAX_PREFETCH = 65535


@dataclass(slots=True, eq=False)
class Tap:
    """One consumer on the server: its tag, its prefetch, and how many of its messages are not settled yet."""

    name: str
    prefetch: int
    open: int = 0


class Sent(msgspec.Struct, eq=False):
    """A message that the server sent and that nobody took yet. It is read when somebody asks for its `letter`."""

    arrived: Arrived
    tag: int
    priority: int
    _letter: Letter | None = None

    @property
    def letter(self) -> Letter:
        """What it says."""
        if self._letter is None:
            self._letter = letters.read(self.arrived)
        return self._letter


def unread(arrived: Arrived) -> Sent:
    """A message that has just come."""
    return Sent(arrived, arrived.tag, priority_of(arrived.header))


@dataclass(slots=True, eq=False)
class Feed:
    """One queue's supply: the taps that are open, and what came through them by priority."""

    queue: str
    taps: list[Tap] = field(default_factory=list)
    waiting: dict[int, deque[Sent]] = field(default_factory=dict)

    @property
    def credit(self) -> int:
        """How many messages the server may still send."""
        return sum(max(0, tap.prefetch - tap.open) for tap in self.taps)

    @property
    def count(self) -> int:
        """How many messages came and wait here."""
        return sum(map(len, self.waiting.values()))

    def add(self, sent: Sent) -> None:
        """One more came."""
        self.waiting.setdefault(sent.priority, deque()).append(sent)

    def best(self) -> int:
        """The highest priority that waits here, or -1."""
        return max((priority for priority, found in self.waiting.items() if found), default=-1)

    def take(self, priority: int, most: int) -> list[Sent]:
        """The oldest of a priority, up to so many."""
        waiting = self.waiting[priority]
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    def drain(self) -> list[Sent]:
        """All that waits here, which it then does no more."""
        found = [one for waiting in self.waiting.values() for one in waiting]
        self.waiting.clear()
        return found

    def missing(self, room: int) -> int:
        """The prefetch of the tap that must be added so that `room` messages may come; 0 if they may."""
        lack = room - self.credit
        if lack <= 0:
            return 0
        width = sum(tap.prefetch for tap in self.taps)
        if width + lack > EXACT:  # doubled: a busy worker's need grows in steps, and each tap costs round trips
            lack = max(lack, width)
        return min(lack, MAX_PREFETCH)

    def superfluous(self, room: int) -> list[Tap]:
        """Taps without which `room` messages may still come."""
        found: list[Tap] = []
        credit = self.credit
        for tap in sorted(self.taps, key=lambda tap: -tap.prefetch):
            free = max(0, tap.prefetch - tap.open)
            if free and credit - free >= room:
                credit -= free
                found.append(tap)
        return found
