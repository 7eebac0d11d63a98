"""A page of memory for each child, on which its slots note what they run since when, for the supervisor to read.

Nothing is locked: each field has one writer. A slot's record is ``seq, began, seq``: a reader that finds two different
numbers came in the middle of a note, and takes the slot for one between two tasks. Notes are plain stores: no system
call, about 0.2 us each, and they outlive the child that wrote them.

The page, in bytes: 0 to 7 the beacon (the child lives and its interpreter is free), 8 whether it tells how tasks end,
9 the number of the signal that is to end it, then one record of 64 bytes a slot:
0 to 23 what it runs, 24 to 31 how often its task said that it makes progress, 32 to 39 what the supervisor wants
interrupted: twice the frame's number, and one more if that is because the worker stops. Times are seconds of the
monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Callable

from skirret import clock

_BEACON = struct.Struct("<d")
_NOTE = struct.Struct("<QdQ")
_NUMBER = struct.Struct("<Q")
_FIRST = _RECORD = 64
_TELLS = 8
_ENDS = 9
_PROGRESS = 24
_WANTED = 32


def _size(slots: int) -> int:
    return _FIRST + slots * _RECORD


class Board:
    """The supervisor's view of one child's page.

    Args:
        slots: how many tasks the child runs at a time.
    """

    __slots__ = ("_page", "fd", "slots")

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.fd = _memory()
        """Handed to the child; closed once it has its copy."""
        os.ftruncate(self.fd, _size(slots))
        self._page = mmap.mmap(self.fd, _size(slots))

    def running(self) -> list[tuple[int, float]]:
        """What the slots run: pairs of a frame's number and the moment at which it entered user code."""
        page, found = self._page, []
        for at in range(_FIRST, _size(self.slots), _RECORD):
            seq, began, again = _NOTE.unpack_from(page, at)
            if seq and seq == again:
                found.append((seq, began))
        return found

    def progress(self, seq: int) -> int:
        """How often the task of frame `seq` said that it makes progress; 0 if no slot runs it."""
        at = self._slot_of(seq)
        return 0 if at is None else int(_NUMBER.unpack_from(self._page, at + _PROGRESS)[0])

    def beacon(self) -> float:
        """When the child last showed that its interpreter is free; 0.0 if it never did."""
        return float(_BEACON.unpack_from(self._page, 0)[0])

    def tell(self, on: bool) -> None:
        """Say whether the child is to tell how tasks end, for monitors."""
        self._page[_TELLS] = on

    def end_by(self, number: int) -> None:
        """Leave word that the child is to end by this signal, unless its task handles it."""
        self._page[_ENDS] = number

    def interrupt(self, seq: int, *, stopping: bool = False) -> bool:
        """Leave word that frame `seq` is to be interrupted; False if no slot runs it. A signal makes the child look.

        Args:
            stopping: because the worker stops; else because its time is over.
        """
        at = self._slot_of(seq)
        if at is not None:
            _NUMBER.pack_into(self._page, at + _WANTED, 2 * seq + stopping)
        return at is not None

    def handed_over(self) -> None:
        """The child has its copy of the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Give the memory back."""
        self.handed_over()
        self._page.close()

    def _slot_of(self, seq: int) -> int | None:
        for at in range(_FIRST, _size(self.slots), _RECORD):
            if _NOTE.unpack_from(self._page, at)[0] == seq:
                return at
        return None


class Chalk:
    """The child's side: what its slots write.

    Args:
        fd: the page's descriptor, which is closed here; None makes a page that nobody reads.
        slots: how many tasks the child runs at a time.
    """

    __slots__ = ("_page", "slots")

    def __init__(self, fd: int | None, slots: int) -> None:
        self.slots = slots
        self._page = mmap.mmap(-1 if fd is None else fd, _size(slots))
        if fd is not None:
            os.close(fd)

    def enter(self, slot: int, seq: int, began: float) -> None:
        """Slot number `slot` (from 0) runs user code of frame `seq` since `began`."""
        _NOTE.pack_into(self._page, _FIRST + slot * _RECORD, seq, began, seq)

    def leave(self, slot: int) -> None:
        """The slot runs nothing now."""
        _NOTE.pack_into(self._page, _FIRST + slot * _RECORD, 0, 0.0, 0)

    def runs(self, slot: int) -> int:
        """The number of the frame that a slot runs; 0 for none."""
        return int(_NUMBER.unpack_from(self._page, _FIRST + slot * _RECORD)[0])

    def progressed(self, slot: int) -> None:
        """The slot's task says that it makes progress."""
        at = _FIRST + slot * _RECORD + _PROGRESS
        _NUMBER.pack_into(self._page, at, _NUMBER.unpack_from(self._page, at)[0] + 1)

    def heartbeat_of(self, seq: int) -> Callable[[], None]:
        """What heartbeats of the task of frame `seq` do, which a slot runs now."""
        slot = next((one for one in range(self.slots) if self.runs(one) == seq), 0)
        return lambda: self.progressed(slot)

    def wanted(self, slot: int) -> int:
        """What the supervisor wants interrupted here: twice the frame's number, plus one if the worker stops."""
        return int(_NUMBER.unpack_from(self._page, _FIRST + slot * _RECORD + _WANTED)[0])

    @property
    def tells(self) -> bool:
        """Whether the supervisor wants to be told how tasks end, for monitors."""
        return self._page[_TELLS] != 0

    @property
    def ended_by(self) -> int:
        """The number of the signal that is to end the child; 0 for none."""
        return self._page[_ENDS]

    def beat(self) -> None:
        """The child lives and its interpreter is free."""
        _BEACON.pack_into(self._page, 0, clock.monotonic())


def _memory() -> int:
    """A descriptor of memory without a name."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # a kernel or a sandbox that has it not
            return os.memfd_create("skirret-board", os.MFD_CLOEXEC)
    import tempfile  # heavy, and needed only where the kernel has nothing better

    with tempfile.TemporaryFile(prefix="skirret-board-") as file:
        return os.dup(file.fileno())
