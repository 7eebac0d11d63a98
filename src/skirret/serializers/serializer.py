"""What one serializer is: a name, two functions, and what messages say of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from skirret.serializers.limits import Limits


class Serializer(msgspec.Struct, frozen=True):
    """One way to write values as bytes.

    Args:
        name: as settings name it.
        dumps: value, bounds -> bytes or str.
        loads: bytes, bounds -> value.
        content_type: what messages say.
        content_encoding: ``utf-8``, ``us-ascii`` or ``binary``.
    """

    name: str
    dumps: Callable[[Any, Limits], bytes | str]
    loads: Callable[[bytes, Limits], Any]
    content_type: str
    content_encoding: str
