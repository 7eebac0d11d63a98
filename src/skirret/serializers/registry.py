"""Which serializers there are, by name and by content type, and who may be read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from skirret.errors import ContentDisallowed, DecodeError, EncodeError
from skirret.plugins import Plugins
from skirret.serializers.limits import DEFAULT, Limits
from skirret.serializers.serializer import Serializer

_PACKAGE = "skirret.serializers"
_PLUGINS = Plugins(
    kind="serializer",
    group="skirret.serializers",
    builtin={name: f"{_PACKAGE}.{name}:SERIALIZER" for name in ("json", "msgpack", "pickle", "yaml")},
    extras={"yaml": "yaml"},
)
# Known without loading the module, so that a refused type is not even imported.
_TYPES = {
    "application/json": "json",
    "application/x-msgpack": "msgpack",
    "application/x-python-serialize": "pickle",
    "application/x-yaml": "yaml",
}
_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "binary", "ascii-8bit", ""})
DANGEROUS = frozenset({"pickle"})
"""Serializers whose reading runs code; writing them needs ``accept_content`` too."""

JSON_ONLY = ("json",)


_KNOWN: dict[str, Serializer] = {}
_ACCEPTED: dict[tuple[str, ...], frozenset[str]] = {}


def register(
    name: str,
    dumps: Callable[[Any], bytes | str],
    loads: Callable[[bytes], Any],
    content_type: str,
    content_encoding: str = "utf-8",
) -> None:
    """Add a serializer, or put another in the place of one (Celery's ``kombu.serialization.register``).

    Args:
        name: for settings and options.
        dumps: value -> bytes or str.
        loads: bytes -> value.
        content_type: what messages say; readers find the serializer by it.
        content_encoding: ``utf-8``, ``us-ascii`` or ``binary``.
    """
    _KNOWN[name] = Serializer(
        name, lambda value, _limits: dumps(value), lambda body, _limits: loads(body), content_type, content_encoding
    )
    _ACCEPTED.clear()


def unregister(name: str) -> None:
    """Forget a serializer that ``register`` added; a built-in one is as it was."""
    _KNOWN.pop(name, None)
    _ACCEPTED.clear()


def names() -> list[str]:
    """Names of all known serializers, sorted."""
    return sorted({*_PLUGINS.names(), *_KNOWN})


def get(name: str) -> Serializer:
    """The serializer of that name.

    Raises:
        ImproperlyConfigured: nobody knows it; near names are suggested.
        MissingDependency: its library is not installed.
    """
    found = _KNOWN.get(name)
    if found is None:
        loaded: Serializer = _PLUGINS.load(name)
        found = _KNOWN[name] = loaded
    return found


def accepted(accept: Collection[str] | None) -> frozenset[str]:
    """The content types that `accept` (names or content types; None is json alone) lets in."""
    key = JSON_ONLY if accept is None else tuple(accept)
    found = _ACCEPTED.get(key)
    if found is None:
        found = _ACCEPTED[key] = frozenset(name if "/" in name else get(name).content_type for name in key)
    return found


def dumps(
    value: Any, name: str = "json", *, accept: Collection[str] | None = None, limits: Limits = DEFAULT
) -> tuple[str, str, bytes]:
    """(content type, content encoding, body) of `value`.

    Args:
        value: anything that the serializer can hold.
        name: the serializer.
        accept: the app's ``accept_content``; needed only to write pickle.
        limits: bounds that the body must keep, so that it can be read again.

    Raises:
        EncodeError: the value cannot be written, or is beyond `limits`.
        ContentDisallowed: pickle, without being accepted.
        ImproperlyConfigured: no such serializer.
    """
    serializer = get(name)
    if name in DANGEROUS and (accept is None or serializer.content_type not in accepted(accept)):
        raise ContentDisallowed(
            f"refusing to write {name}: accept_content does not list it. Reading it runs any code that a message "
            f"holds, so both sides must ask for it: accept_content = ['json', {name!r}]; json needs nothing"
        )
    try:
        body = serializer.dumps(value, limits)
        if isinstance(body, str):
            body = body.encode("utf-8")
    except EncodeError:
        raise
    except Exception as exc:
        raise EncodeError(f"{name} cannot write this value: {type(exc).__name__}: {exc}") from exc
    return serializer.content_type, serializer.content_encoding, body


def loads(
    body: bytes,
    content_type: str,
    content_encoding: str = "utf-8",
    accept: Collection[str] | None = None,
    *,
    limits: Limits = DEFAULT,
) -> Any:
    """The value that `body` tells.

    Args:
        body: the bytes, decompressed.
        content_type: what the message says that they are.
        content_encoding: what it says of text.
        accept: names or content types that may be read; None is json alone.
        limits: bounds, checked before anything is built.

    Raises:
        ContentDisallowed: the content type is not accepted.
        DecodeError: the body is not what it says, or is beyond `limits`.
    """
    types = accepted(accept)
    if content_type not in types:
        listed = ", ".join(sorted(_TYPES.get(kind, kind) for kind in types))
        told = _TYPES.get(content_type, content_type[:64])
        raise ContentDisallowed(f"refusing to read {told!r}: accept_content lists only {listed}")
    if content_encoding not in _ENCODINGS and content_encoding.lower() not in _ENCODINGS:
        raise DecodeError(f"unknown content encoding {content_encoding[:64]!r}")
    serializer = _of_type(content_type)
    try:
        return serializer.loads(body, limits)
    except DecodeError:
        raise
    except Exception as exc:
        raise DecodeError(f"{serializer.name} cannot read this body: {type(exc).__name__}: {str(exc)[:200]}") from exc


def _of_type(content_type: str) -> Serializer:
    # The newest registration of a content type wins, as in kombu.
    for serializer in reversed(_KNOWN.values()):
        if serializer.content_type == content_type:
            return serializer
    name = _TYPES.get(content_type)
    if name is None:
        raise DecodeError(f"no serializer is registered for {content_type[:64]!r}; see skirret.serializers.register")
    return get(name)
