"""The message that nearly everybody sends, read in one go: protocol 2 in JSON, uncompressed, without own headers.

msgspec checks the types while it reads, in a tenth of the time of the careful readers (``received``, ``task``). Those
read whatever this one does not: it never says that a message is wrong, only that it is not a usual one.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from skirret.serializers.limits import DEFAULT, Limits, breach, python_bounds_integers
from skirret.wire.fields import MAX_RETRIES

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=DEFAULT.text)]
Note = str | None
Limit = Annotated[float, msgspec.Meta(ge=0, lt=1e12)] | None
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_RETRIES)]


class Headers(msgspec.Struct, gc=False, kw_only=True, forbid_unknown_fields=True):
    """Protocol 2's headers; a call that is due later or expires takes the careful road."""

    task: Name
    id: Name
    lang: Note = None
    shadow: Note = None
    eta: None = None
    expires: None = None
    group: Name | None = None
    group_index: int | None = None
    retries: Count = 0
    timelimit: tuple[Limit, Limit] = (None, None)
    root_id: Name | None = None
    parent_id: Name | None = None
    argsrepr: Note = None
    kwargsrepr: Note = None
    origin: Note = None
    ignore_result: bool | None = False
    replaced_task_nesting: Count = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None


class Properties(msgspec.Struct, gc=False, kw_only=True, forbid_unknown_fields=True):
    """kombu's properties, without any of the caller's own."""

    body_encoding: str
    correlation_id: str | None = None
    reply_to: str | None = None
    delivery_mode: int = 2
    delivery_info: msgspec.Raw = msgspec.Raw(b"null")
    priority: Annotated[int, msgspec.Meta(ge=0, le=9)] | None = 0
    delivery_tag: str | None = None


class Embed(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """What follows the call."""

    callbacks: list[dict[str, Any]] | None = None
    errbacks: list[dict[str, Any]] | None = None
    chain: list[dict[str, Any]] | None = None
    chord: dict[str, Any] | None = None


class Usual(msgspec.Struct, gc=False, rename={"content_type": "content-type", "content_encoding": "content-encoding"}):
    """One call as it was sent; `args`, `kwargs` and `embed` are what `body` tells."""

    headers: Headers
    properties: Properties
    body: bytes  # told in base64
    content_type: str
    content_encoding: str
    redelivered: bool = False
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    embed: Embed = Embed()


_WHOLE = msgspec.json.Decoder(Usual).decode
_BODY = msgspec.json.Decoder(tuple[list[Any], dict[str, Any], Embed]).decode


def read(raw: bytes, max_bytes: int, limits: Limits = DEFAULT) -> Usual | None:
    """The call in kombu's JSON envelope `raw`, or None if it takes a careful reader to say what it is.

    Args:
        raw: what a broker kept.
        max_bytes: the largest `raw`.
        limits: bounds of envelope and body.
    """
    if len(raw) > max_bytes or limits is not DEFAULT:
        return None
    try:
        call = _WHOLE(raw)
        if (
            call.content_type != "application/json"
            or call.content_encoding != "utf-8"
            or call.properties.body_encoding != "base64"
            or has_nul(call.headers)
            or (may_exceed(call.headers, limits) and breach(raw, limits) is not None)
        ):
            return None
        body = call.body
        if b"__type__" in body or b"\\u005" in body or (len(body) > limits.depth and breach(body, limits) is not None):
            return None
        call.args, call.kwargs, call.embed = _BODY(body)
    except (ValueError, RecursionError):  # of msgspec and of utf-8
        return None
    return call


def may_exceed(headers: Any, limits: Limits) -> bool:
    """Whether an envelope with these headers must be looked at for depth and long numbers: else nothing in it nests."""
    return bool(headers.stamps) or not python_bounds_integers(limits)


def has_nul(headers: Any) -> bool:
    """Whether a name has a NUL in it, which no store can be trusted with."""
    return (
        "\0" in headers.id
        or "\0" in headers.task
        or "\0" in (headers.root_id or "")
        or "\0" in (headers.parent_id or "")
        or "\0" in (headers.group or "")
    )
