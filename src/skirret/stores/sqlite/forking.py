"""Keeps SQLite connections from crossing a fork, because a child that inherits them damages the file of its parent.

SQLite remembers per process and file which locks it holds, and POSIX locks do not pass to a child: a child of a process
that has the file open believes in locks that it does not have, even for connections that it opens itself. So before a
fork all connections are closed, between two transactions; both sides open theirs again when they need them.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from skirret import clock

PATIENCE = 10.0
"""Seconds that a fork waits for transactions of other threads to end."""


class Forkable(Protocol):
    """What has connections."""

    def before_fork(self) -> None:
        """Close them."""

    def after_fork_in_child(self, clean: bool) -> None:
        """Forget what belongs to the parent; `clean` says that all was closed before."""


class Gate:
    """Counts the uses of connections, so that a fork can wait until there are none and keep new ones out meanwhile."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # re-entrant: a signal handler may publish
        self._inside: list[int] = []
        self._is_open = True
        self.clean = True

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Use connections inside; waits while another thread forks."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: self._is_open)
            self._inside.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(me)
                if not self._is_open:
                    self._changed.notify_all()

    def shut(self) -> bool:
        """Keep new uses out and wait for the others; False if some thread, or this one, is still inside."""
        deadline = clock.Deadline(PATIENCE)
        with self._changed:
            self._is_open = False
            while self._inside and threading.get_ident() not in self._inside and not deadline.passed():
                self._changed.wait(deadline.left())
            self.clean = not self._inside
            return self.clean

    def open(self) -> None:
        """Let uses in again."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()


def is_unannounced() -> bool:
    """Whether this process is uWSGI's master, which forks its workers in C, where no hook of Python runs."""
    worker_id = getattr(sys.modules.get("uwsgi"), "worker_id", None)
    return worker_id is not None and worker_id() == 0


gate = Gate()
_members: weakref.WeakSet[Forkable] = weakref.WeakSet()


def enrol(member: Forkable) -> None:
    """Tell `member` about each fork from now on."""
    _members.add(member)


def _before() -> None:
    if _members and gate.shut():
        for member in list(_members):
            member.before_fork()


def _after_in_parent() -> None:
    if _members:
        gate.open()


def _after_in_child() -> None:
    global gate
    clean, gate = gate.clean, Gate()
    for member in list(_members):
        member.after_fork_in_child(clean)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
