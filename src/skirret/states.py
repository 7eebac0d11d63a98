"""The states of a task, and which of two states weighs more. Names and sets are Celery 5.7's ``celery.states``."""

from __future__ import annotations

from typing import Final

PENDING: Final = "PENDING"
RECEIVED: Final = "RECEIVED"
STARTED: Final = "STARTED"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
REJECTED: Final = "REJECTED"
RETRY: Final = "RETRY"
IGNORED: Final = "IGNORED"

READY_STATES: Final = frozenset({SUCCESS, FAILURE, REVOKED})
UNREADY_STATES: Final = frozenset({PENDING, RECEIVED, STARTED, REJECTED, RETRY})
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED})
PROPAGATE_STATES: Final = frozenset({FAILURE, REVOKED})
ALL_STATES: Final = READY_STATES | UNREADY_STATES

# Highest first; None stands for every custom state.
PRECEDENCE: Final[tuple[str | None, ...]] = (
    SUCCESS,
    FAILURE,
    None,
    REVOKED,
    STARTED,
    RECEIVED,
    REJECTED,
    RETRY,
    PENDING,
)
_RANK = {name: rank for rank, name in enumerate(PRECEDENCE)}


def precedence(name: str) -> int:
    """Rank of a state: 0 weighs most; custom states rank between FAILURE and REVOKED."""
    return _RANK.get(name, _RANK[None])


class state(str):  # noqa: N801  Celery's public name
    """A state that compares by precedence: ``state(PENDING) < state(SUCCESS)``."""

    __slots__ = ()

    def __gt__(self, other: str) -> bool:
        return precedence(self) < precedence(other)

    def __ge__(self, other: str) -> bool:
        return precedence(self) <= precedence(other)

    def __lt__(self, other: str) -> bool:
        return precedence(self) > precedence(other)

    def __le__(self, other: str) -> bool:
        return precedence(self) >= precedence(other)


def supersedes(new: str, old: str | None) -> bool:
    """Whether a stored result in state `old` may be replaced by one in state `new`.

    A finished task never changes, except that SUCCESS beats an earlier FAILURE or REVOKED (a worker that was
    believed lost may have finished its work). While unfinished, the newest state wins.
    """
    if old is None or old not in READY_STATES:
        return True
    return new == SUCCESS and old != SUCCESS
