"""Between AMQP's messages and what the package knows: publications out, deliveries in, counters in headers of ours.

A message keeps its properties and body whenever it goes back: what we count is in headers of our own, which Celery's
workers pass over. The server's own headers (``x-death``, ``x-delivery-count``) are read and never sent on: RabbitMQ
before 4.0.1 drops a message whose ``x-death`` says that it went in a circle.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

import msgspec

from skirret.brokers.amqp import ladder
from skirret.errors import DecodeError, EncodeError
from skirret.message import Envelope, Publication
from skirret.stores.amqp import content, tables
from skirret.stores.amqp.content import Content
from skirret.stores.amqp.publishing import Outgoing
from skirret.stores.amqp.session import Arrived

DELIVERIES, CRASHES, FIRST = "x-skirret-deliveries", "x-skirret-crashes", "x-skirret-first"
NONCE = "skirret:"
"""How a message id begins that a publisher's own resend of a message has in common with it, and nothing else has.

A property and no header: Celery's workers copy headers into the next try of a task, which is another message."""

TRIES = "x-skirret-tries"
"""The task's number of retries as our counters were written: a later try that carries them was copied by Celery."""

REASON, DIED, HOME, MARK = "x-skirret-reason", "x-skirret-died", "x-skirret-queue", "x-skirret-mark"
_OURS = (DELIVERIES, CRASHES, FIRST, REASON, DIED, HOME, MARK, TRIES)
_SERVERS = (
    "x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason", "x-last-death-exchange",
    "x-last-death-queue", "x-last-death-reason", "x-delivery-count", "x-acquired-count",
    "x-opt-rabbitmq-delivery-count",
)  # fmt: skip

_COUNTING = frozenset(_OURS + _SERVERS)

PROPERTIES = ("message_id", "timestamp", "type", "user_id", "app_id", "cluster_id")
"""Properties of AMQP that an envelope keeps among its own."""

_OPTIONAL = ("expiration", *PROPERTIES)

_WRITE = msgspec.json.Encoder(enc_hook=repr, order="deterministic").encode
"""Headers sorted, because RabbitMQ sorts those of what it delivers again, and it must be known as the same."""


class _Info(msgspec.Struct):
    exchange: str
    routing_key: str


class _Properties(msgspec.Struct):
    correlation_id: str | None
    reply_to: str | None
    delivery_mode: int
    delivery_info: _Info
    priority: int
    body_encoding: str = "base64"
    delivery_tag: str = ""
    expiration: str | msgspec.UnsetType = msgspec.UNSET
    message_id: str | msgspec.UnsetType = msgspec.UNSET
    timestamp: int | msgspec.UnsetType = msgspec.UNSET
    type: str | msgspec.UnsetType = msgspec.UNSET
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    app_id: str | msgspec.UnsetType = msgspec.UNSET
    cluster_id: str | msgspec.UnsetType = msgspec.UNSET


class _Kombu(msgspec.Struct, rename={"content_encoding": "content-encoding", "content_type": "content-type"}):
    """Kombu's envelope, in the form in which it is written."""

    body: bytes  # msgspec writes bytes in base64
    content_encoding: str | None
    content_type: str | None
    headers: dict[str, Any]
    properties: _Properties


class Letter(msgspec.Struct):
    """A message as a consumer holds it. `raw` is kombu's envelope, which is all that the rest of the package sees.

    `content` is None where the properties cannot be read: such a message goes to the dead letters without them. It is
    `forgotten` where it was delivered before and the server, which only classic queues do, does not say how often.
    """

    raw: bytes
    body: bytes
    content: Content | None
    priority: int = 0
    deliveries: int = 0
    crashes: int = 0
    first_delivered: float = 0.0
    reason: str = ""
    died: float = 0.0
    home: str = ""
    nonce: str = ""
    returns: int = 0
    mark: str = ""
    forgotten: bool = False

    @property
    def copy(self) -> tuple[bytes, str]:
        """What tells this message from others, also from its own copies with new counters."""
        return self.raw, self.mark


def read(arrived: Arrived, *, is_dead: bool = False) -> Letter:
    """The message that arrived; never raises.

    Args:
        arrived: as it came.
        is_dead: it comes from the dead letters, where the server counts who looked at it.
    """
    try:
        found = content.decode(arrived.header)
    except DecodeError as exc:
        return Letter(
            raw=_WRITE({"unreadable": str(exc), "properties": arrived.header, "body": arrived.body}),
            body=arrived.body,
            content=None,
        )
    headers = found.headers
    counted = headers.get("x-delivery-count")
    letter = Letter(
        raw=b"", body=arrived.body, content=found, priority=found.priority or 0,
        deliveries=0 if is_dead else counted if isinstance(counted, int) else int(arrived.redelivered),
    )  # fmt: skip
    if found.message_id is not None and found.message_id.startswith(NONCE):
        letter.nonce, found.message_id = found.message_id, None
    letter.forgotten = arrived.redelivered and "x-delivery-count" not in headers and "x-acquired-count" not in headers
    letter.returns = counted if isinstance(counted, int) and not is_dead else 0
    death = headers.get("x-death")
    if not _COUNTING.isdisjoint(headers):
        if headers.get(TRIES) == headers.get("retries", 0):
            letter.deliveries += _number(headers.get(DELIVERIES))
            letter.crashes = _number(headers.get(CRASHES))
            letter.first_delivered = float(_number(headers.get(FIRST)))
        letter.reason = str(headers.get(REASON) or "")
        letter.died = float(_number(headers.get(DIED)))
        letter.home = str(headers.get(HOME) or "")
        letter.mark = str(headers.get(MARK) or "")
        if isinstance(death, list) and death and isinstance(death[0], dict) and not letter.reason:
            letter.home = str(death[0].get("queue") or "")
            letter.reason = f"RabbitMQ gave it up: {death[0].get('reason')}"
            moment = death[0].get("time")
            letter.died = moment.timestamp() if isinstance(moment, datetime) else 0.0
        for name in _COUNTING:
            headers.pop(name, None)
    letter.raw = _envelope(found, arrived.body, *_route(arrived, letter, is_dead))
    found.user_id = None  # only its publisher may say this, and we may have to send it on
    return letter


def _route(arrived: Arrived, letter: Letter, is_dead: bool) -> tuple[str, str]:
    """How the message came to its queue: detours over the ladder or the dead letters are not told."""
    if is_dead:
        return "", letter.home
    if arrived.exchange == ladder.EXIT:
        return "", ladder.plain(arrived.routing_key)
    return arrived.exchange, arrived.routing_key


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and value >= 0 else 0


def _envelope(found: Content, body: bytes, exchange: str, routing_key: str) -> bytes:
    properties = _Properties(
        found.correlation_id, found.reply_to, found.delivery_mode or 1, _Info(exchange, routing_key),
        found.priority or 0,
    )  # fmt: skip
    for name in _OPTIONAL:
        value = getattr(found, name)
        if value is not None:
            setattr(properties, name, value)
    return _WRITE(_Kombu(body, found.content_encoding, found.content_type, found.headers, properties))


def task_id(letter: Letter) -> str:
    """The id of the task that a message asks for, as well as it can be told."""
    if letter.content is None:
        return ""
    return str(letter.content.headers.get("id") or letter.content.correlation_id or "")


def content_of(publication: Publication, number: int = 0) -> Content:
    """A publication's properties; `number` is its place among those of one call, which may share a nonce."""
    envelope: Envelope = publication.envelope
    correlation = envelope.correlation_id
    nonce = publication.nonce
    found = Content(
        headers=envelope.headers,
        message_id=f"{NONCE}{nonce}.{number}"[:255] if nonce else None,
        content_type=envelope.content_type,
        content_encoding=envelope.content_encoding,
        delivery_mode=envelope.delivery_mode,
        priority=max(0, min(255, envelope.priority)),
        # A longer one does not fit there; the id of the task is in the headers as well.
        correlation_id=correlation if correlation is None or len(correlation.encode()) < 256 else None,
        reply_to=envelope.reply_to,
    )  # without its expiration: RabbitMQ would drop it then, and nobody would record that it expired
    for name, value in envelope.properties.items():
        if name in PROPERTIES and value is not None:
            setattr(found, name, int(value) if name == "timestamp" else str(value))
    return found


def outgoing(found: Content, body: bytes, exchange: str, routing_key: str, largest: int) -> Outgoing:
    """A message in bytes.

    Raises:
        EncodeError: AMQP cannot hold a header or property, or they are too large for a frame together.
    """
    header = content.encode(found, len(body))
    if len(header) > largest - 8:
        raise EncodeError(
            f"the headers of this message take {len(header)} bytes, and a RabbitMQ frame holds {largest - 8}. Stamps "
            "and headers are for small things; put the rest into the arguments"
        )
    return Outgoing(tables.short_text(exchange), tables.short_text(routing_key), header, body)


def counted(letter: Letter, **counts: Any) -> Content:
    """The message's properties with counters, for its way back to a queue or to the dead letters.

    Args:
        letter: as it was held.
        **counts: what differs from it: deliveries, crashes, first_delivered, reason, died, home.
    """
    told = msgspec.structs.replace(letter, **counts)
    found = letter.content or Content()
    ours = {
        DELIVERIES: told.deliveries or None, CRASHES: told.crashes or None, FIRST: told.first_delivered or None,
        REASON: told.reason[:2000] or None, DIED: told.died or None, HOME: told.home or None,
    }  # fmt: skip
    headers = {**found.headers, **{name: value for name, value in ours.items() if value is not None}}
    headers[TRIES] = found.headers.get("retries", 0)
    headers[MARK] = secrets.token_hex(8)
    return msgspec.structs.replace(found, headers=headers)


def bare(letter: Letter) -> Letter:
    """The message without its properties and headers."""
    return msgspec.structs.replace(letter, content=None)


def digest(arrived: Arrived) -> str:
    """What tells one dead letter from another, however often it was read: its body and what its sender said of it."""
    try:
        found = content.decode(arrived.header)
        names = [name for name in sorted(found.headers) if name not in _SERVERS or name == "x-death"]
        kept = {name: found.headers[name] for name in names}
        told = content.encode(msgspec.structs.replace(found, headers=kept), len(arrived.body))
    except (DecodeError, EncodeError):
        told = arrived.header
    return hashlib.sha256(told + arrived.body).hexdigest()[:24]
