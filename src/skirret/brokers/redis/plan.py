"""Turns settlements into a script's words, batch by batch, and shares a take among the slots of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from skirret.brokers.redis.options import Options
from skirret.brokers.redis.seat import Held, Order, Seat, result_words, successor_words
from skirret.brokers.redis.slot import Draft, draft
from skirret.message import Publication
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement

BATCH = 500
"""Messages or settlements of one script, so that others get their turn."""

BATCH_BYTES = 256 * 1024

Publish = Callable[[Sequence[Draft]], object]
T = TypeVar("T")


@dataclass(slots=True)
class Step:
    """One settlement on its way. `drafts` are its successors, `size` is about how many bytes it takes."""

    number: int
    settlement: Settlement
    seat: Seat
    order: Order
    drafts: list[Draft]
    size: int

    @property
    def tag(self) -> int:
        """The consumer's."""
        return self.settlement.tag


def steps_of(settlements: Sequence[Settlement], held: Mapping[int, tuple[Seat, str]], options: Options) -> list[Step]:
    """The settlements of what is held, in an order in which released messages come back as they were taken.

    Raises:
        EncodeError: a successor cannot be written; nothing was done yet.
    """
    steps: list[Step] = []
    seen: set[int] = set()
    for number, settlement in enumerate(settlements):
        tag = settlement.tag
        found = held.get(tag)
        if type(settlement) is Ack and not settlement.successors:  # nearly all of them
            if found is not None and tag not in seen:
                seen.add(tag)
                seat, field = found
                record = settlement.result
                words = [*result_words(record), 0]
                size = 0 if record is None else len(record.payload)
                steps.append(Step(number, settlement, seat, Order("ack", field, words), [], size))
            continue
        drafts = [draft(publication, options) for publication in _publications(settlement)]
        if found is None or tag in seen:
            continue
        seen.add(tag)
        seat, field = found
        order = _order(settlement, field, drafts)
        size = sum(len(word) for word in order.words if isinstance(word, bytes))
        steps.append(Step(number, settlement, seat, order, drafts, size))
    if any(isinstance(one, Release) for one in settlements):
        # Each goes to the very front, so the oldest must be the last.
        released = [step for step in steps if step.order.kind == "release"]
        rest = [step for step in steps if step.order.kind != "release"]
        return rest + sorted(released, key=lambda step: -step.tag)
    return steps


def _publications(settlement: Settlement) -> Sequence[Publication]:
    match settlement:
        case Ack() | DeadLetter():
            return settlement.successors
        case Retry():
            return (settlement.publication,)
        case _:
            return ()


def _order(settlement: Settlement, field: str, drafts: list[Draft]) -> Order:
    match settlement:
        case Ack():
            return Order("ack", field, [*result_words(settlement.result), *successor_words(drafts)])
        case Release():
            return Order("release", field, [])
        case Retry():
            # Without its nonce: the hold already keeps a retry from being repeated.
            drafts[:] = [("", *one[1:]) for one in drafts]
            return Order("retry", field, [*result_words(settlement.result), *successor_words(drafts)])
        case Defer():
            counted = [int(settlement.counted == "delivery"), int(settlement.counted == "crash")]
            return Order("defer", field, [f"{settlement.due:.6f}", *counted, int(settlement.first)])
        case DeadLetter():
            words = [*result_words(settlement.result), *successor_words(drafts)]
            return Order("dead", field, [settlement.reason, *words])


def batches_of(steps: Sequence[Step]) -> Iterator[tuple[Seat, list[Step]]]:
    """The steps by seat, as many as one script should carry out at a time."""
    seats: dict[int, list[Step]] = {}
    for step in steps:
        seats.setdefault(id(step.seat), []).append(step)
    for mine in seats.values():
        for batch in in_batches(mine, lambda step: step.size):
            yield batch[0].seat, batch


def in_batches(items: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in portions that one script should have."""
    batch: list[T] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size(item)
        if len(batch) >= BATCH or total >= BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def send_elsewhere(batch: Sequence[Step], seat: Seat, publish: Publish) -> None:
    """In a cluster: publish the successors that belong to other slots, and leave only those of this slot to the script.

    What is not held any more publishes nothing. A call that is repeated publishes nothing twice.
    """
    home = seat.slot.queue
    away = [step for step in batch if any(one[3] != home for one in step.drafts)]
    if not away:
        return
    drafts: list[Draft] = []
    for step, is_held in zip(away, seat.holds([step.order.field for step in away]), strict=True):
        for number, one in enumerate(step.drafts):
            if one[3] != home and is_held:
                drafts.append((one[0] or f"{seat.name}:{step.order.field}:{number}", *one[1:]))
        mine = [one for one in step.drafts if one[3] == home]
        step.order = _order(step.settlement, step.order.field, mine)
    publish(drafts)


def take_of_slots(seats: Sequence[tuple[str, Seat]], limit: int, *, waits: bool) -> list[tuple[Seat, Held]]:
    """In a cluster: a take over several slots, which is no atomic step, but each part of it is.

    Args:
        seats: queues with their seats, in the order of their turns.
        limit: at most so many messages.
        waits: the caller will wait for its bell if there is nothing.
    """
    if len(seats) == 1:
        queue, seat = seats[0]
        return [(seat, one) for one in seat.take([queue], limit, waits=waits)]
    sizes = {queue: seat.lengths(queue) for queue, seat in seats}
    found: list[tuple[Seat, Held]] = []
    for step in seats[0][1].slot.order:
        wanted = _shares({queue: sizes[queue].get(step, 0) for queue, _ in seats}, limit - len(found))
        for queue, seat in seats:
            if wanted[queue]:
                found += [(seat, one) for one in seat.take([queue], wanted[queue], waits=False, order=[step])]
    if waits and not found:
        for queue, seat in seats:
            found += [(seat, one) for one in seat.take([queue], limit - len(found), waits=True)]
            if len(found) >= limit:
                break
    return found


def _shares(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    given = dict.fromkeys(sizes, 0)
    active = [queue for queue, size in sizes.items() if size]
    while limit > 0 and active:
        share = max(1, limit // len(active))
        for queue in active:
            more = min(share, sizes[queue] - given[queue], limit)
            given[queue] += more
            limit -= more
        active = [queue for queue in active if given[queue] < sizes[queue]]
    return given
