"""The results that came to this process: kept until they are forgotten or their time is over, and never too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from skirret import clock, loggers, states
from skirret.backends.rpc.letter import Letter

logger = loggers.own("skirret.results")


@dataclass(slots=True)
class _Found:
    state: str
    payload: bytes
    until: float | None
    """By the monotonic clock; None is without end."""


class Kept:
    """Results by task id. Used with its owner's lock held.

    Args:
        most: how many are kept; None is without bound. Those that were read go first, then the oldest.
        life: seconds for which a result is kept that does not say; None is without end.
    """

    def __init__(self, most: int | None, life: float | None) -> None:
        self._most = most
        self._life = life
        self._unread: OrderedDict[str, _Found] = OrderedDict()
        self._read: OrderedDict[str, _Found] = OrderedDict()
        self._warned = False

    def put(self, letter: Letter) -> bool:
        """Keep what came; False where what is there stays (``states.supersedes``)."""
        old = self._get(letter.task_id)
        if old is not None and not states.supersedes(letter.state, old.state):
            return False
        life = self._life if letter.ttl is None else letter.ttl
        self._drop(letter.task_id)
        until = None if life is None else clock.monotonic() + life
        self._unread[letter.task_id] = _Found(letter.state, letter.payload, until)
        if self._most is not None and len(self._unread) + len(self._read) > self._most:
            self._make_room()
        return True

    def _make_room(self) -> None:
        if self._read:
            self._read.popitem(last=False)
            return
        task_id, _ = self._unread.popitem(last=False)
        if not self._warned:
            self._warned = True
            logger.warning(
                "More than %d results came to this process and nobody read them; the oldest are dropped, that of task "
                "%s first. Send tasks whose results nobody reads with ignore_result=True, or raise result_cache_max.",
                self._most,
                task_id,
            )

    def fetch(self, task_ids: Iterable[str]) -> dict[str, bytes]:
        """The payloads of those that are here, which count as read if they are finished."""
        return {task_id: found.payload for task_id in task_ids if (found := self._look(task_id)) is not None}

    def ready(self, task_ids: Iterable[str]) -> dict[str, bytes]:
        """The payloads of those that are here and in a ready state, which count as read."""
        return {
            task_id: found.payload
            for task_id in task_ids
            if (found := self._look(task_id)) is not None and found.state in states.READY_STATES
        }

    def is_ready(self, task_id: str) -> bool:
        """Whether it is here and in a ready state."""
        found = self._get(task_id)
        return found is not None and found.state in states.READY_STATES

    def forget(self, task_ids: Iterable[str]) -> int:
        """Drop these; how many there were."""
        return sum(self._drop(task_id) for task_id in dict.fromkeys(task_ids) if self._get(task_id) is not None)

    def drop_ended(self) -> int:
        """Drop those whose time is over; how many."""
        now = clock.monotonic()
        ended = [
            task_id
            for kind in (self._unread, self._read)
            for task_id, found in kind.items()
            if found.until is not None and found.until <= now
        ]
        return sum(self._drop(task_id) for task_id in ended)

    def _look(self, task_id: str) -> _Found | None:
        found = self._get(task_id)
        if found is not None and found.state in states.READY_STATES and task_id in self._unread:
            self._read[task_id] = self._unread.pop(task_id)
        return found

    def _get(self, task_id: str) -> _Found | None:
        found = self._unread.get(task_id) or self._read.get(task_id)
        if found is not None and found.until is not None and found.until <= clock.monotonic():
            self._drop(task_id)
            return None
        return found

    def _drop(self, task_id: str) -> bool:
        return self._unread.pop(task_id, None) is not None or self._read.pop(task_id, None) is not None
