"""One incarnation's registration within one slot: what it holds there, and what is unknown after a line broke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skirret.brokers.base import Limits
from skirret.brokers.redis import durability, scripts
from skirret.brokers.redis.reaping import Reaper, me
from skirret.brokers.redis.slot import Draft, Slot
from skirret.errors import OperationalError
from skirret.message import Record
from skirret.stores.redis.script import Script
from skirret.stores.redis.session import Command


@dataclass(slots=True)
class Held:
    """One message as the server told it."""

    field: str
    queue: str
    raw: bytes
    deliveries: int
    crashes: int
    first: float


@dataclass(slots=True)
class Order:
    """One settlement in a script's words. `words` come behind the field."""

    kind: str
    field: str
    words: list[Any]


class Fenced(Exception):
    """The incarnation was reaped: nothing here is its own any more."""


class Seat:
    """See module.

    Args:
        slot: where.
        cid: the incarnation.
        limits: lease, beat and clock.
    """

    def __init__(self, slot: Slot, cid: str, limits: Limits) -> None:
        self.slot = slot
        self._cid = cid
        self._reaper = Reaper(slot, cid, limits)
        self._held = slot.keys.held(cid)
        self.name = cid
        self._last = "0"
        self._batch = 0
        self._in_doubt = False
        self._is_idle = False
        self.next_due: float | None = None
        self._run(scripts.REGISTER, self._held, cid, me())

    def _run(self, script: Script, key: str, *arguments: Any) -> Any:
        return self.slot.store.run(script, (key,), (*self.slot.head, *arguments))

    def take(self, queues: Sequence[str], limit: int, *, waits: bool, order: Sequence[str] = ()) -> list[Held]:
        """Move up to `limit` messages to held.

        Args:
            queues: in the order of their turns.
            limit: 1 or more.
            waits: the caller will wait for its bell if there is nothing.
            order: priority steps, if not all.

        Raises:
            Fenced: this incarnation was reaped.
        """
        steps = order or self.slot.order
        while True:
            words = (limit, int(waits), int(self._is_idle), len(steps), *steps, *queues)
            answer = self._run(scripts.TAKE, self._held, self._cid, self._last, *words)
            if answer[0] == b"fenced":
                raise Fenced
            if answer[0] == b"ok":
                break
            found = self._recall()
            if found:
                return found
        taken = self._read(answer, queues)
        self.next_due = float(answer[2]) if answer[2] else None
        self._is_idle = not taken and (waits or self._is_idle)
        return taken

    def _read(self, answer: list[Any], queues: Sequence[str]) -> list[Held]:
        now, tag, taken = float(answer[1]), int(self._last), []
        for at in range(3, len(answer), 4):
            tag += 1
            queue = str(queues[int(answer[at]) - 1])
            field = f"{tag}:{answer[at + 1].decode()}:{queue}"
            deliveries, crashes, first = _counts(answer[at + 2], now)
            taken.append(Held(field, queue, answer[at + 3], deliveries, crashes, first))
        self._last = str(tag)
        return taken

    def _recall(self) -> list[Held]:
        answer = self._run(scripts.RECALL, self._held, self._last)
        if answer[0] == b"fenced":
            raise Fenced
        found = []
        for field, value in zip(answer[2::2], answer[3::2], strict=True):
            deliveries, crashes, first, _, raw = value.split(b":", 4)
            text = field.decode()
            found.append(Held(text, text.split(":", 2)[2], raw, int(deliveries), int(crashes), float(first)))
        self._last = answer[1].decode()
        return found

    def settle(self, orders: Sequence[Order], results: tuple[Any, ...], confirm: Sequence[Command] = ()) -> list[bool]:
        """Carry out settlements in one step; one flag each.

        Args:
            orders: what to do.
            results: this database, that of results, and what their keys begin with.
            confirm: sent behind it (see ``durability``).

        Raises:
            Fenced: this incarnation was reaped.
        """
        words: list[Any] = []
        for order in orders:
            words += (order.kind, order.field, *order.words)
        self._batch += 1
        store = self.slot.store
        arguments = (*self.slot.head, self._batch, int(self._in_doubt), *results, *words)
        try:
            answer, *confirmed = store.run_many(scripts.SETTLE, [((self._held,), arguments)], then=confirm)
            durability.check(confirmed, self.slot.options, store.address)
        except OperationalError:
            self._in_doubt = True
            raise
        if answer[0] == b"fenced":
            raise Fenced
        self._in_doubt = False
        return [flag == 49 for flag in answer[1]]  # 49 is b"1"

    def holds(self, fields: Sequence[str]) -> list[bool]:
        """Which of these it still holds."""
        told = self.slot.store.call("HMGET", self._held, "seq", *fields, key=self._held)
        if told[0] is None:
            raise Fenced
        return [value is not None for value in told[1:]]

    def lengths(self, queue: str) -> dict[str, int]:
        """How many messages of each priority step are ready."""
        told = self._run(scripts.LENGTHS, self._held, queue, *self.slot.order)
        return dict(zip(self.slot.order, told, strict=True))

    def beat(self, queues: Sequence[str]) -> bool:
        """Move the beat on; False if there is none any more."""
        return bool(self._run(scripts.BEAT, self._held, self._cid, *queues))

    def reap(self, deliveries: int) -> int:
        """As `Reaper.reap`.

        Raises:
            Fenced: this incarnation was reaped.
        """
        returned = self._reaper.reap(deliveries)
        if not self._reaper.is_member:
            raise Fenced
        return returned

    def close(self, queues: Sequence[str]) -> None:
        """Put back what is held and leave."""
        self._run(scripts.CLOSE, self._held, self._cid, *queues)


def _counts(text: bytes, now: float) -> tuple[int, int, float]:
    if not text:
        return 0, 0, now
    deliveries, crashes, first = text.split(b":")
    return int(deliveries), int(crashes), float(first) or now


def result_words(record: Record | None) -> list[Any]:
    """A result in a script's words."""
    if record is None:
        return ["", ""]
    life = "" if record.ttl is None else max(1, round(record.ttl * 1000.0))
    return [record.task_id, record.state, record.payload, life]


def successor_words(drafts: Sequence[Draft]) -> list[Any]:
    """Successors in a script's words."""
    words: list[Any] = [len(drafts)]
    for one in drafts:
        words += one
    return words
