"""A TCP proxy that fails on command: refuses, cuts, freezes, is slow, or cuts after so many bytes of a direction."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(eq=False)
class Link:
    """One client's connection with the server's."""

    client: socket.socket
    server: socket.socket
    sent: int = 0
    answered: int = 0
    is_silent: bool = False


class Proxy:
    """Stands before a server on a loopback port of its own.

    Args:
        port: the server's.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self._links: set[Link] = set()
        self._lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listener: socket.socket | None = None
        self.port = 0
        self.frozen = False
        self.delay = 0.0
        """Seconds that everything takes from one end to the other."""
        self._late: deque[tuple[float, Link, bytes, bool]] = deque()
        self.cut_request: int | None = None
        """Cut each link once, after this many more bytes from the client were handed on."""
        self.cut_answer: int | None = None
        """The same for bytes from the server; 0: the server did it, and nobody hears."""
        self.cuts = self.cuts_left = 0
        self.peers: tuple[Proxy, ...] = ()
        """Before other nodes of the same cluster: they are to cut no more once this one has."""
        self._bytes = 0
        self.requests = bytearray()
        self.answers = bytearray()
        self._listen()
        self._is_running = True
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuse everybody and cut who is connected."""
        with self._lock:
            assert self._listener is not None
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            self.cut()
        try:
            yield
        finally:
            with self._lock:
                self._listen()
            self._wake.send(b"!")

    @contextlib.contextmanager
    def freeze(self) -> Iterator[None]:
        """Swallow everything without an answer, as a network that is gone."""
        self.frozen = True
        try:
            yield
        finally:
            self.frozen = False
            self.cut()

    def abandon(self) -> None:
        """Half-open connections: from now on those that there are carry nothing, and nobody is told."""
        with self._lock:
            for link in self._links:
                link.is_silent = True

    def arm(self, *, request: int | None = None, answer: int | None = None, times: int = 1) -> None:
        """Cut so many times, each after this many more bytes of a request, or of an answer."""
        with self._lock:
            self._bytes = (answer if request is None else request) or 0
            self.cut_request, self.cut_answer, self.cuts_left = request, answer, times

    def disarm(self) -> None:
        """Cut no more."""
        with self._lock:
            self.cut_request = self.cut_answer = None

    def cut(self) -> None:
        """Reset all connections."""
        with self._lock:
            for link in list(self._links):
                self._end(link)

    def _end(self, link: Link) -> None:
        if link not in self._links:
            return
        self._links.discard(link)
        for one in (link.client, link.server):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()

    def _run(self) -> None:
        while self._is_running:
            for key, _ in self._selector.select(self._patience()):
                with self._lock:
                    if key.fileobj is self._woken:
                        self._woken.recv(100)
                    elif key.fileobj is self._listener:
                        self._accept()
                    elif key.data is not None:
                        self._carry(key.fileobj, key.data)
            with self._lock:
                self._carry_late()

    def _patience(self) -> float:
        with self._lock:
            return max(0.0, min(0.5, self._late[0][0] - time.monotonic())) if self._late else 0.5

    def _carry_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, link, data, asks = self._late.popleft()
            if link in self._links and not self.frozen:
                try:
                    self._hand_on(link, data, asks)
                except OSError:
                    self._end(link)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 5.0)
        except OSError:
            client.close()
            return
        link = Link(client, server)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.settimeout(5.0)
            self._selector.register(one, selectors.EVENT_READ, link)
        self._links.add(link)

    def _carry(self, source: socket.socket, link: Link) -> None:
        if link not in self._links:
            return
        asks = source is link.client
        try:
            data = source.recv(65536)
            if not data:
                self._end(link)
            elif link.is_silent:
                return
            elif self.delay or self._late:
                self._late.append((time.monotonic() + self.delay, link, data, asks))
            elif not self.frozen:
                self._hand_on(link, data, asks)
        except OSError:
            self._end(link)

    def _hand_on(self, link: Link, data: bytes, asks: bool) -> None:
        left = self.cut_request if asks else self.cut_answer
        (self.requests if asks else self.answers).extend(data)
        target = link.server if asks else link.client
        if left is None:
            target.sendall(data)
            return
        target.sendall(data[:left])
        if left > len(data):
            left -= len(data)
            if asks:
                self.cut_request = left
            else:
                self.cut_answer = left
            return
        self.cuts += 1
        self.cuts_left -= 1
        if self.cuts_left <= 0:
            self.cut_request = self.cut_answer = None
            for peer in self.peers:
                peer.cut_request = peer.cut_answer = None
        elif asks:
            self.cut_request = self._bytes
        else:
            self.cut_answer = self._bytes
        if asks:
            # What was handed on must reach the server before the reset does.
            link.server.shutdown(socket.SHUT_WR)
        self._end(link)

    def close(self) -> None:
        """Stop for good."""
        self._is_running = False
        self._wake.send(b"!")
        self._thread.join(5.0)
        with self._lock:
            self.cut()
            if self._listener is not None:
                self._listener.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()
