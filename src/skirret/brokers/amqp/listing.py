"""Reading a whole queue without taking from it: dead letters, and the names of queues."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from pamqp import commands

from skirret import clock
from skirret.brokers.amqp import letter
from skirret.brokers.amqp.topology import REGISTRY, dead_queue
from skirret.brokers.base import Dead
from skirret.stores.amqp import frames
from skirret.stores.amqp.faults import NOT_FOUND, Broken, Refused, in_words
from skirret.stores.amqp.session import Arrived, Session
from skirret.stores.amqp.store import Store

CHANNEL = 1
READER = "reader"
MOST = 20_000
"""Messages that are read at most, the oldest: a queue of dead letters has no end, and this process has."""

QUIET = 0.5
"""Seconds without another message after which no more is coming."""

TURN = 0.05
"""Seconds between two looks whether another reader is done: they take turns."""

GIVE_BACK = 1.0
"""Seconds within which what was read is back; if it is not, a stranger consumes it, or the server is in trouble."""

ACCESS_REFUSED, RESOURCE_LOCKED = 403, 405


class Reading:
    """All messages of a queue, held for as long as it is read; nobody else reads it meanwhile.

    Args:
        session: a line of its own.
        arrived: what the queue holds, the oldest first.
    """

    def __init__(self, session: Session, queue: str, arrived: list[Arrived]) -> None:
        self._session = session
        self._queue = queue
        self.arrived = arrived
        self._kept = {one.tag for one in arrived}

    def drop(self, ones: Sequence[Arrived], seconds: float) -> None:
        """Take these out of the queue for good."""
        if ones:
            self._session.settle(CHANNEL, b"".join(frames.ack(CHANNEL, one.tag) for one in ones), seconds)
            self._kept -= {one.tag for one in ones}

    def give_back(self, deadline: clock.Deadline) -> None:
        """Return the others to the queue, by the end of the channel, and wait until they are there.

        Of a quorum queue's acknowledgements a channel holds those back that come while 32 are on their way through the
        Raft log, and forgets them if it ends. A consumer's end goes the same way and is answered, so it comes first.
        """
        left = max(0.05, deadline.left() or 0.0)
        self._session.call(CHANNEL, commands.Basic.Cancel(consumer_tag=READER), commands.Basic.CancelOk, seconds=left)
        if not self._kept:
            return
        self._session.call(CHANNEL, commands.Channel.Close(200, "", 0, 0), commands.Channel.CloseOk, seconds=left)
        self._session.open_channel(CHANNEL, left)
        while _counts(self._session, self._queue, left)[0] < len(self._kept) and not deadline.passed():
            time.sleep(0.002)  # a quorum queue takes its time


@contextlib.contextmanager
def reading(store: Store, queue: str) -> Iterator[Reading]:
    """Hold all messages of a queue; what is not dropped returns to its place. A queue that is not there is empty.

    Raises:
        OperationalError: the server cannot be reached, or somebody else reads it for too long.
    """
    deadline = clock.Deadline(store.address.deadline)
    session = store.open()
    try:
        found = Reading(session, queue, _all(session, queue, deadline))
        yield found
        with contextlib.suppress(Broken, Refused):  # the line's end gives it back as well
            found.give_back(clock.Deadline(GIVE_BACK))
    except (Broken, Refused) as exc:
        raise in_words(exc, store.address) from exc
    finally:
        session.close()


def _begin(session: Session, queue: str, deadline: clock.Deadline) -> None:
    """Wait until no other of us reads the queue.

    Quorum queues do not heed that a consumer wants to be alone, and would share the messages out. So whoever reads
    owns an exclusive queue, which the server drops with its line. Who may make none reads without a turn.
    """
    name = f"skirret.reader.{hashlib.sha256(queue.encode()).hexdigest()[:24]}"
    mine = commands.Queue.Declare(queue=name, exclusive=True)
    while True:
        left = max(0.05, deadline.left() or 0.0)
        try:
            session.call(CHANNEL, mine, commands.Queue.DeclareOk, seconds=left)
            return
        except Refused as exc:
            if exc.code not in {ACCESS_REFUSED, RESOURCE_LOCKED} or deadline.passed():
                raise
            session.open_channel(CHANNEL, left)
            if exc.code == ACCESS_REFUSED:
                return
            time.sleep(TURN)


def _all(session: Session, queue: str, deadline: clock.Deadline) -> list[Arrived]:
    _begin(session, queue, deadline)
    left = max(0.05, deadline.left() or 0.0)
    try:
        count = _come_back(session, queue, left)
        if not count:
            return []
        consume = commands.Basic.Consume(queue=queue, consumer_tag=READER, exclusive=True, arguments={})
        session.consume(CHANNEL, consume, MOST, left)
    except Refused as exc:
        if exc.code != NOT_FOUND:
            raise
        session.open_channel(CHANNEL, left)
        return []
    quiet = clock.Deadline(QUIET)
    while len(session.arrived) < min(count, MOST) and not (deadline.passed() or quiet.passed()):
        before = len(session.arrived)
        session.pump(0.1)
        if len(session.arrived) > before:
            quiet = clock.Deadline(QUIET)
    return list(session.arrived)


def _come_back(session: Session, queue: str, seconds: float) -> int:
    """How many messages there are, once a reader whose line broke has given back what it held."""
    patience = clock.Deadline(GIVE_BACK)
    while True:
        count, readers = _counts(session, queue, seconds)
        if not readers or patience.passed():
            return count
        time.sleep(TURN)


def _counts(session: Session, queue: str, seconds: float) -> tuple[int, int]:
    """Messages that nobody holds, and consumers."""
    declared = commands.Queue.Declare(queue=queue, passive=True)
    told = session.call(CHANNEL, declared, commands.Queue.DeclareOk, seconds=seconds)
    return int(told.message_count), int(told.consumer_count)


def dead(store: Store, queue: str, limit: int) -> list[Dead]:
    """The dead letters of a queue, the newest first."""
    with reading(store, dead_queue(queue)) as found:
        return [_dead(queue, one) for one in reversed(found.arrived)][:limit]


def _dead(queue: str, arrived: Arrived) -> Dead:
    read = letter.read(arrived, is_dead=True)
    return Dead(
        key=f"{queue}\x1f{letter.digest(arrived)}",
        queue=queue,
        task_id=letter.task_id(read),
        raw=read.raw,
        reason=read.reason or "RabbitMQ gave it up",
        died=read.died,
        deliveries=read.deliveries,
        crashes=read.crashes,
    )


def chosen(found: Reading, digests: Sequence[str]) -> list[Arrived]:
    """Those messages that the digests name, each once."""
    wanted = Counter(digests)
    picked: list[Arrived] = []
    for one in found.arrived:
        name = letter.digest(one)
        if wanted[name] > 0:
            wanted[name] -= 1
            picked.append(one)
    return picked


def by_queue(keys: Sequence[str]) -> dict[str, list[str]]:
    """Keys of dead letters as queue -> digests."""
    found: dict[str, list[str]] = {}
    for key in keys:
        queue, _, name = key.rpartition("\x1f")
        found.setdefault(queue, []).append(name)
    return found


def names(store: Store) -> list[str]:
    """The queues that somebody noted and that are there, sorted; notes that say the same are made one."""
    with reading(store, REGISTRY) as found:
        seen: set[str] = set()
        twice: list[Arrived] = []
        for one in found.arrived:
            name = one.body.decode(errors="replace")
            if name in seen:
                twice.append(one)
            seen.add(name)
        found.drop(twice, store.address.deadline)
    return sorted(seen)
