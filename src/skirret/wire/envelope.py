"""kombu's virtual-transport envelope: the JSON in which Redis, SQLite and others carry a message.

Source of the format: kombu/transport/virtual/base.py. `head` is the supervisor's hot path: it reads only what
admission needs and leaves the body alone.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection
from os import urandom
from typing import Any

import msgspec

from skirret.errors import DecodeError, EncodeError, SkirretError
from skirret.message import Malformed, Publication
from skirret.serializers import json
from skirret.serializers.limits import DEFAULT, MAX_BYTES, Limits, breach, is_plain
from skirret.wire import fields, task
from skirret.wire.fields import Refused, malformed
from skirret.wire.marks import HEADER, Marks, from_header
from skirret.wire.received import Received, decode, unpack
from skirret.wire.usual import Count, Limit, Name, has_nul, may_exceed

__all__ = ["Head", "Received", "decode", "encode", "head"]


class Head(msgspec.Struct, gc=False, kw_only=True, rename={"marks": HEADER}):
    """What admission must know of a message; field meanings are those of ``TaskMessage``, times as ISO text.

    `size` is the raw message's, in bytes; `compression` a content type; `legacy` says protocol 1.
    """

    task: Name
    id: Name
    eta: str | None = None
    expires: str | None = None
    retries: Count = 0
    timelimit: tuple[Limit, Limit] = (None, None)
    ignore_result: bool | None = False
    group: Name | None = None
    root_id: Name | None = None
    parent_id: Name | None = None
    priority: int = 0
    reply_to: str | None = None
    correlation_id: str | None = None
    content_type: str = "application/json"
    compression: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    origin: str | None = None
    shadow: str | None = None
    marks: Marks | None = None
    size: int = 0
    legacy: bool = False


class _Properties(msgspec.Struct, gc=False):
    priority: int = 0
    reply_to: str | None = None
    correlation_id: str | None = None


class _Outline(msgspec.Struct, gc=False, rename={"content_type": "content-type"}):
    headers: Head
    properties: _Properties
    content_type: str = "application/json"


_OUTLINE = msgspec.json.Decoder(_Outline).decode
_WRITE = msgspec.json.Encoder().encode


def encode(publication: Publication, max_bytes: int | None = None) -> bytes:
    """`publication` as kombu's JSON envelope, with a fresh delivery tag.

    Args:
        publication: the message and its route.
        max_bytes: refuse a larger result; None does not look (``wire.task.encode`` has).

    Raises:
        EncodeError: a header that JSON cannot hold, or too large.
    """
    envelope, route = publication.envelope, publication.route
    properties: dict[str, Any] = {
        **envelope.properties,
        "correlation_id": envelope.correlation_id,
        "reply_to": envelope.reply_to,
        "delivery_mode": envelope.delivery_mode,
        "delivery_info": {"exchange": route.exchange, "routing_key": route.routing_key or route.queue},
        "priority": envelope.priority,
        "body_encoding": "base64",
        "delivery_tag": urandom(16).hex(),
    }
    if envelope.expiration is not None:
        properties["expiration"] = envelope.expiration
    whole: dict[str, Any] = {
        "body": envelope.body,  # msgspec writes bytes in base64
        "content-encoding": envelope.content_encoding,
        "content-type": envelope.content_type,
        "headers": envelope.headers,
        "properties": properties,
    }
    raw: bytes | None = None
    try:
        plain = is_plain(envelope.headers) and (not envelope.properties or is_plain(envelope.properties))
        raw = _WRITE(whole) if plain else None
    except (msgspec.MsgspecError, ValueError):  # lone surrogates, which the dialect escapes
        pass
    if raw is None:
        raw = json.dumps({**whole, "body": b64encode(envelope.body).decode("ascii")})
    if max_bytes is not None and len(raw) > max_bytes:
        raise EncodeError(f"this message takes {len(raw)} bytes, and message_max_bytes is {max_bytes}")
    return raw


def head(
    raw: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    limits: Limits = DEFAULT,
    accept: Collection[str] | None = None,
) -> Head | Malformed:
    """What admission must know of the message `raw`; never raises.

    Args:
        raw: what a broker kept.
        max_bytes: the largest `raw`.
        limits: bounds of names and of the envelope's JSON.
        accept: used only for protocol 1, whose name and id are in the body. Pickle is never read here, because
            unpickling runs code.

    A usual message takes about 2 us: msgspec checks the wanted fields while it reads them and skips the rest.
    """
    if len(raw) <= max_bytes and limits is DEFAULT:
        try:
            seen = _OUTLINE(raw)
            found, properties = seen.headers, seen.properties
            if has_nul(found) or (may_exceed(found, limits) and breach(raw, limits) is not None):
                raise DecodeError("not a usual one")
            if found.eta is not None:
                fields.moment(found.eta)
            if found.expires is not None:
                fields.moment(found.expires)
        except (ValueError, RecursionError, DecodeError):
            pass  # whatever is the matter, the careful road says it
        else:
            # A header may bear the name of a field that is not told by headers.
            priority = properties.priority
            found.priority = priority if 0 <= priority <= 9 else fields.priority(priority)
            found.reply_to = properties.reply_to
            found.correlation_id = properties.correlation_id
            found.content_type = seen.content_type
            found.size = len(raw)
            found.legacy = False
            return found
    try:
        return _careful(raw, max_bytes, limits, accept)
    except (Refused, SkirretError) as exc:
        return malformed(str(exc), raw)
    except Exception as exc:  # noqa: BLE001  as in `decode`
        return malformed(f"cannot be read: {type(exc).__name__}: {str(exc)[:200]}", raw)


def _careful(raw: bytes, max_bytes: int, limits: Limits, accept: Collection[str] | None) -> Head:
    """The road of unusual messages: everything is decoded and checked, protocol 1's body too."""
    received = unpack(raw, max_bytes, limits)
    envelope = received.envelope
    legacy = task.is_legacy(envelope.headers)
    if legacy:
        whole = task.decode(
            envelope,
            accept=[kind for kind in accept or ("json",) if kind not in _NEVER_HERE],
            max_bytes=max_bytes,
            limits=limits,
        )
        if isinstance(whole, Malformed):
            raise Refused(whole.reason)
    else:
        whole = task.from_body(_NO_CALL, envelope, limits)
    method = envelope.headers.get("compression")
    if method is not None and not isinstance(method, str):
        raise Refused("compression is not text")
    return Head(
        task=whole.task,
        id=whole.id,
        eta=None if whole.eta is None else whole.eta.isoformat(),
        expires=None if whole.expires is None else whole.expires.isoformat(),
        retries=whole.retries,
        timelimit=whole.timelimit,
        ignore_result=whole.ignore_result,
        group=whole.group,
        root_id=whole.root_id,
        parent_id=whole.parent_id,
        priority=envelope.priority,
        reply_to=envelope.reply_to,
        correlation_id=envelope.correlation_id,
        content_type=envelope.content_type,
        compression=method,
        argsrepr=whole.argsrepr,
        kwargsrepr=whole.kwargsrepr,
        stamped_headers=whole.stamped_headers,
        stamps=whole.stamps,
        origin=whole.origin,
        shadow=whole.shadow,
        marks=from_header(envelope.headers.get(HEADER)),
        size=len(raw),
        legacy=legacy,
    )


_NO_CALL: tuple[Any, ...] = ((), {}, None)
_NEVER_HERE = frozenset({"pickle", "application/x-python-serialize"})
