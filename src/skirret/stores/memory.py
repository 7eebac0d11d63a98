"""The in-process server that the memory broker, result backend and coordination share.

It is the specification of every other server: one lock, plain containers, and each step said in a few lines. A server
lives as long as its process and is found by name, so all clients of ``memory://name`` in one process meet in it.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from skirret import clock, states
from skirret.errors import BackendError, OperationalError
from skirret.message import Record
from skirret.stores.expiring import Expiring

PRIORITIES = range(9, -1, -1)
"""The highest first, as they are taken."""

REPEAT_SECONDS = 30.0
"""How long a nonce is remembered."""

HINTS_KEPT = 10_000
"""Broadcasts kept for a listener that does not listen; the oldest go first."""


@dataclass(slots=True, kw_only=True, eq=False)
class Message:
    """One message and what the server knows beside its bytes. `place` orders it in its queue: smaller runs first."""

    queue: str
    raw: bytes
    task_id: str
    priority: int = 0
    due: float | None = None
    expires: float | None = None
    nonce: str = ""
    place: int = 0
    deliveries: int = 0
    crashes: int = 0
    first_delivered: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Grave:
    """One dead letter."""

    message: Message
    reason: str
    died: float


@dataclass(slots=True, eq=False)
class Listener:
    """One subscription: its topics (those ending in ``*`` match by prefix) and the hints that it has not read."""

    topics: tuple[str, ...]
    hints: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=HINTS_KEPT))

    def hears(self, topic: str) -> bool:
        """Whether this listener subscribed to `topic`."""
        return any(topic.startswith(want[:-1]) if want.endswith("*") else topic == want for want in self.topics)


@dataclass(slots=True)
class Bucket:
    """A token bucket: how full it was, and when (monotonic)."""

    tokens: float
    at: float


class Server:
    """One named server. Every method but `reach` is called with `changed` held; who waits for news waits on it.

    Args:
        name: the part after ``memory://``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.empty()

    def empty(self) -> None:
        """Start anew, with a lock that nobody holds."""
        self.changed = threading.Condition(threading.RLock())
        self.identity = f"memory:{os.getpid()}:{self.name}"
        self.unreachable = False
        self._places = itertools.count(1)
        # Messages
        self.queues: set[str] = set()
        self.ready: defaultdict[tuple[str, int], list[tuple[int, Message]]] = defaultdict(list)  # heaps by place
        self.waiting: list[tuple[float, int, Message]] = []  # a heap by due time
        self.held: dict[str, dict[int, Message]] = {}  # incarnation -> tag -> message
        self.beats: dict[str, int] = {}  # living incarnations
        self.graves: dict[str, Grave] = {}
        self.nonces: Expiring[bool] = Expiring()
        self.listeners: list[Listener] = []
        # Results
        self.results: Expiring[Record] = Expiring()
        # Coordination
        self.values: Expiring[bytes] = Expiring()
        self.counters: Expiring[int] = Expiring()
        self.sets: defaultdict[str, Expiring[bool]] = defaultdict(Expiring)
        self.leases: Expiring[str] = Expiring()
        self.buckets: dict[str, Bucket] = {}

    def reach(self, error: type[OperationalError | BackendError] = OperationalError) -> threading.Condition:
        """The lock, as a server's answer. Tests set `unreachable` to act a server that is down."""
        if self.unreachable:
            raise error(f"the in-process server {self.name!r} was made unreachable; set .unreachable = False")
        return self.changed

    # -- messages ------------------------------------------------------------------------------------------------

    def publish(self, messages: Sequence[Message]) -> None:
        """Add messages, but those whose nonce an earlier call brought. Within one call a nonce may be shared."""
        repeated = {message.nonce for message in messages if message.nonce and self.nonces.get(message.nonce)}
        for message in messages:
            if message.nonce not in repeated:
                self.add(message)
                if message.nonce:
                    self.nonces.put(message.nonce, True, REPEAT_SECONDS)

    def add(self, message: Message) -> None:
        """Put a message at the end of its queue, or to those that wait for their time."""
        message.place = next(self._places)
        self.queues.add(message.queue)
        if message.due is not None and message.due > clock.wall():
            heapq.heappush(self.waiting, (message.due, message.place, message))
            self.changed.notify_all()  # who waits may have to wake sooner now
        else:
            message.due = None
            self.put_back(message)

    def put_back(self, message: Message) -> None:
        """Put a message where it was in its queue: in front of all that came after it."""
        heapq.heappush(self.ready[message.queue, message.priority], (message.place, message))
        self.changed.notify_all()

    def wake_due(self) -> None:
        """Move the messages whose time has come to the ends of their queues, the soonest first."""
        now = clock.wall()
        while self.waiting and self.waiting[0][0] <= now:
            self.add(heapq.heappop(self.waiting)[2])

    def bury(self, message: Message, reason: str) -> None:
        """Make a message a dead letter."""
        self.graves[f"{next(self._places):x}"] = Grave(message=message, reason=reason, died=clock.wall())

    def next_due(self) -> float | None:
        """Seconds until the soonest waiting message is due, or None."""
        return max(0.0, self.waiting[0][0] - clock.wall()) if self.waiting else None

    # -- results -------------------------------------------------------------------------------------------------

    def write_result(self, record: Record) -> bool:
        """Store a result by compare-and-set; False where the old one stays."""
        old = self.results.get(record.task_id)
        if not states.supersedes(record.state, None if old is None else old.state):
            return False
        self.results.put(record.task_id, record, record.ttl)
        self.changed.notify_all()
        return True


_servers: dict[str, Server] = {}
_finding = threading.Lock()


def server(name: str) -> Server:
    """The server of that name in this process, made on first use."""
    with _finding:
        found = _servers.get(name)
        if found is None:
            found = _servers[name] = Server(name)
        return found


def _start_empty() -> None:
    # A fork's child shares no memory with its parent: what it inherited is a copy that nobody else sees, under a lock
    # that a thread of the parent may have held. It starts with empty servers instead.
    global _finding
    _finding = threading.Lock()
    for one in _servers.values():
        one.empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_empty)
