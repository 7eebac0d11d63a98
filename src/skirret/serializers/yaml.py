"""YAML through PyYAML's safe loader, with the bounds that PyYAML lacks: aliases, merge keys, depth, huge numbers."""

from __future__ import annotations

from typing import Any

import yaml

from skirret.errors import DecodeError, EncodeError
from skirret.serializers.limits import DEFAULT, Limits
from skirret.serializers.serializer import Serializer

CONTENT_TYPE = "application/x-yaml"
CONTENT_ENCODING = "utf-8"
MAX_BYTES = 1024 * 1024
"""PyYAML reads about 1 MiB a second, so that more would stop a worker."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# libyaml is several times faster; PyYAML's wheels have it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def dumps(value: Any, limits: Limits = DEFAULT) -> bytes:  # noqa: ARG001  as every serializer
    """`value` as YAML.

    Raises:
        EncodeError: a type that safe YAML cannot hold, or more than 1 MiB.
    """
    try:
        body: bytes = yaml.safe_dump(value, encoding="utf-8")
    except (Exception, RecursionError) as exc:
        raise EncodeError(f"cannot write this value as YAML: {exc}") from exc
    if len(body) > MAX_BYTES:
        raise EncodeError(f"{len(body)} bytes of YAML; at most {MAX_BYTES} are read again: use json")
    return body


def loads(body: bytes, limits: Limits = DEFAULT) -> Any:
    """The value that `body` tells.

    Raises:
        DecodeError: it is not safe YAML, or is beyond `limits`.
    """
    if len(body) > MAX_BYTES:
        raise DecodeError(f"refused: {len(body)} bytes of YAML, at most {MAX_BYTES}")
    try:
        _bounded(body, limits)
        return yaml.load(body, Loader=_LOADER)  # noqa: S506  a safe loader
    except DecodeError:
        raise
    except (Exception, RecursionError) as exc:
        raise DecodeError(f"not safe YAML: {type(exc).__name__}: {str(exc)[:200]}") from exc


def _bounded(body: bytes, limits: Limits) -> None:
    """Walk the events, which cost little, before anything is built from them."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(body, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise DecodeError("refused: an alias inside its own anchor")
            # What the alias stands for counts again: shared data is small here but not where it is printed.
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            _check_scalar(event, limits)
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            nodes += 1
            open_nodes.append((event.anchor, nodes))
            if event.anchor is not None:
                sizes.pop(event.anchor, None)
            if len(open_nodes) > limits.depth:
                raise DecodeError(f"refused: nested deeper than {limits.depth}")
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before + 1
        if nodes > limits.nodes:
            raise DecodeError(f"refused: more than {limits.nodes} values")


def _check_scalar(event: Any, limits: Limits) -> None:
    text: str = event.value
    if event.implicit[0] and text == "<<":
        raise DecodeError("refused: merge keys, which can grow without bound")
    if len(text) > limits.digits and _is_number(event, text):
        raise DecodeError(f"refused: a number of more than {limits.digits} digits")


def _is_number(event: Any, text: str) -> bool:
    if not event.implicit[0]:
        return event.tag in _NUMBERS
    found = _LOADER.yaml_implicit_resolvers.get(text[0], ())
    return any(tag in _NUMBERS and pattern.match(text) for tag, pattern in found)


SERIALIZER = Serializer("yaml", dumps, loads, CONTENT_TYPE, CONTENT_ENCODING)
