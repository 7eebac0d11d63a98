"""How a worker waits without asking: a channel of its own on which publishers wake it, and a pipe for interrupts."""

from __future__ import annotations

import contextlib
import os
import select
import threading

from skirret import clock
from skirret.errors import OperationalError
from skirret.stores.redis.faults import Broken
from skirret.stores.redis.session import Session, pack
from skirret.stores.redis.store import Store

PONG_SECONDS = 2.0
"""A line that gives no sign for so long, although it was asked, is replaced. Slow networks need some of it."""

CHECK_SECONDS = 5.0
"""A line that only listens is asked for a sign this often, for one that is half open would be silent as well."""


class Bell:
    """Rings when a message came or somebody interrupts.

    Args:
        store: the server.
        channel: of this incarnation alone.
    """

    def __init__(self, store: Store, channel: str) -> None:
        self._store = store
        self._channel = channel
        self._line: Session | None = None
        self._pinged: float | None = None  # when a sign was asked for that has not come yet
        self._check_at = 0.0
        self._closing = threading.RLock()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._is_open = True

    @property
    def listens(self) -> bool:
        """Whether publishers reach it."""
        return self._line is not None

    def listen(self) -> None:
        """Subscribe, if the line broke or never was.

        Raises:
            OperationalError: the server cannot be reached.
        """
        if self._line is None:
            line = self._store.open(self._channel)
            try:
                line.exchange(pack(("SUBSCRIBE", self._channel)), 1, self._store.address.deadline)
            except Broken as exc:
                raise OperationalError(f"the {self._store.address} hung up while subscribing: {exc}") from exc
            self._line, self._pinged = line, None
            self._check_at = clock.monotonic() + CHECK_SECONDS

    def check(self) -> bool:
        """Ask the other end for a sign, now and then; a line that did not give the last one is dropped.

        Returns whether there is a reason not to wait: it rang meanwhile, or the line is gone.
        """
        now = clock.monotonic()
        if self._line is None or now < self._check_at:
            return False
        rang = self._hear()  # a sign may have come while nobody waited
        if not self.listens:
            return True
        if self._pinged is not None:
            if now - self._pinged > PONG_SECONDS:
                self.deafen()
                return True
            return rang
        try:
            self._line.send(pack(("PING",)), 1.0)
        except Broken:
            self.deafen()
            return True
        self._pinged, self._check_at = now, now + CHECK_SECONDS
        return rang

    def wait(self, seconds: float) -> bool:
        """Wait; True if it rang, which may be for nothing."""
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        line = self._line
        if line is not None:
            try:
                poller.register(line.fileno(), select.POLLIN)
            except (OSError, ValueError):
                self.deafen()
                return True
        ready = {number for number, _ in poller.poll(max(0.0, seconds) * 1000.0)}
        if not ready:
            return False
        return self._hear() or self._read in ready

    def _hear(self) -> bool:
        if self._line is None:
            return False
        try:
            told = self._line.pending()
        except Broken:
            self._line = None
            return True
        if any(isinstance(one, list) and one[0] == b"pong" for one in told):
            self._pinged = None
        return any(isinstance(one, list) and one[0] == b"message" for one in told)

    def interrupt(self) -> None:
        """Ring from any thread."""
        with self._closing:  # a pipe that is closed may be somebody else's already
            if self._is_open:
                with contextlib.suppress(BlockingIOError):  # full: it rings already
                    os.write(self._write, b"!")

    def was_interrupted(self) -> bool:
        """Whether somebody interrupted since this was asked last."""
        if not self._is_open:
            return False
        try:
            return bool(os.read(self._read, 4096))
        except BlockingIOError:
            return False

    def deafen(self) -> None:
        """Hang up."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def close(self) -> None:
        """Hang up for good."""
        with self._closing:
            if self._is_open:
                self._is_open = False
                self.deafen()
                os.close(self._read)
                os.close(self._write)
