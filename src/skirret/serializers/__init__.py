"""Values to bytes and back: json (kombu's dialect), msgpack, yaml, pickle for those who accept it, and your own."""

from __future__ import annotations

from skirret.serializers.limits import DEFAULT, MAX_BYTES, STRICT, Limits
from skirret.serializers.registry import accepted, dumps, get, loads, names, register, unregister
from skirret.serializers.serializer import Serializer

__all__ = [
    "DEFAULT",
    "MAX_BYTES",
    "STRICT",
    "Limits",
    "Serializer",
    "accepted",
    "dumps",
    "get",
    "loads",
    "names",
    "register",
    "unregister",
]
