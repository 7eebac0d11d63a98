"""Keys of unique tasks that this worker holds messages of: given free just before their ends are told to anybody."""

from __future__ import annotations

from collections.abc import Sequence

from skirret import loggers
from skirret.coordination import keys
from skirret.coordination.base import Coordination
from skirret.outcome import Ack, DeadLetter, Settlement

logger = loggers.own("skirret.worker")


class Uniques:
    """See module. `hold` is the loop's; all else belongs to the fetcher's thread.

    Args:
        shared: where keys are kept; None is nowhere.
    """

    def __init__(self, shared: Coordination | None) -> None:
        self._shared = shared
        self._held: dict[int, tuple[str, str, bool]] = {}

    def hold(self, tag: int, key: str, owner: str, *, early: bool) -> None:
        """A message is held whose end gives `key` free, if `owner`, its task's id, has it.

        With `early` its acknowledgement is not its end: `over` tells that.
        """
        self._held[tag] = (key, owner, early)

    def begin(self) -> None:
        """A new incarnation holds nothing yet; keys of what the old one held are others' matter now."""
        self._held.clear()

    def ending(self, settlements: Sequence[Settlement]) -> None:
        """These are about to be settled: whoever learns of a task's end may send it again."""
        if not self._held:
            return
        for settlement in settlements:
            held = self._held.get(settlement.tag)
            if held is None or (held[2] and isinstance(settlement, Ack)):
                continue
            del self._held[settlement.tag]
            if isinstance(settlement, (Ack, DeadLetter)):
                self._free(held[0], held[1])

    def over(self, tag: int, *, again: bool = False) -> None:
        """What a task's key waited for has happened; `again` if the task will be retried, which keeps its key."""
        held = self._held.pop(tag, None)
        if held is not None and not again:
            self._free(held[0], held[1])

    def _free(self, key: str, owner: str) -> None:
        """Give a key free, if it is still this owner's."""
        if self._shared is None:
            return
        try:
            self._shared.compare_and_set(keys.unique(key), owner.encode(), None)
        except Exception as exc:  # noqa: BLE001  messages are held here; the key ends with its window
            logger.warning("The key of unique task %s could not be given free (%s); it ends with its time.", owner, exc)
