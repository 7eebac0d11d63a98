"""The names of what Skirret keeps on a Redis server for itself; names that it shares with Celery are in ``wire``."""

from __future__ import annotations

VERSION = 1
"""The layout told by these names and by the scripts that use them; kept under `Keys.layout`."""


class Keys:
    """Names within one slot.

    Args:
        prefix: Celery's ``global_keyprefix``.
        tag: in a cluster, the queue that these names belong to; it becomes a hash tag.
    """

    __slots__ = ("base", "consumers", "counts", "fenced", "nonces", "nonces_before", "nonces_turn", "prefix", "queues",
                 "serial")  # fmt: skip

    def __init__(self, prefix: str = "", tag: str = "") -> None:
        self.prefix = prefix
        base = self.base = f"{prefix}skirret:" + (f"{{{tag}}}:" if tag else "")
        self.consumers = f"{base}consumers"
        """HASH incarnation -> its beat."""
        self.fenced = f"{base}fenced"
        """SET of incarnations that were fenced and still hold work."""
        self.counts = f"{base}counts"
        """HASH digest of a ready message -> how often it was delivered before; messages never delivered have none."""
        self.nonces = f"{base}nonces"
        """SET of what was published lately; becomes `nonces_before` each time `nonces_turn` has expired."""
        self.nonces_before = f"{base}nonces:before"
        self.nonces_turn = f"{base}nonces:turn"
        self.queues = f"{base}queues"
        """SET of the queues that exist."""
        self.serial = f"{base}serial"
        """Counter that orders what the server's clock does not."""

    @property
    def layout(self) -> str:
        """STRING: the version of the layout."""
        return f"{self.base}layout"

    def held(self, cid: str) -> str:
        """HASH of what an incarnation holds: ``tag:ready list`` -> counters and message; ``seq`` and ``done``."""
        return f"{self.base}held:{cid}"

    def due(self, queue: str) -> str:
        """ZSET of a queue's messages that wait for their time, in seconds since the epoch."""
        return f"{self.base}due:{queue}"

    def dead(self, queue: str) -> str:
        """STREAM of a queue's dead letters."""
        return f"{self.base}dead:{queue}"

    def idle(self, queue: str) -> str:
        """SET of incarnations that wait for a message of this queue."""
        return f"{self.base}idle:{queue}"

    def state(self, task_id: str) -> str:
        """STRING: the state of a result whose payload does not tell it; lives as long as that (see ``results.lua``)."""
        return f"{self.base}state:{task_id}"

    def wake(self, cid: str) -> str:
        """Channel on which an incarnation is woken."""
        return f"{self.prefix}skirret:wake:{cid}"

    def hints(self, topic: str) -> str:
        """Channel of a broadcast."""
        return f"{self.prefix}skirret:hint:{topic}"
