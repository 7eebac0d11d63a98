"""Reading kombu's envelope: from the JSON that a broker kept to headers and the body's own bytes."""

from __future__ import annotations

import binascii
from collections.abc import Collection
from typing import Any

import msgspec

from skirret.errors import SkirretError
from skirret.message import Envelope, Malformed
from skirret.serializers import json
from skirret.serializers.limits import DEFAULT, MAX_BYTES, Limits, breach
from skirret.serializers.registry import loads
from skirret.wire import fields
from skirret.wire.fields import Refused, malformed


class Received(msgspec.Struct, kw_only=True):
    """A message as it came from a broker.

    Args:
        envelope: headers and body, the body without base64.
        exchange: AMQP's, or "".
        routing_key: AMQP's; with exchange "" the queue's name.
        redelivered: whether a broker or kombu says that it was delivered before.
        delivery_tag: the sender's tag, or "".
    """

    envelope: Envelope
    exchange: str = ""
    routing_key: str = ""
    redelivered: bool = False
    delivery_tag: str = ""


class _Whole(msgspec.Struct, gc=False, rename={"content_type": "content-type", "content_encoding": "content-encoding"}):
    headers: dict[str, Any]
    properties: dict[str, Any]
    body: str
    content_type: str | None = None
    content_encoding: str | None = None
    redelivered: bool = False


_EVERY = frozenset(
    {
        "correlation_id", "reply_to", "delivery_mode", "delivery_info", "priority", "body_encoding", "delivery_tag",
        "expiration",
    }
)  # fmt: skip
"""Properties that have a place of their own in `Received`."""

_WHOLE = msgspec.json.Decoder(_Whole).decode
_WRITE = msgspec.json.Encoder().encode


def decode(raw: bytes, *, max_bytes: int = MAX_BYTES, limits: Limits = DEFAULT) -> Received | Malformed:
    """The message in kombu's JSON envelope `raw`; never raises.

    Args:
        raw: what a broker kept.
        max_bytes: the largest `raw`.
        limits: bounds of the envelope's own JSON.
    """
    try:
        return unpack(raw, max_bytes, limits)
    except (Refused, SkirretError) as exc:
        return malformed(str(exc), raw)
    except Exception as exc:  # noqa: BLE001  whatever hostile bytes find: the promise is a total function
        return malformed(f"cannot be read: {type(exc).__name__}: {str(exc)[:200]}", raw)


def contents(
    raw: bytes, accept: Collection[str] | None, *, max_bytes: int = MAX_BYTES, limits: Limits = DEFAULT
) -> tuple[Any, dict[str, Any]] | Malformed:
    """The decoded body and the headers of a message that is no task, such as a command or an event; never raises.

    Args:
        raw: what a broker kept.
        accept: names or content types that may be read; None is JSON alone.
        max_bytes: the largest `raw`.
        limits: bounds of envelope and body.
    """
    received = decode(raw, max_bytes=max_bytes, limits=limits)
    if isinstance(received, Malformed):
        return received
    envelope = received.envelope
    try:
        body = loads(envelope.body, envelope.content_type, envelope.content_encoding, accept, limits=limits)
    except SkirretError as exc:
        return malformed(str(exc), raw)
    except Exception as exc:  # noqa: BLE001  the promise is a total function
        return malformed(f"cannot be read: {type(exc).__name__}: {str(exc)[:200]}", raw)
    return body, envelope.headers


def unpack(raw: bytes, max_bytes: int, limits: Limits) -> Received:
    """Like `decode`, for readers of this package.

    Raises:
        Refused, SkirretError: why it is not a message.
    """
    if len(raw) > max_bytes:
        raise Refused(f"the message has {len(raw)} bytes, at most {max_bytes} are read")
    whole = _read(raw, limits)
    properties = whole.properties
    info = properties.get("delivery_info")
    if not isinstance(info, dict):
        info = {}
    headers = whole.headers
    redelivered = bool(whole.redelivered or info.get("redelivered") or headers.get("redelivered"))
    envelope = Envelope(
        headers=headers,
        body=_body(whole.body, properties.get("body_encoding")),
        content_type=whole.content_type or "application/data",
        content_encoding=whole.content_encoding or "utf-8",
        correlation_id=_text(properties, "correlation_id"),
        reply_to=_text(properties, "reply_to"),
        delivery_mode=2 if properties.get("delivery_mode") != 1 else 1,
        priority=fields.priority(properties.get("priority")),
        expiration=_text(properties, "expiration"),
        properties={name: value for name, value in properties.items() if name not in _EVERY},
    )
    return Received(
        envelope=envelope,
        exchange=_text(info, "exchange") or "",
        routing_key=_text(info, "routing_key") or "",
        redelivered=redelivered,
        delivery_tag=_text(properties, "delivery_tag") or "",
    )


def _read(raw: bytes, limits: Limits) -> _Whole:
    # Tags in headers, NaN and lone surrogates are the dialect's business; the usual envelope has none of them.
    if not limits.exact and b"__type__" not in raw and breach(raw, limits) is None:
        try:
            return _WHOLE(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    whole = json.loads(raw, limits)
    if not isinstance(whole, dict):
        raise Refused("the message is not a JSON object")
    headers, properties, body = whole.get("headers") or {}, whole.get("properties"), whole.get("body")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise Refused("the message has no headers or no properties")
    if body is not None and not isinstance(body, str):
        raise Refused("the body is not text")
    _storable(headers)
    return _Whole(
        headers=headers,
        properties=properties,
        body=body or "",
        content_type=_text(whole, "content-type"),
        content_encoding=_text(whole, "content-encoding"),
        redelivered=bool(whole.get("redelivered")),
    )


def _storable(headers: dict[str, Any]) -> None:
    try:
        _WRITE(headers)
    except UnicodeEncodeError:
        raise Refused("a header has a lone surrogate") from None
    except TypeError:
        pass  # a type that the app registered with the dialect


def _text(found: dict[str, Any], key: str) -> str | None:
    value = found.get(key)
    if isinstance(value, (int, float)):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise Refused(f"{key} is not text")
    return fields.note(value, key)


def _body(text: str, encoding: Any) -> bytes:
    if encoding == "base64":
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except ValueError as exc:  # binascii.Error is one
            raise Refused(f"the body is not base64: {exc}") from None
    if encoding in (None, "", "utf-8", "UTF-8"):
        return text.encode()
    raise Refused(f"unknown body_encoding {str(encoding)[:64]!r}")
