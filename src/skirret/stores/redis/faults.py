"""Puts what Redis, its driver or the network reports into words that say what to do: the one border for errors."""

from __future__ import annotations

from skirret.errors import OperationalError

AGAIN = frozenset({"READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "NOREPLICAS"})
"""Replies of a server that is not, or not yet, the one to talk to: the line is dropped and the call may be repeated."""

_ADVICE = {
    "OOM": "it is out of memory (maxmemory). Nothing was stored; give it more memory or let workers drain it",
    "MISCONF": "it cannot save to its disk. Nothing was stored; see the server's log and free some disk space",
    "NOREPLICAS": "too few replicas are connected (min-replicas-to-write). Nothing was stored",
    "READONLY": "it is a replica, or was made one just now. Nothing was stored; name the master, or use sentinel://",
    "LOADING": "it is loading its data after a start. Nothing was stored; try again in a moment",
    "MASTERDOWN": "it is a replica that has lost its master. Nothing was stored; try again after the failover",
    "CLUSTERDOWN": "the cluster is down: some slots are not served. Nothing was stored; try again after the failover",
    "TRYAGAIN": "the cluster is moving these keys. Nothing was stored; try again in a moment",
    "BUSY": "it is busy with somebody's script. Nothing was stored; try again, or see SCRIPT KILL",
    "NOAUTH": "it wants a password: redis://:password@host:port/db",
    "WRONGPASS": "user name or password is wrong",
    "NOPERM": "this user may not do that; see the permissions that the manual lists for Redis",
    "WRONGTYPE": "a key that Skirret or Celery uses holds something else; another program shares this database",
}


class Refused(Exception):
    """The server answered with an error. `code` is its first word, such as ``OOM``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = _code(text)


class Broken(Exception):
    """The line to the server is gone, and what was sent may or may not have been done.

    Args:
        cause: what the operating system or the driver said.
        timed_out: the server did not answer in time.
    """

    def __init__(self, cause: BaseException | str, *, timed_out: bool = False) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.timed_out = timed_out


def _code(text: str) -> str:
    first = text.split(" ", 1)[0].rstrip(":")
    if first in _ADVICE or first in {"MOVED", "ASK", "NOSCRIPT", "FENCED"}:
        return first
    # Redis 6.2 puts what a command of a script answered behind words of its own.
    for code in ("OOM", "READONLY", "NOREPLICAS", "MISCONF", "WRONGTYPE", "NOPERM", "MASTERDOWN", "CLUSTERDOWN"):
        if f"-{code} " in text or f": {code} " in text:
            return code
    return first


def in_words(exc: Broken | Refused, where: object) -> OperationalError:
    """Our error for one of theirs; `where` names the server."""
    if isinstance(exc, Refused):
        advice = _ADVICE.get(exc.code)
        if advice:
            return OperationalError(f"the {where} refused: {advice} ({exc})")
        return OperationalError(f"the {where} refused: {exc}")
    if exc.timed_out:
        return OperationalError(f"the {where} did not answer in time; it may be down, frozen or cut off ({exc})")
    return OperationalError(f"the {where} cannot be reached: {exc}. Check that it runs and that the address is right")
