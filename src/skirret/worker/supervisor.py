"""The supervisor: what it does when messages come, outcomes come and children die.

One loop owns all of its state. Decisions are made by admission, dispatch and settle; here they are carried out. What
was not finished goes to the losses, and the end of it all has a file of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from skirret import clock, loggers
from skirret.message import Delivery, Malformed
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.wire.envelope import Head
from skirret.worker import admission
from skirret.worker.autoscale import Autoscaler
from skirret.worker.child_line import ChildLine
from skirret.worker.condemned import Condemned
from skirret.worker.dispatch import STALL, Dispatcher
from skirret.worker.durations import Durations
from skirret.worker.early import EarlyAcks
from skirret.worker.ending import Children, Ending
from skirret.worker.events.tasks import TaskEvents
from skirret.worker.fetch import Fetcher, Taken
from skirret.worker.frames import Outcome, Report, Said, Stacks, Told, Up
from skirret.worker.gates import Gates
from skirret.worker.handler_line import NodeHooks
from skirret.worker.job import Job
from skirret.worker.limits import UNLIMITED, TimeLimits
from skirret.worker.loop import Loop, Timer
from skirret.worker.losses import Losses
from skirret.worker.recycling import Recycling
from skirret.worker.rules import Rules
from skirret.worker.settle import Records, settlement
from skirret.worker.strangers import Strangers

logger = loggers.own("skirret.worker")

EAGER_REFILL = 256
"""Ask for more before the last job is handed out, if at least so many can be taken."""


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
        self.gates = Gates(rules.tasks, enabled=rules.rate_limits)
        self.dispatcher = Dispatcher(Durations(), prefetch=rules.prefetch, lean=rules.lean, lives=rules.deliveries)
        self.losses = Losses(rules, self.records, self.dispatcher)
        self.scaler = Autoscaler(loop, self.dispatcher)
        self.condemned = Condemned(loop, self.dispatcher)
        self.recycling = Recycling(loop, rules.bounds, self.dispatcher)
        self.limits = TimeLimits(loop, rules.tasks, self._overdue)
        self.strangers = Strangers()
        self.pool: Children
        self.fetcher: Fetcher
        self.told: TaskEvents | None = None
        """Tells monitors of tasks, while they want to hear of them."""
        self.said: Callable[[Said], object] | None = None
        """Tells monitors what tasks send of their own."""
        self.hooks: NodeHooks | None = None
        """Tells hooks of the app that concern the worker, if it has any."""
        self.asking: set[Callable[[ChildLine, Stacks], object]] = set()
        """Who has asked the children what their tasks do, and waits for it."""
        self._asked = False
        self.early = EarlyAcks(self.gates, self._start_acked)
        self._settling: dict[int, tuple[ChildLine, Job]] = {}
        self._due = False
        self._tick: Timer | None = None
        self.ending = Ending(loop, self.dispatcher, self.losses, rules.times, self.early, self.pump)
        loop.before_wait = self.look

    def attach(self, pool: Children, fetcher: Fetcher) -> None:
        """Work with these children and this fetcher from now on.

        Raises:
            ImproperlyConfigured: tasks have limits across the fleet, and nothing is shared.
        """
        if self.gates:
            self.gates.check(shares=fetcher.shares)
        self.pool = self.ending.pool = self.condemned.pool = self.recycling.pool = pool
        self.scaler.pool = pool
        self.limits.children, self.limits.kills = pool.children, pool.kills
        self.fetcher = self.ending.taker = self.losses.server = self.gates.server = self.early.server = fetcher

    @property
    def children(self) -> list[ChildLine]:
        """The pool's children."""
        return self.pool.children

    @property
    def processed(self) -> int:
        """How many tasks ran here so far."""
        return sum(self.dispatcher.durations.counts.values())

    # -- messages

    def taken(self, taken: Taken) -> None:
        """Messages came: admit each, queue those that may run, settle the rest at once."""
        self._asked = False
        now = clock.wall()
        settlements: list[Settlement] = []
        jobs: list[Job] = []
        if not self.ending.running:
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
        if self.gates:
            jobs = self.gates.through(jobs)
        self._begin(jobs)

    def _begin(self, jobs: Sequence[Job]) -> None:
        if crowd := self.dispatcher.crowd(jobs, self.pool.children):
            jobs = [job for job in jobs if job not in crowd]
            self.gates.returned(crowd)
            self.losses.put_off(crowd)
        if logger.isEnabledFor(logging.INFO):
            for job in jobs:
                logger.info("Task %s[%s] received", job.head.task, job.head.id)
        if self.told is not None:
            self.told.received(jobs)
        if self.hooks is not None:
            self.hooks.received(jobs)
        self.dispatcher.add(jobs)
        self._due = True

    def settled(self, settlements: Sequence[Settlement], flags: Sequence[bool]) -> None:
        """Settlements were carried out, or refused because the message is not ours any more."""
        for done, carried_out in zip(settlements, flags, strict=True):
            finished = self._settling.pop(done.tag, None)
            if finished is not None:
                finished[0].settled(finished[1])
            elif self.early.answered(done.tag, carried_out=carried_out):
                continue
            if not carried_out:
                logger.warning("An outcome came too late: its message had been given to another worker.")
        self.dispatcher.left(done.tag for done in settlements)
        self._due = True

    def claimed(self, granted: Sequence[int], refused: Sequence[tuple[int, float]]) -> None:
        """The fleet's limits were asked: these may begin, those come back later."""
        jobs = self.gates.answered(granted, refused)
        if self.ending.running:
            self._begin(jobs)
        else:
            self.losses.release(jobs)
            self._due = True

    def fenced(self) -> None:
        """Our lease ran out: what we hold runs elsewhere. Stop running it and begin anew."""
        self._asked = False
        self.gates.forget()
        self.early.forget()
        for child, job in self._settling.values():
            child.settled(job)
        self._settling.clear()
        self.dispatcher.clear()
        self.dispatcher.drop_foreign()
        for child in list(self.pool.children):
            # What was acknowledged before it began is ours alone: nobody else will ever run it.
            self.dispatcher.put_back([job for job in child.recall() if job.acked])
            foreign = [job for job in child.outstanding.values() if not job.acked]
            for job in foreign:
                job.stale = True
            if self.told is not None:
                self.told.cancelled(foreign)
            if foreign and len(foreign) == len(child.outstanding):
                self.pool.replace(child)
        self.fetcher.begin_anew()
        self.pump()
        self.ending.finish_if_done()

    def lost(self) -> None:
        """The broker is away: where the settings say so, what it may give to others meanwhile is not run to its end."""
        if not (self.rules.cancels_on_loss and self.pool.kills):
            return
        for child in list(self.pool.children):
            late = [job for job, _ in child.running() if not job.bound and not job.stale]
            cut = [job for job in late if self.condemned.cut(child, job)]
            for job in cut:
                logger.warning("Task %s[%s] is stopped, because the broker is lost", job.head.task, job.head.id)
            self.losses.release(cut)

    # -- children

    def frames(self, child: ChildLine, frames: Sequence[Up]) -> None:
        """Outcomes and reports came up from a child."""
        now = clock.wall()
        settlements: list[Settlement] = []
        learn, told = self.dispatcher.learn, self.told
        for frame in frames:
            if isinstance(frame, Outcome):
                job = child.done(frame.seq)
                if frame.runtime >= 0:
                    learn(frame.name, frame.runtime)
                if job is None:
                    continue
                if told is not None:
                    told.ended(child, job, frame)
                tag = job.delivery.tag
                if job.stale or job.acked:
                    child.settled(job)
                if job.acked:
                    end = settlement(tag, frame, now=now)
                    self.early.ended(end)
                    if self.gates.early:
                        self.gates.ended((job,), again=isinstance(end, Retry))
                elif not job.stale:
                    self._settling[tag] = (child, job)
                    settlements.append(settlement(tag, frame, now=now))
            else:
                self._word(child, frame)
        if settlements:
            self.fetcher.settle(settlements)
        if self.recycling.on:
            self.recycling.look(child)
        self._due = True

    def _word(self, child: ChildLine, frame: Up) -> None:
        """What a child says that is no outcome."""
        if isinstance(frame, Report):
            self.fetcher.store(frame.records)
        elif isinstance(frame, Told) and self.told is not None:
            self.told.told(child, frame)
        elif isinstance(frame, Said) and self.said is not None:
            self.said(frame)
        elif isinstance(frame, Stacks):
            for heard in list(self.asking):
                heard(child, frame)

    def died(self, child: ChildLine, unstarted: Sequence[Job], how: str, blame: bool) -> None:
        """A child is gone: what it had not started runs elsewhere, what it ran is judged."""
        self.dispatcher.put_back([job for job in unstarted if not job.stale])
        innocent, suspects = blame_of(child)
        if self.told is not None:
            self.told.forget(child)
            if self.ending.interrupting or not blame:
                self.told.cancelled(suspects)
        child.outstanding.clear()
        self.losses.release(innocent)
        if self.ending.interrupting or child.innocent:
            self.losses.release(suspects)
        elif blame:
            self.losses.convict(suspects, how)
        else:
            self.losses.doubt(suspects)
        if self.gates.early:
            self.gates.ended((*innocent, *suspects))
        self.ending.give_back()
        self.pump()
        self.ending.finish_if_done()

    def look(self) -> None:
        """Once a round of the loop, behind all that it brought: see what follows from it, for all children at once."""
        if self._due:
            self._due = False
            self.pump()
            self.ending.finish_if_done()

    def pump(self) -> None:
        """Hand out what can be handed out, ask for more if there is room, and look again soon."""
        children = self.pool.children
        for child, job in self.dispatcher.assign(children):
            self.early.ask(child, job)
        if self.dispatcher.suspects:
            self.pool.isolate()
        if self.limits.met:
            self.limits.watch()
        if self.ending.running and not self._asked:
            want = 0 if self.gates.asking else self.dispatcher.want(children, self.gates.turned_away)
            if want >= EAGER_REFILL or (want > 0 and not self.dispatcher.pending):
                self._asked = True
                self.fetcher.want(want)
            elif self.fetcher.goes_on:
                self.fetcher.want(0)
        if self._tick is None and self._needs_tick():
            self._tick = self.loop.call_later(STALL, self._ticked)

    @property
    def hungry(self) -> bool:
        """Whether slots are free, and messages were asked for that have not come."""
        return self._asked and self.ending.running and self.dispatcher.want(self.pool.children) > 0

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
        job = Job(delivery, head, early=not self.rules.tasks[head.task].acks_late)
        job.alone = delivery.crashes > 0 or job.doubted
        if self.limits.any or head.timelimit != UNLIMITED:
            job.limit = self.limits.limit_of(head)
            job.stall = self.limits.stall_of(head)
        if head.marks is not None:
            self.gates.note(delivery.tag, head, early=job.early)
        return job

    def _overdue(self, child: ChildLine, job: Job, hard: float) -> None:
        """A job ran longer than its hard limit: it has failed, whatever it says from now on."""
        if self.condemned.cut(child, job):
            self.losses.overdue(job, hard)
            if self.gates.early:
                self.gates.ended((job,))
            self.pump()

    def _refused(self, delivery: Delivery, head: Head | Malformed, decision: admission.Decision) -> Settlement:
        if isinstance(head, Head) and head.marks is not None:
            self.gates.note(delivery.tag, head, early=False)
        if self.hooks is not None:
            self.hooks.refused(delivery, head, decision)
        match decision:
            case admission.Delay(due):
                return Defer(tag=delivery.tag, due=due)
            case admission.Wait(due):
                self.strangers.came(head)
                return Defer(tag=delivery.tag, due=due, counted="delivery")
            case admission.Drop(reason) if isinstance(head, Head):
                logger.info("Task %s[%s] %s", head.task, head.id, reason)
                if self.told is not None:
                    self.told.revoked(head, expired=reason == "expired")
                return Ack(tag=delivery.tag, result=self.records.revoked(head, reason))
            case admission.Reject(reason):
                logger.error("A message of queue %r goes to the dead letters: %s", delivery.queue, reason)
                if self.told is not None and isinstance(head, Head):
                    self.told.rejected(head, requeue=False)
                return DeadLetter(tag=delivery.tag, reason=reason, result=self.records.refused(head, reason))
        raise AssertionError(decision)

    def _start_acked(self, child: ChildLine, job: Job) -> None:
        if self.ending.interrupting:
            self.losses.lose([job], "stopped before it began")
        elif child in self.pool.children and child.ready:
            child.send([job])
        else:
            self.dispatcher.put_back([job])
        self._due = True

    def _needs_tick(self) -> bool:
        return self.dispatcher.waiting() or any(child.to_be_watched() for child in self.pool.children)

    def _ticked(self) -> None:
        self._tick = None
        self.dispatcher.take_back(self.pool.children)
        self.ending.give_back()
        self.pump()
        if self.ending.running:
            hopeless = self.dispatcher.hopeless()
            self.gates.returned(hopeless)
            self.losses.release(hopeless)
        else:
            self.ending.finish_if_done()


def blame_of(child: ChildLine) -> tuple[list[Job], list[Job]]:
    """Of what a dead child had begun: the jobs that cannot have ended it, and those of which one did.

    One slot works in order: what came before the last job had finished. Among several slots a finished job may have
    done the harm as well, such as closing the child's line, while only others were running when it showed.
    """
    begun = [job for job in child.outstanding.values() if not job.stale]
    return (begun[:-1], begun[-1:]) if child.slots == 1 else ([], begun)
