"""How one process wakes another that waits at the embedded file: a datagram to a socket beside the file.

Who waits binds a socket in ``<file>.bells``; who writes sends a word to all sockets of that kind. A word is a hint: it
may be lost, so that who waits looks at the file now and then as well.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import select
import socket
import threading
import time
import weakref
from collections.abc import Iterable
from pathlib import Path

from skirret.stores.sqlite.text import storable

CONSUMERS, RESULTS, HINTS = "q", "r", "h"
"""Who waits: consumers for messages, callers for results, subscribers for broadcasts."""

MAX_PATH = 100
"""Bytes of a socket's address; Linux takes 107, other systems 103."""

MAX_WORD = 32 * 1024
"""A longer word is replaced by the empty one, which says: look at everything."""

MAX_RUNG = 64
"""Sockets that one writer rings; the others look by themselves."""

FRESH_NS = 20_000_000
"""A directory that changed so lately may change again without its time of change moving (a kernel tick is 4 ms)."""

_bells: weakref.WeakSet[Bell] = weakref.WeakSet()


class Bells:
    """The directory of sockets beside one embedded file.

    Args:
        database: the embedded file.
    """

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database}.bells")
        self._descriptor = -1
        self._changed = -1
        self._names: list[str] = []
        self._speaker: socket.socket | None = None
        self._lock = threading.Lock()

    def address(self, name: str) -> str | None:
        """The address of a socket; None where the path is too long for one and the system has no way around."""
        path = str(self._path / name)
        if len(os.fsencode(path)) <= MAX_PATH:
            return path
        if not Path("/proc/self/fd").is_dir():
            return None
        with self._lock:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            return f"/proc/self/fd/{self._descriptor}/{name}"

    def hang(self, kind: str) -> Bell:
        """A new bell, ready to be rung; without a socket where none can be made."""
        name = f"{kind}{os.getpid()}-{secrets.token_hex(6)}"
        listener = None
        try:
            self._path.mkdir(mode=0o700, exist_ok=True)
            address = self.address(name)
            if address is not None:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                listener.setblocking(False)
                listener.bind(address)
        except OSError:
            if listener is not None:
                listener.close()
            listener = None
        return Bell(listener, self._path / name)

    def ring(self, kind: str, words: Iterable[str]) -> None:
        """Wake who waits for one of `words`; never blocks and never fails."""
        try:
            names = [name for name in self._listed() if name.startswith(kind)]
        except OSError:
            return
        if not names:
            return
        word = "\0".join(storable(one) for one in words).encode()
        if len(word) > MAX_WORD:
            word = b""
        if len(names) > MAX_RUNG:
            start = secrets.randbelow(len(names))
            names = (names[start:] + names[:start])[:MAX_RUNG]
        for name in names:
            self._say(name, word)

    def anybody(self, kind: str) -> bool:
        """Whether somebody may wait: a bell of that kind hangs, or none can hang here, so that nobody is to be seen."""
        try:
            return any(name.startswith(kind) for name in self._listed()) or self.address(kind) is None
        except OSError:
            return False

    def _listed(self) -> list[str]:
        changed = os.stat(self._path).st_mtime_ns  # noqa: PTH116  a third of the time of Path.stat
        if changed != self._changed:
            self._names = os.listdir(self._path)  # noqa: PTH208  as above
            self._changed = changed if time.time_ns() - changed > FRESH_NS else -1
        return self._names

    def _say(self, name: str, word: bytes) -> None:
        speaker = self._speaker or self._make_speaker()
        try:
            address = self.address(name)
            if address is not None:
                speaker.sendto(word, address)
        except ConnectionRefusedError:  # its process is gone
            with contextlib.suppress(OSError):
                (self._path / name).unlink()
        except OSError:
            pass  # full: it has been rung already; or gone in the meantime

    def _make_speaker(self) -> socket.socket:
        with self._lock:  # two threads may ring at once
            if self._speaker is None:
                self._speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._speaker.setblocking(False)
            return self._speaker

    def close(self) -> None:
        """Let go of descriptors; they open again on use."""
        speaker, self._speaker = self._speaker, None
        if speaker is not None:
            speaker.close()
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def after_fork(self) -> None:
        """In a child: the lock may be held by a thread that is not here."""
        self._lock = threading.Lock()
        self.close()


class Bell:
    """What one waiting thread listens to: the words of others, and `interrupt` from any thread of its process.

    Args:
        listener: the bound socket, or None.
        path: its file.
    """

    def __init__(self, listener: socket.socket | None, path: Path) -> None:
        self._listener = listener
        self._path = path
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._interrupted = False
        self._closing = threading.Lock()
        _bells.add(self)

    @property
    def is_deaf(self) -> bool:
        """Whether only the timeout and `interrupt` end a wait."""
        return self._listener is None

    def wait(self, timeout: float) -> set[str] | None:
        """Wait for a word or an interrupt, at most `timeout` seconds.

        Returns:
            The words that came (none: time is over, or interrupted); None says to look at everything.
        """
        if self._interrupted or self._reader < 0:
            return set()
        ears = [self._reader] if self._listener is None else [self._reader, self._listener.fileno()]
        if hasattr(select, "poll"):
            poll = select.poll()
            for ear in ears:
                poll.register(ear, select.POLLIN)
            poll.poll(max(0, math.ceil(timeout * 1000)))
        else:  # under eventlet's patches
            select.select(ears, [], [], max(0.0, timeout))
        return self._heard()

    def _heard(self) -> set[str] | None:
        words: set[str] = set()
        everything = False
        while self._listener is not None:
            try:
                word = self._listener.recv(MAX_WORD + 1)
            except OSError:
                break
            everything = everything or not word
            words.update(word.decode("utf-8", "replace").split("\0"))
        return None if everything else words

    def interrupt(self) -> None:
        """Make the wait that is on, or else the next one, return at once."""
        self._interrupted = True
        with self._closing:
            if self._writer >= 0:
                with contextlib.suppress(BlockingIOError):  # full: rung already
                    os.write(self._writer, b"!")

    def was_interrupted(self) -> bool:
        """Whether `interrupt` was called since this was asked last."""
        if not self._interrupted:
            return False
        self._interrupted = False
        with contextlib.suppress(OSError):
            os.read(self._reader, 4096)
        return True

    def close(self) -> None:
        """Take the bell down."""
        if self._let_go():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _let_go(self) -> bool:
        with self._closing:
            if self._writer < 0:
                return False
            if self._listener is not None:
                self._listener.close()
            # Forgotten first: a child forked in between would close what has these numbers by then.
            pipe, self._reader, self._writer = (self._reader, self._writer), -1, -1
            for descriptor in pipe:
                os.close(descriptor)
            return self._listener is not None

    def after_fork(self) -> None:
        """In a child: let go of the parent's socket, so that it falls silent when the parent dies."""
        self._closing = threading.Lock()
        self._let_go()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _after_fork_in_child() -> None:
    for bell in list(_bells):
        bell.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
