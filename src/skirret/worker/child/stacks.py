"""What the tasks of this child do right now: the stack of each, in threads, greenlets and coroutines alike.

The supervisor asks by a signal, which Python answers between two bytecodes of the main thread, also while a task keeps
that busy. Nothing is noted while tasks run: who runs where is read from the frames of the slots themselves.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from skirret.worker.frames import ASKED, Stack, Stacks

if TYPE_CHECKING:
    from skirret.worker.child.execute import Execution

DEEPEST = 50
"""Frames of a stack that are told: the innermost ones."""

_RUNNERS = {("single.py", "run_one"), ("coroutines.py", "_attempt"), ("coroutines.py", "_outcome")}
"""The functions whose local ``execution`` says which task runs below them."""


def _in_a_thread(work: Callable[..., object], *args: object) -> None:
    threading.Thread(target=work, args=args, name="skirret-stacks", daemon=True).start()


class _Places:
    """Where else tasks of this child are than in threads; the pool says it once.

    `coroutines` and `greenlets` give those of its slots. `apart` does something soon, in nobody's midst: to start a
    thread waits for it, and where that is patched a signal may come in the hub, which must not wait.
    """

    def __init__(self) -> None:
        self.apart: Callable[..., object] = _in_a_thread
        self.coroutines: Callable[[], Iterable[Any]] = tuple
        self.greenlets: Callable[[], Iterable[Any]] = tuple


PLACES = _Places()


def answer(report: Callable[[Stacks], object]) -> None:
    """Answer from now on, in the main thread; `report` sends what was found."""

    def asked(_signum: int, frame: FrameType | None) -> None:
        found = Stacks(list(look(frame)))
        # Not from here: this may have come in the middle of a report.
        PLACES.apart(report, found)

    signal.signal(ASKED, asked)
    signal.siginterrupt(ASKED, False)


def look(here: FrameType | None) -> Iterator[Stack]:
    """The stack of each task that runs, once each: a coroutine may begin to wait while this looks.

    Args:
        here: the frame of this thread that a signal came in.
    """
    seen: set[int] = set()
    for told in _everywhere(here):
        if told.seq not in seen:
            seen.add(told.seq)
            yield told


def _everywhere(here: FrameType | None) -> Iterator[Stack]:
    me = threading.get_ident()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001  there is no other way to other threads
        told = task_of(here if ident == me else frame, names.get(ident, str(ident)))
        if told is not None:
            yield told
    for greenlet in PLACES.greenlets():
        if greenlet.gr_frame is not None and (told := task_of(greenlet.gr_frame, "greenlet")) is not None:
            yield told
    for coroutine in PLACES.coroutines():
        if (told := _of_coroutine(coroutine)) is not None:
            yield told


def task_of(frame: FrameType | None, thread: str) -> Stack | None:
    """The task that a thread runs, found from its innermost frame outwards; None if it runs none.

    Args:
        frame: the innermost frame.
        thread: what the place is called.
    """
    inner: list[tuple[FrameType, int]] = []
    waits: Any = None
    while frame is not None:
        execution = _execution_in(frame)
        if execution is not None:
            waiting = waits is not None and not waits.cr_running
            return _told(execution, thread, list(_coroutine_frames(waits)) if waiting else inner[::-1])
        steered = frame.f_locals.get("steered") if frame.f_code.co_name == "run" else None
        waits = waits if steered is None else steered
        inner.append((frame, frame.f_lineno))
        frame = frame.f_back
    return None


def _of_coroutine(coroutine: Any) -> Stack | None:
    """The task that a coroutine slot runs, if it waits: one that is running is found in its thread."""
    frames = list(_coroutine_frames(coroutine))
    for at, (frame, _) in enumerate(frames):
        execution = _execution_in(frame)
        if execution is not None and not coroutine.cr_running and execution.task.is_async:
            return _told(execution, "coroutine", frames[at + 1 :])
    return None


def _coroutine_frames(coroutine: Any) -> Iterator[tuple[FrameType, int]]:
    """Frames from a coroutine inwards to what it waits for."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield frame, frame.f_lineno
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


def _execution_in(frame: FrameType) -> Execution | None:
    code = frame.f_code
    if (code.co_filename.rpartition("/")[2], code.co_name) not in _RUNNERS:
        return None
    found = frame.f_locals.get("execution")
    return found if hasattr(found, "request") else None


def _told(execution: Execution, place: str, frames: list[tuple[FrameType, int]]) -> Stack:
    theirs = [(frame, line) for frame, line in frames if "/skirret/worker/child/" not in frame.f_code.co_filename]
    summary = traceback.StackSummary.extract(iter((theirs or frames)[-DEEPEST:]))
    lines = [line.rstrip("\n") for text in summary.format() for line in text.splitlines()]
    return Stack(execution.run.seq, execution.id, execution.name, place, lines)
