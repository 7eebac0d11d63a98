"""What a supervisor and a child say to each other: batches of small structs, length-prefixed, over one socketpair.

A batch is four bytes of length (little endian) and one msgpack array. A permit is eight bytes (a sequence number) in a
pipe that child and supervisor can both read: whoever reads it decides whether the task starts or goes elsewhere.
"""

from __future__ import annotations

import signal
import struct
from collections.abc import Sequence
from typing import Literal

import msgspec

from skirret.message import Publication, Record

LENGTH = struct.Struct("<I")
PERMIT = struct.Struct("<Q")
STOP_PERMIT = 0
"""A permit that names no task: the child reports what it has and leaves."""

MEANT = signal.SIGIO
"""Tells a child to look at its board for the signal that is to end it; sent to nobody who goes on."""

ASKED = signal.SIGUSR2
"""The signal by which a supervisor asks a child that is ready what its tasks do."""

MAX_BATCH_BYTES = 256 * 1024


class Run(msgspec.Struct, tag=1, array_like=True):
    """Down: run this message once permitted.

    Args:
        seq: the frame's number, growing, from 1.
        raw: kombu's envelope JSON, untouched.
        queue: the home queue.
        deliveries: counted deliveries before this one.
    """

    seq: int
    raw: bytes
    queue: str
    deliveries: int


class Conclusion(msgspec.Struct, array_like=True, frozen=True):
    """How a run ended that can tell of it no more.

    Args:
        fault: its hard time limit (`seconds`) passed, or its process was lost (`how`, in words).
        dead: the reason for the dead letters, where it goes there.
        again: it is to be retried, as by the task itself.
    """

    fault: Literal["time", "lost"]
    seconds: float = 0.0
    how: str = ""
    dead: str = ""
    again: bool = False


class Conclude(Run, tag=2, array_like=True):
    """Down: do not run this message; tell its hooks and callbacks how it ended."""

    conclusion: Conclusion


Down = Run | Conclude


class Outcome(msgspec.Struct, tag=1, array_like=True):
    """Up: what became of frame `seq`.

    Args:
        kind: done (acknowledge), retry (replace by `publication`), reject (dead letters), requeue, release (uncounted:
            its worker stops), unknown (no such task here).
        runtime: seconds in user code; negative if it was not entered.
        name: the task's name.
        result: what to store, if anything.
        successors: messages that leave in one step with the outcome.
        publication: the next run's message (retry).
        reason: text for the dead letters.
    """

    seq: int
    kind: Literal["done", "retry", "reject", "requeue", "release", "unknown"]
    runtime: float
    name: str
    result: Record | None = None
    successors: list[Publication] = []
    publication: Publication | None = None
    reason: str = ""


class Report(msgspec.Struct, tag=2, array_like=True):
    """Up: results to store while a task runs (STARTED, progress)."""

    records: list[Record]


class Ready(msgspec.Struct, tag=3, array_like=True):
    """Up: the child can take work."""

    pid: int


class Told(msgspec.Struct, tag=4, array_like=True):
    """Up, before the outcome of frame `seq`, while monitors want to hear of it: how its run ends.

    Args:
        state: the state that it ends in.
        text: the repr of its result or exception, cut to a length.
        traceback: of a failure or a retry.
    """

    seq: int
    state: str
    text: str
    traceback: str | None = None


class Said(msgspec.Struct, tag=5, array_like=True):
    """Up: events that a task sends of its own, as a JSON list."""

    events: bytes


class Stack(msgspec.Struct, array_like=True):
    """What one running task does.

    Args:
        seq: its frame.
        id, name: the task's.
        place: the thread's name, or ``coroutine``.
        lines: its stack as text, the innermost call last.
    """

    seq: int
    id: str
    name: str
    place: str
    lines: list[str]


class Stacks(msgspec.Struct, tag=6, array_like=True):
    """Up, when asked: what all running tasks do."""

    stacks: list[Stack]


Up = Outcome | Report | Ready | Told | Said | Stacks

_encoder = msgspec.msgpack.Encoder()
_down = msgspec.msgpack.Decoder(list[Down])
_up = msgspec.msgpack.Decoder(list[Up])


def pack(frames: Sequence[Down | Up]) -> bytes:
    """One batch, ready to send."""
    body = _encoder.encode(frames)
    return LENGTH.pack(len(body)) + body


def unpack_down(body: bytes | bytearray | memoryview) -> list[Down]:
    """The frames of one batch that a child received (without its length)."""
    return _down.decode(body)


def unpack_up(body: bytes | bytearray | memoryview) -> list[Up]:
    """The frames of one batch that a supervisor received (without its length)."""
    return _up.decode(body)


class Splitter:
    """Cuts a byte stream into batches."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Append received bytes; the bodies of the batches that are now complete."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        at, end = 0, len(buffer)
        with memoryview(buffer) as view:  # a slice of the buffer itself would be one more copy
            while end - at >= LENGTH.size:
                (size,) = LENGTH.unpack_from(view, at)
                start = at + LENGTH.size
                if end - start < size:
                    break
                bodies.append(bytes(view[start : start + size]))
                at = start + size
        del buffer[:at]
        return bodies
