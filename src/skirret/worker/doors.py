"""The two limits that hold across the fleet, as doors: tokens, so many a second; slots, so many at a time.

What waits at a door is held by this worker, for at most about a second; then it goes back to the broker. A slot that
becomes free here goes to the next one who waits here without asking the shared state, but only for about a second after
it was taken: then all workers may have it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from skirret.coordination import keys
from skirret.coordination.base import Coordination
from skirret.worker.claim import Claim
from skirret.worker.rates import LEAST_PACE, Turns

PATIENCE = 1.0
"""Seconds for which a claim waits here for a slot; the same again passes before its message comes back."""

SOON = 0.25
"""Seconds for which claims wait here for tokens that are to come."""

BURST = 0.2
"""Seconds of a rate whose tokens are kept for workers that come a little late."""

LOOK = 0.1
"""Seconds between two looks for a slot that another worker left, at least."""

FIRST_PACE = 500.0
"""Messages a second that come back for the slots of a key, until it is known how many it lets through."""

RETRY = 0.5
"""Seconds until a shared state that failed is asked again."""

IDLE = 60.0
"""Seconds after which a door that nobody uses is forgotten."""


class Door(ABC):
    """Where claims wait for one limit."""

    def __init__(self) -> None:
        self.waiting: deque[Claim] = deque()
        self.look_at = 0.0
        """When it makes sense to ask again, in monotonic seconds."""
        self.used_at = 0.0

    def put(self, claim: Claim, now: float) -> None:
        """Let a claim wait here."""
        claim.since = self.used_at = now
        self.waiting.append(claim)

    @abstractmethod
    def admit(self, shared: Coordination, now: float) -> list[Claim]:
        """Ask the shared state; those who may pass, in order. Raises what it raises."""

    @abstractmethod
    def give_up(self, now: float, crowd: int) -> list[tuple[Claim, float]]:
        """Those who must not wait here any longer, each with the moment to come back.

        Args:
            now: monotonic seconds.
            crowd: how many may wait for slots.
        """

    @abstractmethod
    def next_look(self) -> float:
        """When to look again although nothing happened here, in monotonic seconds."""

    def _beyond(self, count: int) -> list[Claim]:
        leaving = [self.waiting.pop() for _ in range(len(self.waiting) - count)]
        return leaving[::-1]


class TokenDoor(Door):
    """Lets tasks of one name begin at a rate."""

    def __init__(self, task: str, rate: float) -> None:
        super().__init__()
        self._key = keys.bucket(task)
        self.rate = rate
        self._capacity = max(1.0, rate * BURST)
        self._turns = Turns(rate)

    def admit(self, shared: Coordination, now: float) -> list[Claim]:
        """Take as many tokens as there are."""
        passed: list[Claim] = []
        while self.waiting:
            wanted = min(len(self.waiting), int(self._capacity))
            wait = shared.take_tokens(self._key, self.rate, self._capacity, float(wanted))
            missing = wait * self.rate
            if wait > 0.0:
                wanted = int(wanted - missing + 1e-6)
                if wanted > 0 and shared.take_tokens(self._key, self.rate, self._capacity, float(wanted)) > 0.0:
                    wanted = 0  # others were faster
                self.look_at = now + (missing % 1.0 or 1.0) / self.rate
            passed += [self.waiting.popleft() for _ in range(wanted)]
            if wait > 0.0:
                break
        return passed

    def give_up(self, now: float, crowd: int) -> list[tuple[Claim, float]]:
        """Who would get no token soon goes back until its turn."""
        first = max(0.0, self.look_at - now)
        stay = int((SOON - first) * self.rate) + 1 if first <= SOON else 0
        self._turns.next = max(self._turns.next, now + first + stay / self.rate)
        return [(claim, self._turns.wait(now)[0]) for claim in self._beyond(stay)]

    def next_look(self) -> float:
        """When the next token comes."""
        return self.look_at


class SlotDoor(Door):
    """Lets so many tasks of one key run at a time.

    Args:
        key: the key.
        most: how many.
        ttl: seconds for which a slot is kept without being renewed.
    """

    def __init__(self, key: str, most: int, ttl: float) -> None:
        super().__init__()
        self._key = keys.slots(key)
        self.most = most
        self.mine: dict[int, tuple[str, float]] = {}
        """The slots that this worker has: tag -> (member of the shared set, when it was taken)."""
        self.owner = ""
        """What the names of its members begin with."""
        self.pause = LOOK
        """Seconds between two looks."""
        self._left: list[str] = []
        self._ttl = ttl
        self._pace = FIRST_PACE
        self._passed = 0
        self._measured_at = 0.0
        self._later = 0.0

    def admit(self, shared: Coordination, now: float) -> list[Claim]:
        """Take slots for those who came first."""
        first = [self.waiting[n] for n in range(min(len(self.waiting), max(0, self.most - len(self.mine))))]
        if not first:
            self.look_at = now + self.pause
            return []
        names = {self._member(claim.tag): claim for claim in first}
        inside = shared.enter(self._key, list(names), self.most, self._ttl)
        passed = [claim for name, claim in names.items() if name in inside]
        for claim in passed:
            self.mine[claim.tag] = (self._member(claim.tag), now)
            self.waiting.remove(claim)
        self._passed += len(passed)
        self.look_at = now + self.pause if self.waiting else 0.0
        return passed

    def give_up(self, now: float, crowd: int) -> list[tuple[Claim, float]]:
        """Who waited long enough, or has too many before it, comes back later, well spread."""
        self._measure(now)
        leaving: list[Claim] = []
        while self.waiting and self.waiting[0].since <= now - PATIENCE:
            leaving.append(self.waiting.popleft())
        leaving += self._beyond(crowd)
        told = []
        for claim in leaving:
            self._later = max(self._later + 1.0 / self._pace, now + PATIENCE)
            told.append((claim, self._later))
        return told

    def leave(self, tag: int, now: float) -> list[Claim]:
        """The task of `tag` is over: its slot goes to the next one here, if there is one and the slot is young."""
        self.used_at = now
        member, since = self.mine.pop(tag)
        if self.waiting and now - since < PATIENCE and len(self.mine) < self.most:
            claim = self.waiting.popleft()
            self.mine[claim.tag] = (member, since)
            self._passed += 1
            return [claim]
        self._left.append(member)
        self.look_at = now + self.pause if self.waiting else 0.0  # meanwhile another worker may come first
        return []

    def tidy(self, shared: Coordination, now: float) -> bool:
        """Give back the slots that were left; True when that is done."""
        if self._left:
            shared.discard(self._key, self._left)
            self._left.clear()
        return True

    def renew(self, shared: Coordination, now: float) -> bool:
        """Keep the slots of what runs; True when that is done."""
        if self.mine:
            shared.enter(self._key, [member for member, _ in self.mine.values()], self.most, self._ttl)
        return self.tidy(shared, now)

    def leave_all(self) -> None:
        """Nothing of it runs any more, or not for us."""
        self._left += [member for member, _ in self.mine.values()]
        self.mine.clear()

    def next_look(self) -> float:
        """When the slots may be free, or the first one has waited long enough."""
        return min(self.look_at, self.waiting[0].since + PATIENCE)

    def _member(self, tag: int) -> str:
        return f"{self.owner}:{tag}"

    def is_idle(self, now: float) -> bool:
        """Whether it can be forgotten."""
        return not (self.waiting or self.mine or self._left) and now - self.used_at > IDLE

    def _measure(self, now: float) -> None:
        passed = now - self._measured_at
        if passed >= 1.0:
            if self._measured_at:
                self._pace = max(LEAST_PACE, 2.0 * self._passed / passed)
            self._passed, self._measured_at = 0, now
