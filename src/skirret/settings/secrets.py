"""Keeps passwords out of everything that people see.

A value is hidden where its key says that it is secret, and passwords inside addresses, connection strings and nested
values are hidden wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skirret.saferepr import saferepr
from skirret.url import KEYED, MASK

# Texts, compiled on first use, since most processes show no settings.
_HIDDEN = r"(?i)PASS|PWD|SECRET|TOKEN|KEY|SIGNATURE|CREDENTIAL|DSN|SASL"
_HARMLESS = r"(?i)routing_key|partition_key|keyprefix|key_prefix|unacked_\w*key|keep_?alive|keyspace|pass_?through"
_NEXT_ADDRESS = r"([;,\s]+)(?=[A-Za-z][\w+.\-]*://)"
_PAIR = (
    r"""(?i)([\w\-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|signature|credential|dsn|sasl)[\w\-]*['"]?\s*[=:]\s*)"""
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^;&,\s]+)"""
)
_DEEPEST = 20


def is_secret(name: str) -> bool:
    """Whether a key of that name holds what people must not see."""
    return bool(re.search(_HIDDEN, re.sub(_HARMLESS, "", name)))


def mask_text(text: str) -> str:
    """`text` with the passwords of addresses and of ``name=value`` pairs hidden."""
    parts = re.split(_NEXT_ADDRESS, text)
    return re.sub(_PAIR, rf"\g<1>{MASK}", "".join(map(_mask_address, parts)))


def _mask_address(text: str) -> str:
    head, sep, tail = text.partition("://")
    login, at, host = tail.rpartition("@")
    if sep and not at and head.lower().endswith(tuple(KEYED)):
        login, at, host = tail.partition("/")
    if not (sep and at and ":" in login):
        return text
    # Everything up to the last @ goes: a password may hold / ? # ; @ that somebody forgot to encode.
    return f"{head}://{login.split(':', 1)[0]}:{MASK}{at}{host}"


def censor(name: str, value: Any, *, secret: bool | None = None) -> Any:
    """`value` of the key `name` as people may see it: plain containers stay, what is secret is masked.

    Args:
        secret: whether all of it is; by default the name tells.
    """
    return _censor(name, value, is_secret(name) if secret is None else secret, 0)


def _censor(name: str, value: Any, secret: bool, depth: int) -> Any:
    if value is None or isinstance(value, bool) or value in ("", b""):
        return value
    if secret:
        return MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, int | float):
        return value
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {key: _censor(str(key), inner, is_secret(str(key)), depth + 1) for key, inner in value.items()}
    if type(value) in {list, tuple, set, frozenset}:
        return [_censor(name, inner, False, depth + 1) for inner in value]
    return mask_text(saferepr(value))
