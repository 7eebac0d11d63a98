"""One line to one server: redis-py connects and encrypts, hiredis packs and parses, and each call has a deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from skirret import clock
from skirret.stores.redis.faults import Broken, Refused

READ_BYTES = 65536
_NOTHING = object()

Command = Sequence[Any]
"""A command's words: text, bytes and numbers."""

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""The bytes of one command, given as a tuple."""


class Session:
    """A connected line. After any failure it is closed for good: who wants to go on makes a new one.

    Args:
        connection: a redis-py connection that is connected and greeted.
        node: which node of a cluster it leads to.
    """

    __slots__ = ("_buffer", "_connection", "_reader", "_sock", "_timeout", "idle_since", "node")

    def __init__(self, connection: Any, node: str = "") -> None:
        self._connection = connection
        self._sock = connection._sock  # noqa: SLF001  redis-py hands out no socket, and its own reads have no deadline
        self._reader: Any = hiredis.Reader(replyError=Refused, protocolError=Broken, notEnoughData=_NOTHING)
        self._buffer = bytearray(READ_BYTES)
        self._timeout = -1.0
        self.node = node
        self.idle_since = 0.0

    def fileno(self) -> int:
        """For polling."""
        return int(self._sock.fileno())

    def exchange(self, packed: bytes, count: int, seconds: float) -> list[Any]:
        """Send commands and read their answers; an answer may be a `Refused`, which is not raised.

        Args:
            packed: commands as `pack` made them, one behind the other.
            count: how many there are.
            seconds: for everything together.

        Raises:
            Broken: the line is gone; whether the server did it is unknown.
        """
        self.send(packed, seconds)
        return self.read(count, seconds)

    def send(self, packed: bytes, seconds: float) -> None:
        """Send commands whose answers are read later."""
        try:
            self._within(seconds)
            self._sock.sendall(packed)
        except TimeoutError as exc:
            self.close()
            raise Broken(f"sending took longer than {seconds:.1f} s", timed_out=True) from exc
        except (OSError, AttributeError) as exc:  # AttributeError: another thread closed it
            self.close()
            raise Broken(exc) from exc
        except BaseException:
            self.close()
            raise

    def read(self, count: int, seconds: float) -> list[Any]:
        """Read `count` answers."""
        end = clock.monotonic() + seconds
        answers: list[Any] = []
        try:
            gets, feed, receive, buffer = self._reader.gets, self._reader.feed, self._sock.recv_into, self._buffer
            while True:
                answer = gets()
                if answer is not _NOTHING:
                    answers.append(answer)
                    if len(answers) == count:
                        return answers
                    continue
                left = end - clock.monotonic()
                if left < self._timeout - 0.2 or left > self._timeout:
                    self._within(left)
                size = receive(buffer)
                if not size:
                    raise Broken("the server closed the connection")
                feed(buffer, 0, size)
        except TimeoutError as exc:
            self.close()
            raise Broken(f"no answer within {seconds:.1f} s", timed_out=True) from exc
        except Broken:
            self.close()
            raise
        except (OSError, AttributeError) as exc:
            self.close()
            raise Broken(exc) from exc
        except BaseException:
            self.close()
            raise

    def pending(self) -> list[Any]:
        """Answers that have come already, without waiting: what a subscription is told."""
        answers: list[Any] = []
        try:
            self._sock.settimeout(0.0)
            self._timeout = 0.0
            while True:
                answer = self._reader.gets()
                if answer is not _NOTHING:
                    answers.append(answer)
                    continue
                size = self._sock.recv_into(self._buffer)
                if not size:
                    raise Broken("the server closed the connection")
                self._reader.feed(self._buffer, 0, size)
        except Broken:
            self.close()
            raise
        except OSError as exc:
            if isinstance(exc, BlockingIOError | TimeoutError) or _would_block(exc):
                return answers
            self.close()
            raise Broken(exc) from exc
        except AttributeError as exc:
            self.close()
            raise Broken(exc) from exc

    def _within(self, seconds: float) -> None:
        if seconds <= 0.0:
            raise TimeoutError
        if seconds != self._timeout:
            self._sock.settimeout(seconds)
            self._timeout = seconds

    def close(self) -> None:
        """Hang up. In a fork's child the parent's side of the line stays open."""
        self._connection.disconnect()


def _would_block(exc: OSError) -> bool:
    import ssl

    return isinstance(exc, ssl.SSLWantReadError | ssl.SSLWantWriteError)
