"""A result as a message, in the form in which Celery's rpc results travel: out of a record, and into what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skirret.errors import DecodeError, EncodeError
from skirret.message import Record
from skirret.stores.amqp import content, tables
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.session import Arrived
from skirret.wire.results import MAGIC
from skirret.wire.told import read_state, told_state

LONGEST = 2**32 - 1
"""Milliseconds; RabbitMQ counts no longer life."""

SHORT = 255
"""Bytes that a property of AMQP's holds."""

ID = "id"
"""The header with the id of a task whose id is too long for ``correlation_id``; Celery cannot read its result."""

COMPRESSION = "compression"
"""Celery's header for a compressed body."""


@dataclass(slots=True)
class Letter:
    """A result that came. `ttl` is in seconds; None if the message does not say."""

    task_id: str
    state: str
    payload: bytes
    ttl: float | None


def outgoing(record: Record, content_type: str, content_encoding: str, delivery_mode: int) -> Outgoing | None:
    """The message that tells a result; None where nobody waits for it or its address is none.

    Its ``type`` tells the state, so that whoever keeps it need not look inside.

    Args:
        record: the result.
        content_type, content_encoding: of its payload.
        delivery_mode: 2 outlives a restart of the server, 1 does not.
    """
    if not record.reply_to:
        return None
    payload = record.payload
    headers: dict[str, Any] = {}
    if payload.startswith(MAGIC):
        kind, _, payload = payload[len(MAGIC) :].partition(b"\0")
        headers[COMPRESSION] = kind.decode("ascii", "replace")
    is_short = len(record.task_id.encode("utf-8", "replace")) <= SHORT
    if not is_short:
        headers[ID] = record.task_id
    told = Content(
        headers=headers,
        content_type=content_type,
        content_encoding=content_encoding,
        delivery_mode=delivery_mode,
        correlation_id=record.task_id if is_short else None,
        expiration=None if record.ttl is None else str(milliseconds(record.ttl)),
        type=record.state if len(record.state.encode("utf-8", "replace")) <= SHORT else None,
    )
    try:
        header = content.encode(told, len(payload))
        return Outgoing(tables.short_text(""), tables.short_text(record.reply_to), header, payload, mandatory=False)
    except (EncodeError, UnicodeError):  # an id or address that no message of AMQP's can have brought
        return None


def read(arrived: Arrived) -> Letter | None:
    """What a message tells; None if it is no result."""
    try:
        told = content.decode(arrived.header)
    except DecodeError:
        return None
    task_id = told.correlation_id or told.headers.get(ID)
    if not isinstance(task_id, str):
        return None
    payload = arrived.body
    kind = told.headers.get(COMPRESSION)
    if isinstance(kind, str) and kind.isascii():
        payload = b"".join((MAGIC, kind.encode("ascii"), b"\0", payload))
    state = told.type or told_state(payload) or read_state(payload)
    life = told.expiration
    return Letter(task_id, state, payload, int(life) / 1000.0 if life and life.isdecimal() else None)


def milliseconds(seconds: float) -> int:
    """A life as RabbitMQ counts it: 1 to `LONGEST`."""
    return min(LONGEST, max(1, round(seconds * 1000)))
