"""What Skirret itself notes in a message's headers: one header of its own, which Celery passes by."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

HEADER: Final = "skirret"

MOST: Final = 1024
"""Characters of a key."""

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST)]


class Marks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Keys under which a call is counted or known to be the only one.

    Args:
        slots: it counts among those of this key that may run at a time.
        unique: while it has this key, another call with it is not sent.
        until: what ends that: ``start`` or ``end`` of the run, or ``window`` for time alone.
    """

    slots: Key | None = None
    unique: Key | None = None
    until: str = "end"


def as_header(marks: Marks) -> dict[str, Any]:
    """The header's value, JSON-plain."""
    written: dict[str, Any] = msgspec.to_builtins(marks)
    return written


def from_header(value: Any) -> Marks | None:
    """The marks in a header's value; None if it is not one of ours, for whoever wrote it may use the name as well."""
    if value is None:
        return None
    try:
        found = msgspec.convert(value, Marks)
    except msgspec.ValidationError:
        return None
    return None if any(key is not None and "\0" in key for key in (found.slots, found.unique)) else found
