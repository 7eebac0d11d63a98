"""The health endpoints over HTTP, ``/livez``, ``/readyz`` and ``/metrics``, served by a thread that nobody can hold up.

A connection gets one answer. Who is slow, sends much, or opens many connections is cut off: every connection has a
deadline, a bound of bytes and a place among few; the newest takes the place of the oldest. The loop is not asked
anything, so the answers come, and tell the truth, also when it stands still.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

from skirret import clock, loggers
from skirret.errors import ImproperlyConfigured

logger = loggers.own("skirret.worker")

MAX_CONNECTIONS = 32
MAX_REQUEST = 4096
"""Bytes of a request with its headers."""

DEADLINE = 2.0
"""Seconds for a whole connection, from its beginning to the last byte of the answer."""

Answer = Callable[[], tuple[int, str, bytes]]
"""Gives status, content type and body."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error",
            501: "Not Implemented", 503: "Service Unavailable"}  # fmt: skip


def address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` or ``PORT``; the host is 127.0.0.1 unless it is said.

    Raises:
        ImproperlyConfigured: that is no address.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isdigit() or int(port) > 65535 or (":" in host and "[" not in text):
        raise ImproperlyConfigured(f"--health {text!r} is no address; give HOST:PORT, such as 127.0.0.1:9540")
    return host or "127.0.0.1", int(port)


class _Visit:
    """One connection."""

    __slots__ = ("out", "read", "sock", "until")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.read = b""
        self.out = b""
        self.until = clock.monotonic() + DEADLINE


class HealthServer(threading.Thread):
    """Serves the endpoints from ``start`` to ``stop``.

    Args:
        text: the address, see `address`.
        answers: what to answer by path.

    Raises:
        ImproperlyConfigured: that address cannot be listened on.
    """

    def __init__(self, text: str, answers: dict[str, Answer]) -> None:
        super().__init__(name="skirret-health", daemon=True)
        host, port = address(text)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
        except OSError as exc:
            raise ImproperlyConfigured(f"--health {text!r} cannot be listened on: {exc.strerror or exc}") from exc
        self.port: int = self._listener.getsockname()[1]
        self._answers = answers
        self._visits: dict[int, _Visit] = {}
        self._woken, self._wakeup = socket.socketpair()
        self._over = False
        self._selector = selectors.DefaultSelector()
        for sock in (self._listener, self._woken):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)

    def stop(self) -> None:
        """Serve no more; returns when the port is free again."""
        self._over = True
        self._wakeup.send(b"\0")
        if self.is_alive():
            self.join(DEADLINE)
        else:
            self._close()

    def run(self) -> None:
        """Serve until ``stop``."""
        while not self._over:
            try:
                self._round()
            except Exception:
                logger.exception("A bug in the health endpoints; they go on. Please report it.")
                self._selector.select(0.1)
        self._close()

    def _round(self) -> None:
        until = min((visit.until for visit in self._visits.values()), default=None)
        patience = None if until is None else max(0.0, until - clock.monotonic())
        for key, _ in self._selector.select(patience):
            if key.fileobj is self._listener:
                self._welcome()
            elif key.fd in self._visits:
                self._serve(self._visits[key.fd])
        now = clock.monotonic()
        for visit in [visit for visit in self._visits.values() if visit.until <= now]:
            self._part(visit)

    def _welcome(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # it did not wait, or no descriptor is left, which a pause keeps from spinning
            threading.Event().wait(0.05)
            return
        sock.setblocking(False)
        if len(self._visits) >= MAX_CONNECTIONS:
            self._part(next(iter(self._visits.values())))
        self._visits[sock.fileno()] = _Visit(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self, visit: _Visit) -> None:
        try:
            if not visit.out:
                data = visit.sock.recv(MAX_REQUEST)
                visit.read += data
                if not data:
                    self._part(visit)
                    return
                if b"\r\n\r\n" not in visit.read and len(visit.read) < MAX_REQUEST:
                    return
                visit.out = self._reply(visit.read)
                self._selector.modify(visit.sock, selectors.EVENT_WRITE)
            visit.out = visit.out[visit.sock.send(visit.out) :]
        except BlockingIOError:
            return
        except OSError:
            visit.out = b""
        if not visit.out:
            self._part(visit)

    def _reply(self, request: bytes) -> bytes:
        words = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        method, path = words[0], words[1].partition("?")[0] if len(words) == 3 else ""
        answer = self._answers.get(path)
        status, kind, body = 404, "text/plain; charset=utf-8", b"there are /livez, /readyz and /metrics\n"
        if b"\r\n\r\n" not in request or len(words) != 3 or not words[2].startswith("HTTP/1."):
            status, body = 400, b"this is no request that is understood here\n"
        elif method not in {"GET", "HEAD"}:
            status, body = 405, b"only GET and HEAD\n"
        elif answer is not None:
            try:
                status, kind, body = answer()
            except Exception:
                logger.exception("A bug while the health of this worker was told. Please report it.")
                status, body = 500, b"a bug; the worker's log tells more\n"
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        )
        return head.encode("latin-1") + (b"" if method == "HEAD" else body)

    def _part(self, visit: _Visit) -> None:
        self._visits.pop(visit.sock.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(visit.sock)
        visit.sock.close()

    def _close(self) -> None:
        for visit in list(self._visits.values()):
            self._part(visit)
        self._selector.close()
        for sock in (self._listener, self._woken, self._wakeup):
            sock.close()
