"""What becomes of a held message: the settlements that a worker hands to its broker. Values without I/O."""

from __future__ import annotations

from typing import Literal

import msgspec

from skirret.message import Publication, Record


class Ack(msgspec.Struct, tag=True, kw_only=True, omit_defaults=True):
    """Done: forget the message, store its result, publish what follows, all at once where one server does both."""

    tag: int
    result: Record | None = None
    successors: list[Publication] = []


class Release(msgspec.Struct, tag=True, kw_only=True):
    """Not started: back to the front of its queue, uncounted."""

    tag: int


class Retry(msgspec.Struct, tag=True, kw_only=True, omit_defaults=True):
    """The task asked to run again: replace the held message by `publication` (with its due time)."""

    tag: int
    publication: Publication
    result: Record | None = None


class Defer(msgspec.Struct, tag=True, kw_only=True, omit_defaults=True):
    """The same message again at `due` (seconds since the epoch; 0 is now). `counted` says what this delivery was.

    One that is due goes to the end of its queue, or, if it is `first`, to the front.
    """

    tag: int
    due: float = 0.0
    counted: Literal["no", "delivery", "crash"] = "no"
    first: bool = False


class DeadLetter(msgspec.Struct, tag=True, kw_only=True, omit_defaults=True):
    """Out of the queue, kept with its reason until somebody replays or purges it."""

    tag: int
    reason: str
    result: Record | None = None
    successors: list[Publication] = []


Settlement = Ack | Release | Retry | Defer | DeadLetter
