"""A batch of settlements in one transaction: what is no longer ours is left alone, the rest is done whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from skirret.brokers.sqlite import messages
from skirret.brokers.sqlite.messages import Draft
from skirret.message import Publication, Record
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.stores.sqlite import results
from skirret.stores.sqlite.text import storable

Hold = tuple[int, int, float]
"""Message, place and moment of a held message."""


@dataclass(slots=True)
class Plan:
    """What a batch of settlements comes to."""

    flags: list[bool] = field(default_factory=list)
    tags: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    released: list[Hold] = field(default_factory=list)
    letters: list[tuple[str, int]] = field(default_factory=list)
    # In the order of the batch: each gets the next places.
    follow: list[list[Draft] | tuple[Defer, Hold] | Draft] = field(default_factory=list)


def drafts(settlements: Sequence[Settlement]) -> list[list[Draft]]:
    """What each settlement publishes, encoded before anything is touched."""
    return [[messages.draft(publication) for publication in _publications(one)] for one in settlements]


def _publications(settlement: Settlement) -> list[Publication]:
    match settlement:
        case Ack() | DeadLetter():
            return settlement.successors
        case Retry():
            return [settlement.publication]
        case _:
            return []


def plan(
    connection: sqlite3.Connection, owner: int, settlements: Sequence[Settlement], follow: Sequence[list[Draft]]
) -> Plan:
    """What is to be done, given what `owner` holds."""
    tags = json.dumps([settlement.tag for settlement in settlements])
    held: dict[int, Hold] = {
        tag: (number, place, since)
        for tag, number, place, since in connection.execute(
            "SELECT tag, id, place, since FROM held WHERE owner = ? AND tag IN (SELECT value FROM json_each(?))",
            (owner, tags),
        )
    }
    made = Plan()
    for settlement, publications in zip(settlements, follow, strict=True):
        hold = held.pop(settlement.tag, None)
        made.flags.append(hold is not None)
        if hold is not None:
            made.tags.append(settlement.tag)
            _add(made, settlement, hold, publications)
    return made


def _add(made: Plan, settlement: Settlement, hold: Hold, publications: list[Draft]) -> None:
    if isinstance(settlement, Release):
        made.released.append(hold)
        return
    if isinstance(settlement, Defer):
        made.follow.append((settlement, hold))
        return
    made.gone.append(hold[0])
    if settlement.result is not None:
        made.records.append(settlement.result)
    if isinstance(settlement, DeadLetter):
        made.letters.append((settlement.reason, hold[0]))
    if isinstance(settlement, Retry):
        made.follow.append(publications[0])
    elif publications:
        made.follow.append(publications)


def carry_out(connection: sqlite3.Connection, owner: int, made: Plan, now: float) -> set[str]:
    """Do what is planned; the queues that got messages."""
    if made.tags:
        tags = [(owner, tag) for tag in made.tags]
        connection.executemany("DELETE FROM held WHERE owner = ? AND tag = ?", tags)
    if made.letters:
        messages.bury(connection, [(storable(reason), now, number) for reason, number in made.letters])
    if made.gone:
        messages.remove(connection, made.gone)
    if made.records:
        results.write(connection, made.records, now)
    queues: set[str] = set()
    if made.released:
        queues |= _release(connection, made.released)
    if made.follow:
        queues |= _follow(connection, made.follow, now)
    return queues


def _release(connection: sqlite3.Connection, released: list[Hold]) -> set[str]:
    connection.executemany(
        "UPDATE message SET first_delivered = ? WHERE id = ? AND first_delivered = 0",
        [(since, number) for number, _, since in released],
    )
    messages.put_back(connection, [(place, number) for number, place, _ in released])
    return _homes(connection, [number for number, _, _ in released])


def _homes(connection: sqlite3.Connection, numbers: list[int]) -> set[str]:
    look = "SELECT DISTINCT queue FROM message WHERE id IN (SELECT value FROM json_each(?))"
    return {row[0] for row in connection.execute(look, (json.dumps(numbers),))}


def _follow(
    connection: sqlite3.Connection, follow: list[list[Draft] | tuple[Defer, Hold] | Draft], now: float
) -> set[str]:
    queues: set[str] = set()
    for one in follow:
        if isinstance(one, list):
            queues |= messages.publish(connection, [one], now)
        elif isinstance(one, Draft):  # a retry: not `publish`, for the fence keeps it from being repeated
            queues |= messages.add(connection, [one], now)
        else:
            queues |= _defer(connection, *one, now)
    return queues


def _defer(connection: sqlite3.Connection, settlement: Defer, hold: Hold, now: float) -> set[str]:
    number, place, since = hold
    connection.execute(
        "UPDATE message SET deliveries = deliveries + ?, crashes = crashes + ?, "
        "first_delivered = iif(first_delivered, first_delivered, ?) WHERE id = ?",
        (settlement.counted == "delivery", settlement.counted == "crash", since, number),
    )
    is_due = settlement.due <= now
    if not (is_due and settlement.first):
        place = messages.places(connection, 1)
    if is_due:
        messages.put_back(connection, [(place, number)])
    else:
        messages.delay(connection, [(settlement.due, place, number)])
    return _homes(connection, [number])
