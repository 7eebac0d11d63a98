"""What a supervisor and its handler process say to each other: something happened, carry this out, this is the answer.

Each is four bytes of length (little endian) and one msgpack array, over one socketpair.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skirret.worker.frames import LENGTH

LOG = "log"
"""Stands for a hook's name where a word is a log record, as ``LogForwarder`` makes it."""


class Word(msgspec.Struct, array_like=True):
    """Down: call the hooks of this name, or answer this command.

    Args:
        hook: the hook's name; empty for a command, `LOG` for a log record.
        raw: the message that it is about, as the broker has it.
        queue: where that message waited.
        deliveries: counted deliveries before this one.
        values: what else the hook is told; or the command's ``name`` and ``arguments``; or the record.
        id: of a command, for its answer.
    """

    hook: str
    raw: bytes = b""
    queue: str = ""
    deliveries: int = 0
    values: dict[str, Any] = {}
    id: int = 0


class Answer(msgspec.Struct, array_like=True):
    """Up: what command `id` gave, or the text of what it raised."""

    id: int
    value: Any = None
    error: str = ""


_encoder = msgspec.msgpack.Encoder()
_words = msgspec.msgpack.Decoder(Word)
_answers = msgspec.msgpack.Decoder(Answer)


def pack(said: Word | Answer) -> bytes:
    """One of them, ready to send."""
    body = _encoder.encode(said)
    return LENGTH.pack(len(body)) + body


def unpack_word(body: bytes) -> Word:
    """What a supervisor said."""
    return _words.decode(body)


def unpack_answer(body: bytes) -> Answer:
    """What a handler process said."""
    return _answers.decode(body)
