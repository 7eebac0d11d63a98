"""A call of a task to and from a message: Celery's task protocol 2, and reading protocol 1.

Source of the format: celery/app/amqp.py (``as_task_v2``, ``as_task_v1``), celery/worker/strategy.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from skirret import clock
from skirret.errors import EncodeError, SkirretError
from skirret.message import Envelope, Malformed, TaskMessage
from skirret.serializers import compression as compressing
from skirret.serializers import json
from skirret.serializers.limits import DEFAULT, MAX_BYTES, Limits
from skirret.serializers.registry import dumps, loads
from skirret.wire import fields
from skirret.wire.fields import Refused, malformed, moment

__all__ = ["decode", "encode", "from_body", "is_legacy", "moment"]

# Headers with a meaning of their own; every other one is the caller's.
_LEGACY: Final[tuple[str, ...]] = (
    *("lang", "task", "id", "root_id", "parent_id", "group", "group_index", "meth", "shadow", "eta", "expires"),
    *("retries", "timelimit", "argsrepr", "kwargsrepr", "origin"),
)
_OWN: Final = frozenset(
    (*_LEGACY, "ignore_result", "replaced_task_nesting", "stamped_headers", "stamps", "compression", "redelivered")
)
_EMPTY_EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
# What the protocol's own headers and properties may take beside the body.
_SLACK: Final = 16_384


def encode(
    message: TaskMessage,
    *,
    serializer: str = "json",
    compression: str | None = None,
    max_bytes: int = MAX_BYTES,
    accept: Collection[str] | None = None,
    limits: Limits = DEFAULT,
    properties: Mapping[str, Any] | None = None,
) -> Envelope:
    """`message` as a broker carries it.

    Args:
        message: the call; its own `headers` stand beside the protocol's and win over them, as in Celery.
        serializer: for the body.
        compression: a method of ``serializers.compression``, or None.
        max_bytes: the largest message, and the largest body before compression.
        accept: the app's ``accept_content``; pickle is written only if it lists it.
        limits: bounds of names and of the body.
        properties: further properties of the message, JSON-plain.

    Raises:
        EncodeError: a value cannot be written, a field is out of range, or the message is too large.
        ContentDisallowed: pickle, without being accepted.
    """
    headers = _headers(message, limits)
    if message.callbacks or message.errbacks or message.chain or message.chord:
        embed: dict[str, Any] = {
            "callbacks": message.callbacks,
            "errbacks": message.errbacks,
            "chain": message.chain,
            "chord": message.chord,
        }
    else:
        embed = _EMPTY_EMBED
    content_type, content_encoding, body = dumps(
        (message.args, message.kwargs, embed), serializer, accept=accept, limits=limits
    )
    _check_size(len(body), max_bytes, "arguments")
    if compression:
        body, headers["compression"] = compressing.compress(body, compression)
    if message.headers or message.stamps or properties or len(body) * 4 // 3 + _SLACK > max_bytes:
        # 600: the usual properties. A message that nobody would read must not be sent.
        beside = len(json.dumps(headers)) + len(json.dumps(properties or {}))
        _check_size(len(body) * 4 // 3 + beside + 600, max_bytes, "message")
    return Envelope(
        headers=headers,
        body=body,
        content_type=content_type,
        content_encoding=content_encoding,
        correlation_id=message.correlation_id or message.id,
        reply_to=message.reply_to or "",
        delivery_mode=message.delivery_mode,
        priority=message.priority or 0,
        expiration=None if message.expires is None else _expiration(message.expires),
        properties=dict(properties or {}),
    )


def decode(
    envelope: Envelope,
    *,
    accept: Collection[str] | None = None,
    max_bytes: int = MAX_BYTES,
    limits: Limits = DEFAULT,
) -> TaskMessage | Malformed:
    """The call that `envelope` carries, in protocol 2, 1 or the mixture of both; never raises.

    Args:
        envelope: from ``wire.envelope.decode`` or an AMQP client.
        accept: names or content types that may be read; None is json alone.
        max_bytes: the largest body after decompression.
        limits: bounds of names and of the body.
    """
    try:
        payload = _payload(envelope, accept, max_bytes, limits)
        if isinstance(payload, dict):
            if "args" not in payload and not is_legacy(envelope.headers):
                raise Refused("the body is an object without args, which neither protocol 2 nor 1 writes")
            return _legacy(payload, envelope, limits)
        return from_body(payload, envelope, limits)
    except (Refused, SkirretError) as exc:
        return malformed(str(exc), envelope.body)
    except Exception as exc:  # noqa: BLE001  whatever a hostile body finds: the promise is a total function
        return malformed(f"cannot be read: {type(exc).__name__}: {str(exc)[:200]}", envelope.body)


def is_legacy(headers: dict[str, Any]) -> bool:
    """Whether the task's name is not in the headers, so that the body must be read to learn it (protocol 1)."""
    return "task" not in headers


def from_body(payload: Any, envelope: Envelope, limits: Limits = DEFAULT) -> TaskMessage:
    """The call of protocol 2 whose body decoded to `payload`.

    Raises:
        Refused: the body or a header is not what the protocol says.
    """
    if not isinstance(payload, (list, tuple)) or len(payload) != 3:
        raise Refused("the body is not [args, kwargs, embed]")
    args, kwargs, embed = payload
    if embed is None:
        embed = _EMPTY_EMBED
    if not isinstance(embed, dict):
        raise Refused("embed is not a mapping")
    return _message(args, kwargs, embed, envelope.headers, envelope, limits)


def _payload(envelope: Envelope, accept: Collection[str] | None, max_bytes: int, limits: Limits) -> Any:
    body = envelope.body
    if len(body) > max_bytes:
        raise Refused(f"the body has {len(body)} bytes, at most {max_bytes} are read")
    method = envelope.headers.get("compression")
    if method:
        if not isinstance(method, str):
            raise Refused("compression is not text")
        # A type that is not accepted is refused before its bytes are touched.
        body = compressing.decompress(body, method, max_bytes)
    return loads(body, envelope.content_type, envelope.content_encoding or "utf-8", accept, limits=limits)


def _legacy(payload: dict[str, Any], envelope: Envelope, limits: Limits) -> TaskMessage:
    """Protocol 1: all fields are in the body; headers, where there are any, win (the hybrid of Celery 3 and 4)."""
    headers = {key: payload.get(key) for key in _LEGACY if key in payload}
    if headers.get("group") is None:
        headers["group"] = payload.get("taskset")
    if payload.get("utc") is False:
        for key in ("eta", "expires"):
            headers[key] = _local(headers.get(key))
    headers.update(envelope.headers)
    embed = {key: payload.get(key) for key in ("callbacks", "errbacks", "chord")}
    embed["chain"] = payload.get("chain") if "task" in envelope.headers else None
    return _message(payload.get("args", ()), payload.get("kwargs", {}), embed, headers, envelope, limits)


def _local(text: Any) -> Any:
    """A moment without offset in the local time of the sender, whom we take to be near; anything else untouched."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone() if found.tzinfo is None else found
    except (TypeError, ValueError, OverflowError):
        return text


def _message(
    args: Any, kwargs: Any, embed: dict[str, Any], headers: dict[str, Any], envelope: Envelope, limits: Limits
) -> TaskMessage:
    if not isinstance(args, (list, tuple)):
        raise Refused("the task's args are not a list")
    if not isinstance(kwargs, dict) or not all(type(key) is str for key in kwargs):
        raise Refused("the task's kwargs are not a mapping of names")
    get = headers.get
    task_id = fields.name(get("id"), "id", limits)
    chord = embed.get("chord")
    if chord is not None and not isinstance(chord, dict):
        raise Refused("chord is not a signature")
    stamps = get("stamps")
    group_index = get("group_index")
    if group_index is not None and not isinstance(group_index, int):
        raise Refused("group_index is not a whole number")
    return TaskMessage(
        task=fields.name(get("task"), "task", limits),
        id=task_id,
        args=tuple(args),
        kwargs=kwargs,
        callbacks=fields.signatures(embed.get("callbacks"), "callbacks"),
        errbacks=fields.signatures(embed.get("errbacks"), "errbacks"),
        chain=fields.signatures(embed.get("chain"), "chain"),
        chord=chord,
        eta=fields.instant(get("eta"), "eta"),
        expires=fields.instant(get("expires"), "expires"),
        retries=fields.count(get("retries"), "retries"),
        timelimit=fields.timelimit(get("timelimit")),
        root_id=fields.optional_name(get("root_id"), "root_id", limits),
        parent_id=fields.optional_name(get("parent_id"), "parent_id", limits),
        group=fields.optional_name(get("group"), "group", limits),
        group_index=group_index,
        shadow=fields.note(get("shadow"), "shadow"),
        argsrepr=fields.note(get("argsrepr"), "argsrepr"),
        kwargsrepr=fields.note(get("kwargsrepr"), "kwargsrepr"),
        origin=fields.note(get("origin"), "origin"),
        ignore_result=bool(get("ignore_result")),
        replaced_task_nesting=fields.count(get("replaced_task_nesting"), "replaced_task_nesting"),
        stamped_headers=fields.names(get("stamped_headers"), "stamped_headers"),
        stamps=stamps if isinstance(stamps, dict) else {},
        headers={key: value for key, value in headers.items() if key not in _OWN},
        correlation_id=envelope.correlation_id or task_id,
        reply_to=envelope.reply_to or None,
        priority=envelope.priority,
        delivery_mode=envelope.delivery_mode,
    )


def _headers(message: TaskMessage, limits: Limits) -> dict[str, Any]:
    try:
        headers = {
            "lang": "py",
            "task": fields.name(message.task, "the task's name", limits),
            "id": fields.name(message.id, "the task's id", limits),
            "shadow": message.shadow,
            "eta": None if message.eta is None else _aware(message.eta).isoformat(),
            "expires": None if message.expires is None else _aware(message.expires).isoformat(),
            "group": fields.optional_name(message.group, "group", limits),
            "group_index": message.group_index,
            "retries": fields.count(message.retries, "retries"),
            "timelimit": list(fields.timelimit(message.timelimit)),
            "root_id": fields.optional_name(message.root_id, "root_id", limits) or message.id,
            "parent_id": fields.optional_name(message.parent_id, "parent_id", limits),
            "argsrepr": message.argsrepr,
            "kwargsrepr": message.kwargsrepr,
            "origin": message.origin,
            "ignore_result": message.ignore_result,
            "replaced_task_nesting": message.replaced_task_nesting,
            "stamped_headers": message.stamped_headers,
            "stamps": message.stamps,
        }
        if message.headers:
            headers.update(message.headers)
            if not _OWN.isdisjoint(message.headers):
                # The caller's headers win, as in Celery, but must leave a message that can be read.
                _message((), {}, _EMPTY_EMBED, headers, Envelope(headers=headers, body=b""), limits)
    except Refused as exc:
        raise EncodeError(f"this call cannot be sent: {exc}") from exc
    return headers


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.astimezone()


def _expiration(expires: datetime) -> str:
    """AMQP's property: milliseconds from now, as text; a moment that is over is 0."""
    return str(max(0, int((_aware(expires).timestamp() - clock.wall()) * 1000)))


def _check_size(size: int, max_bytes: int, what: str) -> None:
    if size > max_bytes:
        raise EncodeError(
            f"the {what} of this call would take {size} bytes, and message_max_bytes is {max_bytes}: store the data "
            "elsewhere and send its name, or raise the setting on both sides"
        )
