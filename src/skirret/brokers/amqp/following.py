"""What a settlement brings: the messages that must be stored before its own message is acknowledged, in bytes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from skirret.brokers.amqp import letter as letters
from skirret.brokers.amqp.letter import Letter
from skirret.brokers.amqp.sending import Sending
from skirret.message import Publication
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.stores.amqp.publishing import Outgoing

FREE_RETURNS = 2
"""Returns of one message that are left to the server's count: fewer than put it in doubt."""


class Held(msgspec.Struct, eq=False):
    """A message that the worker has. `tag` is the channel's; 0 if its line broke and it went back to the queue."""

    queue: str
    tag: int
    letter: Letter
    follow: tuple[Settlement, list[Outgoing]] | None = None
    """A settlement that was begun, and what follows from it and is not stored yet."""


def is_moved(letter: Letter) -> bool:
    """Whether a message that nobody began goes back as a new one at the end of its queue, with the count that it has.

    A quorum queue counts each return (before RabbitMQ 4.3), as it counts those who died with the message.
    """
    return bool(letter.mark) or letter.returns >= FREE_RETURNS


def follow(sending: Sending, held: Held, settlement: Settlement) -> list[Outgoing]:
    """The messages that a settlement brings and that are not stored yet. Nothing is changed: all must be fit first.

    Raises:
        EncodeError: one that the server cannot hold.
    """
    if held.follow is not None and held.follow[0] == settlement:
        return held.follow[1]
    found = held.letter
    match settlement:
        case Ack():
            return _publications(sending, settlement.successors)
        case Release() if is_moved(found):
            made = sending.again(held.queue, found)
            return [] if made is None else [made]
        case Retry():
            # Its nonce may be the first run's, and a retry is no resend of that.
            return _publications(sending, [msgspec.structs.replace(settlement.publication, nonce="")])
        case Defer():
            content = letters.counted(
                found,
                deliveries=found.deliveries + (settlement.counted == "delivery"),
                crashes=found.crashes + (settlement.counted == "crash"),
            )
            return [sending.to(held.queue, content, found.body, settlement.due)]
        case DeadLetter():
            dead = sending.to_dead(held.queue, found, settlement.reason)
            return [dead, *_publications(sending, settlement.successors)]
    return []


def _publications(sending: Sending, publications: Sequence[Publication]) -> list[Outgoing]:
    return [sending.of(one, number) for number, one in enumerate(publications)]
