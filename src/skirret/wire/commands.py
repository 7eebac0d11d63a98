"""Remote commands and their replies as Celery's nodes say them: kombu's pidbox, inside kombu's envelope.

A request goes to everybody who listens to the exchange ``celery.pidbox``; who is meant answers to the queue of the
caller, ``<id>.reply.celery.pidbox``. Source of the format: captured from Celery 5.7 and kombu 5.7. Reading is total:
no bytes can raise.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from skirret import clock
from skirret.message import Envelope, Malformed, Publication, Route
from skirret.serializers.limits import Limits
from skirret.serializers.registry import dumps
from skirret.wire import envelope as wire
from skirret.wire.fields import malformed
from skirret.wire.received import contents

MAX_REQUEST = 256 * 1024
"""Bytes of a request; a longer one is not read."""

MAX_REPLY = 16 * 1024 * 1024
"""Bytes of a reply that a caller reads."""

PATTERN_TEXT = 256
"""Characters of a pattern; a longer one matches nobody."""

_LIMITS = Limits(depth=32, nodes=100_000)


class Request(msgspec.Struct, kw_only=True):
    """One command.

    Args:
        method: its name.
        arguments: by name, JSON-plain.
        destination: the nodes that are meant; None is everybody.
        pattern, matcher: or those whose names match, by ``glob`` or ``pcre``.
        ticket: the caller's mark, repeated in replies.
        reply_to: (exchange, routing key) of the replies; None wants none.
        clock: the caller's logical clock.
        expires: seconds since the epoch after which it is not carried out; None is never.
    """

    method: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    destination: list[str] | None = None
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    reply_to: tuple[str, str] | None = None
    clock: int = 0
    expires: float | None = None

    def means(self, node: str) -> bool:
        """Whether the node of that name is asked."""
        if self.destination is not None:
            return node in self.destination
        return self.pattern is None or matches(self.pattern, self.matcher, node)

    def is_late(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires < clock.wall()


class Reply(msgspec.Struct, kw_only=True):
    """What one node answered: `values` by node name (one entry, as a rule)."""

    values: dict[str, Any]
    ticket: str | None = None
    clock: int = 0


class _Address(msgspec.Struct):
    exchange: str
    routing_key: str


class _Call(msgspec.Struct):
    """A request's body."""

    method: str
    arguments: dict[str, Any] | None = None
    destination: list[str] | None = None
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    reply_to: _Address | None = None


def exchanges(name: str) -> tuple[str, str]:
    """The exchange of requests and that of replies.

    Args:
        name: ``control_exchange``.
    """
    return f"{name}.pidbox", f"reply.{name}.pidbox"


def mailbox(node: str, exchange: str) -> str:
    """The name of the queue by which a node listens to `exchange`, or a caller to its replies."""
    return f"{node}.{exchange}"


def encode_request(request: Request, exchange: str, serializer: str = "json") -> bytes:
    """A request as kombu sends it to `exchange`.

    Raises:
        EncodeError: an argument that the serializer cannot write.
    """
    body: dict[str, Any] = {
        "method": request.method,
        "arguments": request.arguments,
        "destination": request.destination,
        "pattern": request.pattern,
        "matcher": request.matcher,
    }
    if request.reply_to is not None:
        reply_exchange, key = request.reply_to
        body.update(ticket=request.ticket, reply_to={"exchange": reply_exchange, "routing_key": key})
    headers = {"clock": request.clock, "expires": request.expires or 0}
    return _encode(body, headers, serializer, exchange, "", delivery_mode=2)


def decode_request(raw: bytes) -> Request | Malformed:
    """The request in the bytes that were heard; never raises."""
    found = _decode(raw, MAX_REQUEST, "json")
    if isinstance(found, Malformed):
        return found
    body, headers = found
    try:
        call = msgspec.convert(body, _Call)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        return malformed(f"no remote command: {str(exc)[:200]}", raw)
    expires = headers.get("expires")
    return Request(
        method=call.method,
        arguments=call.arguments or {},
        destination=call.destination,
        pattern=call.pattern,
        matcher=call.matcher,
        ticket=call.ticket,
        reply_to=None if call.reply_to is None else (call.reply_to.exchange, call.reply_to.routing_key),
        clock=_number(headers.get("clock")),
        expires=float(expires) if expires and isinstance(expires, (int, float)) else None,  # 0 is Celery's "never"
    )


def encode_reply(reply: Reply, exchange: str, key: str, serializer: str = "json") -> bytes:
    """A reply as kombu sends it to the caller's queue.

    Raises:
        EncodeError: a value that the serializer cannot write.
    """
    headers = {"ticket": reply.ticket, "clock": reply.clock}
    return _encode(reply.values, headers, serializer, exchange, key, delivery_mode=1)


def decode_reply(raw: bytes, accept: Sequence[str] = ("json",)) -> Reply | Malformed:
    """The reply in the bytes that were received; never raises.

    Args:
        raw: what came.
        accept: the content types, or names of serializers, that may be read.
    """
    found = _decode(raw, MAX_REPLY, *accept)
    if isinstance(found, Malformed):
        return found
    body, headers = found
    if not isinstance(body, dict) or not all(isinstance(node, str) for node in body):
        return malformed("no reply to a remote command", raw)
    ticket = headers.get("ticket")
    return Reply(values=body, ticket=ticket if isinstance(ticket, str) else None, clock=_number(headers.get("clock")))


def matches(pattern: str, matcher: str | None, node: str) -> bool:
    """Whether a node's name matches a pattern as Celery's nodes match it: ``glob`` (if unset) or ``pcre``.

    A pattern from afar is no danger: an expression with nested repeats, which could take ages, matches nobody.
    """
    if len(pattern) > PATTERN_TEXT:
        return False
    if (matcher or "glob") == "glob":
        return fnmatch.fnmatchcase(node, pattern) if pattern.count("*") <= 8 else False
    if matcher != "pcre" or len(re.findall(r"[*+{]", pattern)) > 3 or re.search(r"\)[*+{?]", pattern):
        return False
    try:
        return re.match(pattern, node) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _encode(
    body: Any, headers: dict[str, Any], serializer: str, exchange: str, key: str, *, delivery_mode: int
) -> bytes:
    content_type, encoding, data = dumps(body, serializer)
    told = Envelope(
        headers=headers,
        body=data,
        content_type=content_type,
        content_encoding=encoding,
        delivery_mode=delivery_mode,
    )
    route = Route(queue="", exchange=exchange, routing_key=key, exchange_type="fanout")
    return wire.encode(Publication(envelope=told, route=route, task_id=""))


def _decode(raw: bytes, max_bytes: int, *accept: str) -> tuple[Any, dict[str, Any]] | Malformed:
    return contents(raw, accept, max_bytes=max_bytes, limits=_LIMITS)


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and -1e15 < value < 1e15 else 0
