"""Telling the init system how a worker is, by systemd's notification protocol: datagrams to a socket that it names.

Source: sd_notify(3). Without ``NOTIFY_SOCKET`` in the environment all of this does nothing.
"""

from __future__ import annotations

import os
import socket

from skirret import clock

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Speaks to the init system that started this process, if it wants to be spoken to."""

    def __init__(self) -> None:
        # Taken out of the environment: what the worker starts must not speak in its place.
        self._taken = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
        address, usec, pid = (self._taken.get(name, "") for name in VARIABLES)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        watched = usec.isdigit() and pid in {"", str(os.getpid())}
        self.interval = int(usec) / 2e6 if watched else 0.0
        """Seconds after which the watchdog wants to be fed again (half of its patience); 0 if there is none."""
        self._fed = 0.0
        self._status = ""
        self._parted = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def ready(self) -> None:
        """The worker is ready for tasks, for the first time or again."""
        self._say("READY=1")

    def reloading(self) -> None:
        """This process begins anew; `ready` follows from its next life."""
        self._say_last(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic() * 1e6)}")

    def stopping(self) -> None:
        """The worker is told to stop; tasks may run for a while."""
        self._say_last("STOPPING=1")

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows; said only when it changes."""
        if text != self._status:
            self._status = text
            self._say(f"STATUS={text}")

    def feed(self) -> None:
        """The worker's loop makes progress; said no more often than the watchdog needs it."""
        now = clock.monotonic()
        if self.interval and now - self._fed >= self.interval * 0.9:
            self._fed = now
            self._say("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing more; who begins anew in this very process finds the environment as it was."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        os.environ.update(self._taken)

    def _say_last(self, words: str) -> None:
        if not self._parted:
            self._parted = True
            self._say(words)

    def _say(self, words: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(words.encode(), self._address)
            except OSError:
                return  # nobody listens any more: no reason to stop working
