"""What a supervisor and its template say to each other: import this app, fork a child, this one died."""

from __future__ import annotations

import msgspec

from skirret.worker.frames import LENGTH
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions

HANDLER = "handler"
"""The pool's name of the child that runs no tasks but the hooks of the worker; its number is 0."""


class Start(msgspec.Struct, tag=1):
    """Down: import this app. `hostname` is the node's name."""

    options: WorkerOptions
    hostname: str
    supervisor: int


class Fork(msgspec.Struct, tag=2):
    """Down, with three descriptors (socket, permit pipe, board): make child `number` with so many slots.

    `index` is the lowest number from 1 that no other child has, for names of files: there are few of those.
    """

    number: int
    pool: str
    slots: int
    index: int = 1


class Imported(msgspec.Struct, tag=3):
    """Up: the app is there."""

    manifest: Manifest


class Failed(msgspec.Struct, tag=4):
    """Up: the app cannot be used; `fault` says whose: ours (clear text), theirs (a traceback), usage (clear text)."""

    text: str
    fault: str


class Forked(msgspec.Struct, tag=5):
    """Up: child `number` runs as `pid`; 0 says that it could not be started, and `fault` why."""

    number: int
    pid: int
    fault: str = ""


class Exited(msgspec.Struct, tag=6):
    """Up: process `pid` ended with `status` (as ``os.waitpid`` tells)."""

    pid: int
    status: int


Order = Start | Fork
Notice = Imported | Failed | Forked | Exited

_orders: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_notices: msgspec.msgpack.Decoder[Notice] = msgspec.msgpack.Decoder(Notice)


def pack(message: Order | Notice) -> bytes:
    """One message with its length."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def unpack_order(body: bytes) -> Order:
    """What a supervisor said."""
    return _orders.decode(body)


def unpack_notice(body: bytes) -> Notice:
    """What a template said."""
    return _notices.decode(body)
