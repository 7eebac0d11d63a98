"""How the supervisor's own interpreter is set: its threads take turns often, and its garbage collector looks seldom."""

from __future__ import annotations

import gc
import sys

TURN = 0.001
"""Seconds for which one thread may keep the interpreter from another that has its answer. By Python's own 5 ms a thread
that asks a server waits longer for its turn than for the answer."""

YOUNG = 20_000
"""New containers between two looks for garbage. A message is some thirty of them, none of which is ever part of a
circle; by Python's own 700 each is looked at while it is in hand."""


def set_up() -> None:
    """Set it; for a process in which none of the app's code runs."""
    sys.setswitchinterval(TURN)
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
