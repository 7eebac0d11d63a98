"""Limits that hold across the fleet: the fetcher's thread asks the shared state who may begin, and tells the loop.

A claim passes the door of its slots, then that of its rate. A slot is kept while its worker beats and is free when the
task is settled; after a worker's death it is free when its lease is over. While the shared state cannot be asked,
nothing passes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TypeVar

from skirret import clock, loggers
from skirret.coordination.base import Coordination
from skirret.outcome import Ack, Settlement
from skirret.worker.claim import Claim
from skirret.worker.doors import LOOK, RETRY, Door, SlotDoor, TokenDoor
from skirret.worker.uniques import Uniques

logger = loggers.own("skirret.worker")
T = TypeVar("T")

CROWD, LEAST_CROWD, CROWDS = 100, 2, 2000
"""Claims that wait here for the slots of one key: at most, at least; and about so many for all keys together."""

LOOKS = 500.0
"""Looks a second for slots that other workers left, for all keys together."""


class Fleet:
    """What one worker has of the fleet's limits.

    `ask` and `leave` are the loop's; all else belongs to the fetcher's thread.

    Args:
        shared: where the limits are kept; None is nowhere, and then nothing passes.
        ttl: seconds for which a slot outlives the last beat of its worker.
        answer: told which messages may begin, and which come back when (monotonic seconds).
        uniques: gives keys free that the start of a task ends.
    """

    def __init__(
        self,
        shared: Coordination | None,
        ttl: float,
        answer: Callable[[list[int], list[tuple[int, float]]], object],
        uniques: Uniques,
    ) -> None:
        self._shared = shared
        self._ttl = ttl
        self._answer = answer
        self._uniques = uniques
        self._asked: deque[Claim] = deque()
        self._ended: deque[tuple[int, bool]] = deque()
        self._left: deque[int] = deque()
        self._owner = ""
        self._tokens: dict[str, TokenDoor] = {}
        self._slots: dict[str, SlotDoor] = {}
        self._busy: set[Door] = set()
        self._untidy: set[SlotDoor] = set()
        self._holds: dict[int, SlotDoor] = {}
        self._early: set[int] = set()
        self._deaf = False

    # -- the loop's

    def ask(self, claims: Iterable[Claim]) -> None:
        """Let these begin as soon as the limits allow; each is answered, within about a second.

        There is an answer, be it an empty one, as soon as they were looked at.
        """
        self._asked.extend(claims)

    def leave(self, tags: Iterable[int], *, again: bool = False) -> None:
        """Tasks are over that were acknowledged before they began; `again` if they will be retried."""
        self._ended.extend((tag, again) for tag in tags)

    def forget(self) -> None:
        """Nothing that was asked is held any more; call it while the thread rests."""
        self._asked.clear()
        self._ended.clear()

    # -- the fetcher's

    def begin(self, cid: str) -> None:
        """Start with nothing, under the name of a new incarnation; what an older one had runs out by itself."""
        self._owner = cid
        self._left.clear()
        self._slots.clear()
        self._busy.clear()
        self._untidy.clear()
        self._holds.clear()
        self._early.clear()
        for door in self._tokens.values():
            door.waiting.clear()

    def next_look(self) -> float:
        """When to serve again although nothing happened, in monotonic seconds."""
        return 0.0 if self._untidy else min((door.next_look() for door in self._busy), default=inf)

    def serve(self) -> None:
        """Let pass who may pass, send away who waited long enough, give back what was left."""
        if not (self._asked or self._left or self._ended or self._busy or self._untidy):
            return
        now = clock.monotonic()
        news = bool(self._asked)
        granted: list[Claim] = []
        while self._left:
            granted += self._free(self._left.popleft(), now)
        while self._ended:
            tag, again = self._ended.popleft()
            self._uniques.over(tag, again=again)
            granted += self._free(tag, now)
        while self._asked:
            granted += self._enter(self._asked.popleft(), now)
        self._tidy(now)
        for slots in [door for door in self._busy if isinstance(door, SlotDoor) and door.look_at <= now]:
            slots.pause = max(LOOK, len(self._busy) / LOOKS)
            passed: list[Claim] = self._try(slots, slots.admit, [], now)
            for claim in passed:
                granted += self._has_slot(claim, slots, now)
        for tokens in [door for door in self._busy if isinstance(door, TokenDoor) and door.look_at <= now]:
            granted += self._try(tokens, tokens.admit, [], now)
        crowd = min(CROWD, max(LEAST_CROWD, CROWDS // max(1, len(self._busy))))
        refused = [one for door in self._busy for one in door.give_up(now, crowd)]
        for claim, _ in refused:
            granted += self._free(claim.tag, now)  # it had a slot, and got no token
        self._busy = {door for door in self._busy if door.waiting}
        for claim in granted:
            if claim.frees:  # before it begins: a call made from then on must not be taken for this one
                self._uniques.over(claim.tag)
        if granted or refused or news:
            self._answer([claim.tag for claim in granted], [(claim.tag, moment) for claim, moment in refused])

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """Messages are not held any more: their slots are free, unless their tasks begin only now."""
        if not self._holds:
            return
        for settlement in settlements:
            tag = settlement.tag
            if tag in self._holds and not (tag in self._early and isinstance(settlement, Ack)):
                self._left.append(tag)

    def renew(self) -> None:
        """Keep what is ours; call it with each beat."""
        now = clock.monotonic()
        for key, door in list(self._slots.items()):
            self._try(door, door.renew, False, now)
            if door.is_idle(now):
                del self._slots[key]

    def end(self) -> None:
        """Give everything back."""
        for door in self._slots.values():
            door.leave_all()
        self._untidy.update(self._slots.values())
        self._tidy(clock.monotonic())

    # -- inside

    def _enter(self, claim: Claim, now: float) -> list[Claim]:
        if not claim.slots:
            return self._want_token(claim, now)
        door = self._slots.get(claim.slots)
        if door is None:
            door = self._slots[claim.slots] = SlotDoor(claim.slots, claim.most, self._ttl)
            door.owner = self._owner
        door.most = claim.most
        door.put(claim, now)
        self._busy.add(door)
        return []

    def _has_slot(self, claim: Claim, door: SlotDoor, now: float) -> list[Claim]:
        self._holds[claim.tag] = door
        if claim.early:
            self._early.add(claim.tag)
        return self._want_token(claim, now)

    def _want_token(self, claim: Claim, now: float) -> list[Claim]:
        if claim.rate <= 0.0:
            return [claim]
        door = self._tokens.get(claim.task)
        if door is None or door.rate != claim.rate:
            before = door
            door = self._tokens[claim.task] = TokenDoor(claim.task, claim.rate)
            if before is not None:
                door.waiting, before.waiting = before.waiting, door.waiting
        door.put(claim, now)
        self._busy.add(door)
        return []

    def _free(self, tag: int, now: float) -> list[Claim]:
        self._early.discard(tag)
        door = self._holds.pop(tag, None)
        if door is None:
            return []
        granted: list[Claim] = []
        for claim in door.leave(tag, now):
            granted += self._has_slot(claim, door, now)
        self._untidy.add(door)
        return granted

    def _tidy(self, now: float) -> None:
        for door in list(self._untidy):
            self._untidy.discard(door)
            if not self._try(door, door.tidy, False, now):
                return  # it is tried again with the next beat

    def _try(self, door: Door, ask: Callable[[Coordination, float], T], otherwise: T, now: float) -> T:
        if self._shared is None:
            return otherwise
        try:
            told = ask(self._shared, now)
        except Exception as exc:  # noqa: BLE001  these messages are held: nobody may forget them here
            door.look_at = now + RETRY
            if not self._deaf:
                logger.warning("The fleet's limits cannot be asked (%s); limited tasks wait.", exc)
            self._deaf = True
            return otherwise
        self._deaf = False
        return told
