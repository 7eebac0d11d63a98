"""The supervisor: what it does when messages come, outcomes come, children die, and when it is told to stop.

One loop owns all of its state. Decisions are made by admission, dispatch and settle; here they are carried out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from skirret import clock
from skirret.message import Delivery, Malformed
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.wire.envelope import Head
from skirret.worker import admission
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import STALL, Dispatcher
from skirret.worker.durations import Durations
from skirret.worker.fetch import Fetcher, Taken
from skirret.worker.frames import Outcome, Report, Up
from skirret.worker.job import Job
from skirret.worker.loop import Loop, Timer
from skirret.worker.rules import Rules
from skirret.worker.settle import Records, after_crash, settlement

logger = logging.getLogger("skirret.worker")

ISOLATE_DELIVERIES = 3
"""A message that came back this often for unknown reasons runs alone in its child."""

EAGER_REFILL = 256
"""Ask for more before the last job is handed out, if at least so many can be taken."""

COLD_PATIENCE = 2.0
"""Seconds after which a cold stop ends, whatever has not answered."""


class Phase(Enum):
    """Where a worker is in its life."""

    RUNNING = "running"
    WARM = "waiting for running tasks"
    COLD = "killing running tasks"
    CLOSING = "settling"


class Children(Protocol):
    """What the supervisor needs of a pool."""

    children: list[ChildLine]

    def stop(self) -> None:
        """Ask all children to finish and leave."""

    def kill(self) -> bool:
        """End all children now; False where that cannot be done."""
        ...

    def replace(self, child: ChildLine) -> None:
        """Kill one child; another takes its place."""

    def isolate(self) -> None:
        """Offer a child in which a suspect runs alone, where the others have many slots."""


class Supervisor:
    """Between a fetcher and a pool.

    Args:
        loop: owns all of this state.
        rules: see ``Rules``.
    """

    def __init__(self, loop: Loop, rules: Rules) -> None:
        self.loop = loop
        self.rules = rules
        self.records = Records(rules)
        self.phase = Phase.RUNNING
        self.dispatcher = Dispatcher(Durations())
        self.pool: Children
        self.fetcher: Fetcher
        self.abandoned = False
        """Whether a task still runs that nobody waits for."""
        self._asked = False
        self._acking: dict[int, tuple[ChildLine, Job]] = {}
        self._settling: dict[int, tuple[ChildLine, Job]] = {}
        self._tick: Timer | None = None

    # -- messages

    def taken(self, taken: Taken) -> None:
        """Messages came: admit each, queue those that may run, settle the rest at once."""
        self._asked = False
        now = clock.wall()
        settlements: list[Settlement] = []
        jobs: list[Job] = []
        if self.phase is not Phase.RUNNING:
            self.fetcher.settle([Release(tag=delivery.tag) for delivery, _ in taken.deliveries])
            return
        for delivery, head in taken.deliveries:
            decision = self._decide(head, delivery, taken, now)
            if decision is admission.RUN and isinstance(head, Head):
                jobs.append(self._job(delivery, head))
            else:
                settlements.append(self._refused(delivery, head, decision))
        if settlements:
            self.fetcher.settle(settlements)
        self.dispatcher.add(jobs)
        self.pump()

    def settled(self, settlements: Sequence[Settlement], flags: Sequence[bool]) -> None:
        """Settlements were carried out, or refused because the message is not ours any more."""
        for done, carried_out in zip(settlements, flags, strict=True):
            finished = self._settling.pop(done.tag, None)
            if finished is not None:
                finished[0].settled(finished[1])
            elif (waiting := self._acking.pop(done.tag, None)) is not None:
                child, job = waiting
                child.reserved -= 1
                if carried_out:
                    job.acked = True
                    self._start_acked(child, job)
                continue
            if not carried_out:
                logger.warning("An outcome came too late: its message had been given to another worker.")
        self.pump()
        self._finish_if_done()

    def fenced(self) -> None:
        """Our lease ran out: what we hold runs elsewhere. Stop running it and begin anew."""
        self._asked = False
        self._acking.clear()
        for child, job in self._settling.values():
            child.settled(job)
        self._settling.clear()
        self.dispatcher.clear()
        for child in list(self.pool.children):
            child.reserved = 0
            # What was acknowledged before it began is ours alone: nobody else will ever run it.
            self.dispatcher.put_back([job for job in child.recall() if job.acked])
            foreign = [job for job in child.outstanding.values() if not job.acked]
            for job in foreign:
                job.stale = True
            if foreign and len(foreign) == len(child.outstanding):
                self.pool.replace(child)
        self.fetcher.begin_anew()
        self.pump()
        self._finish_if_done()

    # -- children

    def frames(self, child: ChildLine, frames: Sequence[Up]) -> None:
        """Outcomes and reports came up from a child."""
        now = clock.wall()
        settlements: list[Settlement] = []
        learn = self.dispatcher.learn
        for frame in frames:
            if isinstance(frame, Outcome):
                job = child.done(frame.seq)
                if frame.runtime >= 0:
                    learn(frame.name, frame.runtime)
                if job is None:
                    continue
                tag = job.delivery.tag
                if job.stale or job.acked:
                    child.settled(job)
                if job.acked:
                    self._follow_up(settlement(tag, frame, now=now))
                elif not job.stale:
                    self._settling[tag] = (child, job)
                    settlements.append(settlement(tag, frame, now=now))
            elif isinstance(frame, Report):
                self.fetcher.store(frame.records)
        if settlements:
            self.fetcher.settle(settlements)
        self.pump()
        self._finish_if_done()

    def died(self, child: ChildLine, unstarted: Sequence[Job], how: str, blame: bool) -> None:
        """A child is gone: what it had not started runs elsewhere, what it ran is judged."""
        self.dispatcher.put_back([job for job in unstarted if not job.stale])
        started = [job for job in child.outstanding.values() if not job.stale]
        child.outstanding.clear()
        # One slot works in order: all but the last had finished, only their reports are gone with the child.
        innocent, suspects = (started[:-1], started[-1:]) if child.slots == 1 else ([], started)
        self._release(innocent)
        if self.phase is Phase.COLD or not blame:
            self._release(suspects)
        else:
            self._convict(suspects, how)
        self._give_back()
        self.pump()
        self._finish_if_done()

    def pump(self) -> None:
        """Hand out what can be handed out, ask for more if there is room, and look again soon."""
        children = self.pool.children
        for child, job in self.dispatcher.assign(children):
            child.reserved += 1
            self._acking[job.delivery.tag] = (child, job)
            self.fetcher.settle([Ack(tag=job.delivery.tag)])
        if self.dispatcher.suspects:
            self.pool.isolate()
        if self.phase is Phase.RUNNING and not self._asked:
            want = self.dispatcher.want(children)
            if want >= EAGER_REFILL or (want > 0 and not self.dispatcher.pending):
                self._asked = True
                self.fetcher.want(want)
        if self._tick is None and self._needs_tick():
            self._tick = self.loop.call_later(STALL, self._ticked)

    # -- the end

    def stop(self) -> None:
        """Warm: start nothing more, give unstarted work back, wait for what runs."""
        if self.phase is not Phase.RUNNING:
            return
        self.phase = Phase.WARM
        self.fetcher.want(0)
        for child in self.pool.children:
            self.dispatcher.put_back(child.recall())
        self._give_back()
        running = sum(child.held() for child in self.pool.children)
        if running:
            logger.warning("Warm shutdown: %d task(s) still run; INT once more, or QUIT, stops at once.", running)
        if self.rules.grace is not None:
            self.loop.call_later(self.rules.grace, self.stop_now)
        self.pump()  # what is acknowledged already must run here: nobody else has it
        self._finish_if_done()

    def stop_now(self) -> None:
        """Cold: kill what runs and give it back; it is not recorded as failed."""
        if self.phase in {Phase.COLD, Phase.CLOSING}:
            return
        if self.phase is Phase.RUNNING:
            self.stop()
        if self.phase is Phase.WARM:
            self.phase = Phase.COLD
            logger.warning("Cold shutdown: running tasks are interrupted and go back to their queues.")
            if not self.pool.kill():
                self._abandon()
            self._give_back()
            self.loop.call_later(COLD_PATIENCE, self._finish)
            self._finish_if_done()

    def closed(self) -> None:
        """The fetcher has settled everything and let go, or cannot work at all."""
        self.phase = Phase.CLOSING
        self.pool.stop()
        self.loop.stop()

    # -- inside

    def _decide(self, head: Head | Malformed, delivery: Delivery, taken: Taken, now: float) -> admission.Decision:
        rules = self.rules
        try:
            return admission.admit(
                head,
                delivery,
                rules.tasks,
                now=now,
                revoked=taken.revoked,
                patience=rules.patience,
                deliveries=rules.deliveries,
            )
        except Exception as exc:
            # It is held, and so are those that came with it: none of them may be forgotten here.
            logger.exception("A bug while a message was admitted. Please report it.")
            return admission.Reject(f"malformed message: {exc!r}")

    def _job(self, delivery: Delivery, head: Head) -> Job:
        alone = delivery.crashes > 0 or delivery.deliveries >= ISOLATE_DELIVERIES
        return Job(delivery, head, early=not self.rules.tasks[head.task].acks_late, alone=alone)

    def _refused(self, delivery: Delivery, head: Head | Malformed, decision: admission.Decision) -> Settlement:
        match decision:
            case admission.Delay(due):
                return Defer(tag=delivery.tag, due=due)
            case admission.Wait(due):
                name = head.task if isinstance(head, Head) else ""
                logger.error("No task %r is registered here; its message is tried again later.", name)
                return Defer(tag=delivery.tag, due=due, counted="delivery")
            case admission.Drop(reason) if isinstance(head, Head):
                logger.info("Task %s[%s] %s", head.task, head.id, reason)
                return Ack(tag=delivery.tag, result=self.records.revoked(head, reason))
            case admission.Reject(reason):
                logger.error("A message of queue %r goes to the dead letters: %s", delivery.queue, reason)
                return DeadLetter(tag=delivery.tag, reason=reason, result=self.records.refused(head, reason))
        raise AssertionError(decision)

    def _start_acked(self, child: ChildLine, job: Job) -> None:
        if self.phase in {Phase.COLD, Phase.CLOSING}:
            self._lose([job], "stopped before it began")
        elif child in self.pool.children and child.ready:
            child.send([job])
        else:
            self.dispatcher.put_back([job])
        self.pump()

    def _follow_up(self, told: Settlement) -> None:
        """The outcome of a task that was acknowledged before it began."""
        if isinstance(told, Retry):
            self.fetcher.publish([told.publication])
        if isinstance(told, (Ack, Retry, DeadLetter)) and told.result is not None:
            self.fetcher.store([told.result])
        if isinstance(told, (Ack, DeadLetter)) and told.successors:
            self.fetcher.publish(told.successors)

    def _give_back(self) -> None:
        """While stopping: what waits goes back to the broker; what is acknowledged runs here, or is lost if we kill."""
        if self.phase is not Phase.RUNNING:
            self._release(self.dispatcher.clear(acked=self.phase is not Phase.WARM))

    def _release(self, jobs: Sequence[Job]) -> None:
        self._lose([job for job in jobs if job.acked], "stopped by its worker's end")
        held = [job for job in jobs if not (job.acked or job.stale)]
        # The last one first: each goes to the front of its queue, so that the old order comes out.
        self.fetcher.settle([Release(tag=job.delivery.tag) for job in reversed(held)])

    def _convict(self, jobs: Sequence[Job], how: str) -> None:
        now = clock.wall()
        self._lose([job for job in jobs if job.acked], how)
        for job in jobs:
            if job.acked:
                continue
            delivery, head = job.delivery, job.head
            logger.error("Task %s[%s]: its process was %s", head.task, head.id, how)
            traits = self.rules.tasks.get(head.task)
            if traits is not None and traits.reject_on_worker_lost is False:
                self.fetcher.settle([Ack(tag=delivery.tag, result=self.records.lost(head, how))])
                continue
            told = after_crash(
                delivery.tag, delivery.crashes, how, self.records.lost(head, how), limit=self.rules.crashes, now=now
            )
            self.fetcher.settle([told])

    def _lose(self, jobs: Sequence[Job], how: str) -> None:
        """Tasks acknowledged before they began cannot be given back: record what happened."""
        for job in jobs:
            record = self.records.lost(job.head, how)
            if record is not None:
                self.fetcher.store([record])

    def _abandon(self) -> None:
        """What runs cannot be killed: give it back all the same; the process ends without it."""
        for child in self.pool.children:
            self._release(list(child.outstanding.values()))
            self.abandoned = self.abandoned or bool(child.outstanding)
            child.outstanding.clear()

    def _needs_tick(self) -> bool:
        if self.dispatcher.waiting():
            return True
        return any(child.to_be_watched() for child in self.pool.children)

    def _ticked(self) -> None:
        self._tick = None
        self.dispatcher.take_back(self.pool.children)
        self._give_back()
        self.pump()
        if self.phase is Phase.RUNNING:
            self._release(self.dispatcher.hopeless())
        else:
            self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self.phase not in {Phase.WARM, Phase.COLD} or self._acking or self.dispatcher.waiting():
            return
        if not any(child.held() for child in self.pool.children):
            self._finish()

    def _finish(self) -> None:
        if self.phase is not Phase.CLOSING:
            self.phase = Phase.CLOSING
            self.pool.stop()
            self.fetcher.finish()
