"""One worker incarnation's hold on queues of RabbitMQ."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skirret import clock, loggers
from skirret.brokers.amqp.feed import Sent
from skirret.brokers.amqp.following import Held, follow, is_moved
from skirret.brokers.amqp.lane import Lane
from skirret.brokers.amqp.resends import Resends
from skirret.brokers.amqp.sending import Sending
from skirret.brokers.amqp.supply import Supply
from skirret.brokers.amqp.topology import Topology
from skirret.brokers.base import Consumer, Limits
from skirret.errors import OperationalError
from skirret.message import Delivery
from skirret.outcome import Release, Settlement
from skirret.stores.amqp import frames
from skirret.stores.amqp.publishing import CHANNEL, Outgoing
from skirret.stores.amqp.session import Session
from skirret.stores.amqp.store import Store

logger = loggers.own("skirret.broker")

ADOPTION = 0.7
"""Seconds that a settlement waits for a message that a broken line gave back to its queue."""

JUST_NOW = 0.05
"""Seconds for which a sign of the server holds."""

FORGETFUL = (
    "Queue %r is a classic queue, in which RabbitMQ does not count how often a message's worker died. A task that ends "
    "its whole worker is run again without an end; one that ends only its own process is counted as everywhere. A "
    "quorum queue counts both"
)

LAST_WORD = 1.0
"""Seconds for good manners at the end."""


@dataclass(slots=True)
class _Begun:
    """Settlements that the server was told of: `hear` waits until it has seen them, and then these are `over`."""

    hear: Callable[[], bool]
    settlements: Sequence[Settlement]
    flags: list[bool]
    over: dict[int, Held]


class AmqpConsumer(Consumer):
    """See ``Consumer``. A line that breaks is replaced by a whole new session; work in hand goes on meanwhile.

    What was held then is back in its queue. If the server sends it here again, it is recognised by its content and is
    held as before, without a second run; if it goes to another worker, its settlement here says False.

    Args:
        store, topology, sending: the server.
        queues, cid, limits: as of ``Broker.consumer``.
        by_priority: whether messages have priorities.
    """

    portion = 200  # 4 ms of reading

    def __init__(
        self,
        store: Store,
        topology: Topology,
        sending: Sending,
        queues: Sequence[str],
        cid: str,
        limits: Limits,
        *,
        by_priority: bool = False,
    ) -> None:
        self.cid = cid
        self._sending = sending
        self._limits = limits
        self._held: dict[int, Held] = {}
        self._lost: dict[tuple[str, tuple[bytes, str]], deque[Held]] = {}
        self._resends = Resends()
        self._forgetful: set[str] = set()
        self._repeated: list[int] = []
        self._doomed: list[tuple[str, Sent]] = []
        self._tags = itertools.count(1)
        self._begun: _Begun | None = None
        self._lane = Lane(store, self._line_lost, self._tap_ended)
        self._supply = Supply(self._lane, topology, cid, by_priority=by_priority)
        self._supply.set(queues)
        self._lane.tell(b"")
        self.identity = store.identity

    def _line_lost(self) -> None:
        self._supply.lost()
        self._repeated.clear()
        self._doomed.clear()
        for held in self._held.values():
            if held.tag:
                held.tag = 0
                self._lost.setdefault((held.queue, held.letter.copy), deque()).append(held)

    def _tap_ended(self, name: str) -> None:
        self._supply.ended(name)

    # -- taking ----------------------------------------------------------------------------------------------------

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """Take what the server sent, else wait for it. Order is by priority, then the queues take turns."""
        deadline = clock.Deadline(timeout)
        supply, lane = self._supply, self._lane
        if lane.stands:
            try:
                self._gather()
            except OperationalError as exc:
                logger.warning("A line to RabbitMQ broke, and a new one is made: %s", exc)
        grown = supply.widen(limit)
        is_sure = False  # that the server has nothing for us
        interrupted = False
        while True:
            interrupted = lane.was_interrupted() or interrupted
            if grown or (deadline.passed() and not is_sure):
                lane.tell(b"")  # whatever it sent before its answer is here then
                is_sure = True
            self._gather()
            grown = supply.count < limit and supply.is_starved and supply.widen(limit, starved=True)
            if grown:
                continue
            found = self._next(limit)
            if found or interrupted or (deadline.passed() and is_sure):
                return found
            self._gather(min(1.0, deadline.left() or 0.0))

    def _next(self, limit: int) -> list[Delivery]:
        """The next messages of those that are here, read only now: what is read beforehand would let others wait."""
        found: list[Delivery] = []
        self._resends.forget()
        for queue, sent in self._supply.next(limit):
            came = self._resends.is_one(queue, sent.letter.nonce)
            if came and not sent.arrived.redelivered:  # else it may be the one that came, back from a broken line
                self._repeated.append(sent.tag)
            elif sent.letter.deliveries >= self._limits.deliveries:
                self._doomed.append((queue, sent))
            else:
                found.append(self._hold(queue, sent))
        try:
            self._clear()
        except Exception as exc:
            if not found:
                raise
            # These are held already. The others are tried again, or, if the line broke, all is back at the server.
            logger.warning("Messages that nobody shall have could not be settled yet: %s", exc)
        return found

    def _hold(self, queue: str, sent: Sent) -> Delivery:
        tag = next(self._tags)
        found = sent.letter
        found.first_delivered = found.first_delivered or clock.wall()
        if found.forgotten and queue not in self._forgetful:
            self._forgetful.add(queue)
            logger.warning(FORGETFUL, queue)
        self._held[tag] = Held(queue, sent.tag, found)
        return Delivery(
            tag=tag, queue=queue, raw=found.raw, deliveries=found.deliveries, crashes=found.crashes,
            first_delivered=found.first_delivered,
        )  # fmt: skip

    def _gather(self, seconds: float = 0.0) -> None:
        """Put what came where it belongs: to who held it before, or to its queue's supply."""
        for feed, sent in self._supply.arrive(self._lane.collect(seconds)):
            if not (self._lost and sent.arrived.redelivered and self._adopt(feed.queue, sent)):
                feed.add(sent)

    def _clear(self) -> None:
        """Settle what nobody shall have: what a publisher sent twice, and what came back too often."""
        if self._repeated:
            self._answer(self._repeated, [])
            self._repeated.clear()
        if self._doomed:
            self._bury()

    def _adopt(self, queue: str, sent: Sent) -> bool:
        key = (queue, sent.letter.copy)
        waiting = self._lost.get(key)
        if not waiting:
            return False
        waiting.popleft().tag = sent.tag
        if not waiting:
            del self._lost[key]
        return True

    def _bury(self) -> None:
        """Send what came back too often to the dead letters; what fails is tried again with the next that comes."""
        gone = []
        for queue, sent in self._doomed:
            reason = f"its worker vanished; that was counted delivery {sent.letter.deliveries} of it"
            gone.append(self._sending.to_dead(queue, sent.letter, reason))
        self._sending.send(gone)
        tags = [sent.tag for _, sent in self._doomed]
        self._doomed.clear()
        self._answer(tags, [])

    def rest(self) -> None:
        """Give back what was sent ahead, and let nothing more come: somebody else has room for it."""
        if self._lane.stands:
            shared: list[str] = []
            for _ in range(2):  # what was on its way when the first taps closed waits behind the second look
                shared = self._supply.rest()
                self._gather()
            if shared:
                self._give_back(self._supply.drain(*shared))

    def _give_back(self, unwanted: list[tuple[str, Sent]]) -> None:
        """Return to their queues what nobody began.

        So that a message is not given up for having been sent ahead, one that came back before is moved. What a
        publisher sent twice does not go to others, who would not know it.
        """
        try:
            back: list[int] = []
            repeated: list[int] = []
            moving: dict[int, Outgoing] = {}
            for queue, sent in unwanted:
                if not sent.arrived.redelivered and self._resends.knows(queue, sent.letter.nonce):
                    repeated.append(sent.tag)
                    continue
                made = self._sending.again(queue, sent.letter) if is_moved(sent.letter) else None
                if made is None:
                    back.append(sent.tag)
                else:
                    moving[sent.tag] = made
            self._move(moving)
            self._answer(repeated, back)
        except BaseException:
            self._supply.keep(unwanted)
            raise

    def _move(self, moving: dict[int, Outgoing]) -> None:
        """Store copies of messages, by their tags, and settle those whose copy is stored."""
        waiting = list(moving.values())
        try:
            self._sending.send(waiting)
        finally:
            left = set(map(id, waiting))
            self._answer([tag for tag, made in moving.items() if id(made) not in left], [])

    # -- settling --------------------------------------------------------------------------------------------------

    def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Publish what follows, confirmed; then acknowledge, and wait until the server has seen it."""
        self.begin_settle(settlements)
        return self.end_settle()

    def begin_settle(self, settlements: Sequence[Settlement]) -> None:
        """As `settle`, without the wait."""
        found = [(one, self._held.get(one.tag)) for one in settlements]
        brings = [[] if held is None else follow(self._sending, held, one) for one, held in found]
        if any(brings):  # better to hear now than after they are stored that these messages went to others
            self._gather()
        self._find_lost([held for _, held in found if held is not None])
        first = {one.tag: one for one in reversed(settlements)}  # who settles a message twice has settled it once
        told = [
            (one, then, held if first[one.tag] is one else None)
            for (one, held), then in zip(found, brings, strict=True)
        ]
        ours = [(one, then, held) for one, then, held in told if held is not None and held.tag]
        left = [message for _, then, _ in ours for message in then]
        try:
            self._sending.send(left)
        finally:  # what is stored is not stored again, should this be repeated
            for one, then, held in ours:
                if then:
                    held.follow = one, [message for message in then if message in left]
        released = [(one, held) for one, _, held in ours if isinstance(one, Release)]
        for queue in {held.queue for _, held in released}:
            self._supply.shut(queue)  # or what is released would be sent here again, where there is no room for it
        # Those that began their way as new messages do not go back.
        back = {held.tag for one, held in released if held.follow is None or held.follow[0] != one}
        hear = self._say([held.tag for *_, held in ours if held.tag not in back], list(back))
        for one, _, mine in told:
            if mine is not None and not mine.tag:  # it may come back at any time, and is another delivery then
                self._forget(one.tag, mine)
        settled = {id(one) for one, _, _ in ours}
        self._begun = _Begun(
            hear=hear,
            settlements=settlements,
            flags=[id(one) in settled for one in settlements],
            over={one.tag: held for one, _, held in ours},
        )

    def end_settle(self) -> list[bool]:
        """Wait until the server has seen what was begun; if its line broke meanwhile, see what became of it."""
        begun, self._begun = self._begun, None
        if begun is None:
            raise RuntimeError("no settlements are begun")
        if not begun.hear():
            return self.settle(begun.settlements)
        for tag, held in begun.over.items():
            self._forget(tag, held)
        return begun.flags

    def _forget(self, tag: int, held: Held) -> None:
        del self._held[tag]
        if not self._lost:
            return
        waiting = self._lost.get((held.queue, held.letter.copy), ())
        if held in waiting:
            self._lost[held.queue, held.letter.copy].remove(held)

    def _find_lost(self, some: Sequence[Held]) -> None:
        """Wait a moment for messages that a broken line gave back: most likely they come here again."""
        lost = [held for held in some if not held.tag]
        if not lost:
            return
        deadline = clock.Deadline(ADOPTION)
        self._supply.widen(len(self._lost) + self._supply.count + 1)
        while any(not held.tag for held in lost) and not deadline.passed():
            self._lane.was_interrupted()  # or it would not wait at all
            self._gather(deadline.left() or 0.0)

    def _answer(self, gone: list[int], back: list[int]) -> None:
        """Tell the server what is settled, and wait until it has heard."""
        self._say(gone, back)()

    def _say(self, gone: list[int], back: list[int]) -> Callable[[], bool]:
        """Tell the server what is settled, in as few frames as can be; what is returned waits until it has heard."""
        if not gone and not back:
            return lambda: True
        done = set(gone)
        kept = min(self._supply.open.keys() - done, default=None)
        together = {tag for tag in done if kept is None or tag < kept}
        data = [frames.ack(CHANNEL, max(together), multiple=True)] if together else []
        data += [frames.ack(CHANNEL, tag) for tag in sorted(done - together)]
        # The last one first: each goes to the front of its queue, so that they stand there in their order.
        data += [frames.nack(CHANNEL, tag) for tag in sorted(back, reverse=True)]
        hear = self._lane.begin(b"".join(data))
        self._supply.done([*gone, *back])  # whatever is asked from now on, the server knows of these before
        return hear

    # -- the rest --------------------------------------------------------------------------------------------------

    def beat(self) -> bool:
        """Ask the server for a sign, unless it gave one just now; True, because it takes nothing from who answers."""
        if not self._lane.heard_within(JUST_NOW):
            self._lane.tell(b"")
        return True

    def reap(self) -> int:
        """Nothing to do: the server gives back what a broken line held. 0, once it has answered."""
        self._lane.tell(b"")
        return 0

    def counts(self, queue: str) -> tuple[int, int]:
        """How many messages of a queue wait here untaken, and how many are held; for ``size``, from any thread."""
        held = sum(one.queue == queue and one.tag > 0 for one in list(self._held.values()))
        return self._supply.count_of(queue), held

    def interrupt(self) -> None:
        """Make the take that waits, or else the next one, return at once."""
        self._lane.interrupt()

    def queues(self, names: Sequence[str]) -> None:
        """Consume exactly these from now on; what was sent ahead from others goes back."""
        dropped = [name for name in self._supply.queues if name not in names]
        if dropped and self._lane.stands:
            for name in dropped:
                self._supply.shut(name)
            self._gather()
            self._give_back(self._supply.drain(*dropped))
        self._supply.set(names)

    def close(self) -> None:
        """Give back what is held and what was sent ahead, and hang up."""
        self._lane.close(self._leave)
        self._held.clear()
        self._lost.clear()
        self._supply.set([])

    def _leave(self, session: Session) -> None:
        # First, or what goes back would be sent here again, and acknowledgements forgotten that the channel holds back.
        self._supply.cancel_all(session, LAST_WORD)
        tags = sorted({*self._supply.open, *(one.tag for one in session.arrived)}, reverse=True)
        session.settle(CHANNEL, b"".join(frames.nack(CHANNEL, tag) for tag in tags), LAST_WORD)
