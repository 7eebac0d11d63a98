"""Signs of life on lines that wait: one thread a process, which depends on nothing but the lines' own progress."""

from __future__ import annotations

import os
import threading
import weakref

from skirret import clock
from skirret.stores.amqp.line import Line

STUCK = 30.0
"""Seconds after which a line that its owner does not use is left to die: whoever held messages on it is stuck, and the
server gives them to others. This is the lease."""

_lines: weakref.WeakSet[Line] = weakref.WeakSet()
_guard = threading.Lock()
_thread: threading.Thread | None = None


def keep_alive(line: Line) -> None:
    """Send signs of life on a line for as long as its owner uses it at least once in `STUCK` seconds."""
    global _thread
    if not line.heartbeat:
        return
    with _guard:
        _lines.add(line)
        if _thread is None:
            _thread = threading.Thread(target=_beat, name="skirret-amqp-pulse", daemon=True)
            _thread.start()


def let_go(line: Line) -> None:
    """Send no more signs on this line."""
    with _guard:
        _lines.discard(line)


def _beat() -> None:
    global _thread
    pause = threading.Event()
    while True:
        with _guard:
            lines = list(_lines)
            if not lines:
                _thread = None
                return
            wait = min(line.heartbeat for line in lines) / 3
        now = clock.monotonic()
        for line in lines:
            if now - line.used_at < STUCK:
                line.sign()
        del lines
        pause.wait(wait)


def _after_fork_in_child() -> None:
    global _thread, _guard
    _guard, _thread = threading.Lock(), None
    _lines.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
