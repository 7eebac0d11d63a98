"""One job's wish to begin, where that is for the whole fleet to decide."""

from __future__ import annotations


class Claim:
    """A held message whose task has limits across the fleet.

    Args:
        tag: the message.
        early: it is acknowledged before it runs, so its acknowledgement does not end it.
        task: whose rate it is.
        rate: how many of the task begin a second, everywhere; 0.0 is no limit.
        slots: the key among whose tasks it counts; "" is none.
        most: how many of that key may run at a time, everywhere.
        frees: its start gives free the key that makes it the only one.
    """

    __slots__ = ("early", "frees", "most", "rate", "since", "slots", "tag", "task")

    def __init__(
        self,
        tag: int,
        *,
        early: bool,
        task: str,
        rate: float = 0.0,
        slots: str = "",
        most: int = 0,
        frees: bool = False,
    ) -> None:
        self.tag = tag
        self.early = early
        self.task = task
        self.rate = rate
        self.slots = slots
        self.most = most
        self.frees = frees
        self.since = 0.0  # when it began to wait here, in monotonic seconds
