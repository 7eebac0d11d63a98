"""A socket to a RabbitMQ node, with TLS or without: bytes out and bytes in, each with a deadline."""

from __future__ import annotations

import select
import socket
import threading
from typing import Any

from skirret import clock
from skirret.stores.amqp.address import Address
from skirret.stores.amqp.faults import Broken

ROOM = 262144
"""Bytes that are read in one go."""

READABLE, WRITABLE = 1, 4
"""As poll(2) has them."""


class Pipe:
    """One thread writes and reads; another may only write a `word` beside it.

    The socket never blocks: it is tried first, and waited for if there is need, which saves a system call or two.

    Args:
        address: whose certificates and host names.
        node: (host, port).
        seconds: until it must stand.

    Raises:
        Broken: it cannot be reached.
    """

    def __init__(self, address: Address, node: tuple[str, int], seconds: float) -> None:
        try:
            self._socket = _connect(address, node, seconds)
        except OSError as exc:
            raise Broken(exc, timed_out=isinstance(exc, TimeoutError)) from exc
        self._socket.setblocking(False)
        self._number = self._socket.fileno()
        self._busy = threading.Lock()  # an encrypted line is one state machine for both directions
        self._buffer = memoryview(bytearray(ROOM))
        self._pending: Any = None
        self._wants_read: tuple[type[OSError], ...] = (BlockingIOError,)
        self._wants_write: tuple[type[OSError], ...] = (BlockingIOError,)
        if address.tls is not None:
            import ssl

            self._pending = self._socket.pending  # type: ignore[attr-defined]
            self._wants_read, self._wants_write = (ssl.SSLWantReadError,), (ssl.SSLWantWriteError,)

    def send(self, data: bytes, seconds: float) -> None:
        """Write bytes, whole.

        Raises:
            Broken: it is gone, or did not take them within `seconds`.
        """
        with self._busy:
            self._send(data, seconds)

    def word(self, data: bytes, seconds: float) -> None:
        """Write bytes from another thread, unless the owner is writing just now.

        Raises:
            Broken: as of `send`; half of them may be out.
        """
        if self._busy.acquire(blocking=False):
            try:
                self._send(data, seconds)
            finally:
                self._busy.release()

    def _send(self, data: bytes, seconds: float) -> None:
        deadline: clock.Deadline | None = None
        left = memoryview(data)
        while True:
            wanted = WRITABLE
            try:
                left = left[self._socket.send(left) :]
                if not left:
                    return
            except self._wants_write:
                pass
            except self._wants_read:
                wanted = READABLE
            except (OSError, ValueError) as exc:
                raise Broken(exc) from exc
            deadline = deadline or clock.Deadline(seconds)
            if not self._waited(deadline.left() or 0.0, wanted):
                raise Broken(f"it took no bytes for {seconds:.1f} s", timed_out=True)

    def receive(self, seconds: float, wake: int = -1) -> bytes:
        """What came, waiting for the first byte; b"" if nothing did.

        Args:
            seconds: how long to wait; 0 looks only.
            wake: a file descriptor that ends the wait when it can be read; -1 is none.

        Raises:
            Broken: it is gone.
        """
        if not (self._pending is not None and self._pending()) and not self._waited(seconds, READABLE, wake):
            return b""
        try:
            with self._busy:
                size = self._socket.recv_into(self._buffer)
        except self._wants_read:
            return b""
        except self._wants_write:
            return b""
        except (OSError, ValueError) as exc:
            raise Broken(exc) from exc
        if not size:
            raise Broken("it hung up")
        return bytes(self._buffer[:size])

    def _waited(self, seconds: float, wanted: int, wake: int = -1) -> bool:
        """Whether it is ready within so many seconds, and before something is heard on `wake`."""
        if self._socket.fileno() < 0:
            raise Broken("it is closed")
        poll = _Poll()
        poll.register(self._number, wanted)
        if wake >= 0:
            poll.register(wake, READABLE)
        return any(number == self._number for number, _ in poll.poll(max(0.0, seconds) * 1000.0))

    def shut(self) -> None:
        """End it under whoever waits on it, so that the wait ends; from any thread of this process."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Let go of the socket."""
        try:
            self._socket.close()
        except OSError:
            pass


def _connect(address: Address, node: tuple[str, int], seconds: float) -> socket.socket:
    plain = socket.create_connection(node, timeout=max(0.001, seconds))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if address.tls is None:
        return plain
    try:
        return address.context().wrap_socket(plain, server_hostname=dict(address.tls).get("server_hostname") or node[0])
    except BaseException:
        plain.close()
        raise


class _Select:
    """Where there is no `poll`, as eventlet leaves it: the same by `select`."""

    def __init__(self) -> None:
        self._read: list[int] = []
        self._write: list[int] = []

    def register(self, number: int, wanted: int) -> None:
        (self._read if wanted == READABLE else self._write).append(number)

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        found = select.select(self._read, self._write, [], milliseconds / 1000.0)
        return [(number, 0) for ready in found for number in ready]


def _Poll() -> Any:  # noqa: N802  looked up at each use: a pool of greenlets replaces it
    return select.poll() if hasattr(select, "poll") else _Select()
