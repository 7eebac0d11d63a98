"""How the state of a result is told from its payload, without decoding all of it."""

from __future__ import annotations

import json
import re
from typing import Final

from skirret import states
from skirret.errors import SkirretError
from skirret.serializers.compression import decompress
from skirret.wire.results import MAGIC, MAX_BYTES

HEAD: Final = 96
"""Bytes of a payload that are looked at first; a Redis server's own look (``results.lua``) is as long."""

_JSON = re.compile(rb'\{\s*"status"\s*:\s*"([^"\\]*)"')
_MSGPACK = re.compile(rb"(?:[\x80-\x8f]|\xde..)\xa6status([\xa0-\xbf])", re.DOTALL)
_PICKLE = re.compile(rb"\x80.*?status\x94\x8c.([\w\-]+)\x94", re.DOTALL)
_OLD_PICKLE = re.compile(rb"\x80.*?statusq.X.\0\0\0([\w\-]*?)q", re.DOTALL)
_YAML = re.compile(rb"\nstatus: ([\w\-]+)\n")


def told_state(payload: bytes) -> str | None:
    """The state that a payload's first bytes tell, whatever its serializer; None if they do not."""
    head = payload[:HEAD]
    found = _JSON.match(head)
    if found is None and head[:1] != b"{":
        named = _MSGPACK.match(head)
        if named is not None:
            size = named[1][0] - 160
            end = named.end()
            return _text(head[end : end + size]) if len(head) >= end + size else None
        found = _PICKLE.match(head) or _OLD_PICKLE.match(head)
    return None if found is None else _text(found[1])


def _yaml_state(payload: bytes) -> str | None:
    found = _YAML.search(payload) if payload.startswith((b"children:", b"args:")) else None
    return None if found is None else _text(found[1])


def read_state(payload: bytes) -> str:
    """The state of a payload that does not begin with it: a compressed one, YAML, or JSON in another order."""
    if payload.startswith(MAGIC):
        kind, _, body = payload[len(MAGIC) :].partition(b"\0")
        try:
            payload = decompress(body, kind.decode("ascii", "replace"), MAX_BYTES)
        except SkirretError:
            return states.PENDING  # nobody can read it
    state = told_state(payload) or _yaml_state(payload)
    if state is None and payload.startswith(b"{"):
        try:
            told = json.loads(payload).get("status")
        except (ValueError, RecursionError):
            told = None
        state = told if isinstance(told, str) else None
    return state or states.PENDING


def _text(state: bytes) -> str:
    return state.decode("utf-8", "replace")
