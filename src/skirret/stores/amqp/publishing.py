"""Publishing with confirms: messages go out in a window, and none counts as stored before the server said so."""

from __future__ import annotations

from typing import NamedTuple

from pamqp import commands

from skirret import clock
from skirret.errors import OperationalError
from skirret.stores.amqp import frames
from skirret.stores.amqp.faults import Blocked, Broken
from skirret.stores.amqp.session import Returned, Session

CHANNEL = 1
WINDOW = 1000
"""Messages that are under way without a confirm, at most."""

PIECE = 64 * 1024
"""Bytes that are written in one go, about."""


class Outgoing(NamedTuple):
    """One message in bytes. `exchange` and `routing_key` are AMQP's short strings, `header` the content header."""

    exchange: bytes
    routing_key: bytes
    header: bytes
    body: bytes
    mandatory: bool = True


Unroutable = Returned


def publish(session: Session, waiting: list[Outgoing], lost: list[Unroutable], seconds: float) -> None:
    """Publish messages and wait until all are confirmed.

    Args:
        session: whose channel 1 publishes; confirms are turned on at its first use.
        waiting: the messages; what is answered for is taken out, so that the rest can be sent by another session.
        lost: gets those that no queue wanted.
        seconds: the deadline.

    Raises:
        OperationalError: the server refused to store some (a queue is full, or has lost its majority).
        Broken: the line is gone, or not all was confirmed in time.
        Refused: the channel was closed, such as for an exchange that is not there.
    """
    deadline = clock.Deadline(seconds)
    if session.published == 0:
        session.call(CHANNEL, commands.Confirm.Select(), commands.Confirm.SelectOk, seconds=seconds)
    first = session.published + 1
    sent = 0
    open_tags: set[int] = set()
    refused: set[int] = set()
    try:
        while sent < len(waiting) or open_tags:
            room = WINDOW - len(open_tags)
            data, count = _piece(session, waiting, sent, room)
            open_tags.update(range(session.published + 1, session.published + 1 + count))
            session.published += count
            sent += count
            left = deadline.left() or 0.0
            if count:
                session.line.send(data, left)
            session.pump(0.0 if count and sent < len(waiting) and count < room else left)
            refused |= _confirm(session, open_tags)
            _look(session, len(open_tags), deadline)
    except BaseException:
        again = open_tags | refused
        waiting[:] = [one for number, one in enumerate(waiting) if number >= sent or first + number in again]
        raise
    finally:
        lost += session.returned
        session.returned.clear()
    waiting[:] = [waiting[tag - first] for tag in sorted(refused)]
    if refused:
        raise OperationalError(
            f"the server refused to store {len(refused)} of {sent} messages: a queue is full (x-max-length) or "
            "has lost the majority of its nodes. The others are stored"
        )


def _piece(session: Session, waiting: list[Outgoing], start: int, room: int) -> tuple[bytes, int]:
    """The next messages in one piece of bytes, and how many they are."""
    batch: list[bytes] = []
    size = 0
    for one in waiting[start : start + room]:
        data = frames.publish(CHANNEL, *one[:4], session.line.frame_max, mandatory=one.mandatory)
        batch.append(data)
        size += len(data)
        if size >= PIECE:
            break
    return b"".join(batch), len(batch)


def _look(session: Session, waiting: int, deadline: clock.Deadline) -> None:
    """Whether there is a reason not to wait for the other confirms."""
    closed = session.refusal(CHANNEL)
    if closed is not None:
        session.published = 0
        session.open_channel(CHANNEL, max(0.1, deadline.left() or 0.0))
        raise closed
    if waiting and deadline.passed():
        if session.line.blocked:
            raise Blocked(session.line.blocked, timed_out=True)
        raise Broken(f"{waiting} messages were not confirmed in time", timed_out=True)


def _confirm(session: Session, open_tags: set[int]) -> set[int]:
    """Take confirmed tags out; those that were refused."""
    refused: set[int] = set()
    confirmed = session.confirmed
    while confirmed:
        tag, multiple, stored = confirmed.popleft()
        meant = {one for one in open_tags if one <= tag} if multiple else open_tags & {tag}
        open_tags -= meant
        if not stored:
            refused |= meant
    return refused
