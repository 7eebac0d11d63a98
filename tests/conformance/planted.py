"""Brokers, backends and coordinations with a bug planted in each; `test_planted_bugs` sees that the exam finds it.

Most are bugs that real task queues had. This file is not collected by itself. Run one of them by hand with
``pytest tests/conformance/planted.py::TestNoFence``.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import time
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import Phase, settings

from skirret import clock
from skirret.backends.memory import MemoryBackend
from skirret.brokers.memory import MemoryBroker, MemoryConsumer, _message, _publications
from skirret.coordination.memory import MemoryCoordination
from skirret.errors import OperationalError
from skirret.outcome import Ack, Defer, Release, Retry
from skirret.stores.memory import PRIORITIES, server
from skirret.testing.conformance import BackendExam, BrokerExam, CoordinationExam

# A red history need not be shrunk to be red.
settings.register_profile("planted", parent=settings.get_profile("test"), phases=[Phase.generate], derandomize=True)
settings.load_profile("planted")

_servers = itertools.count(1)


@pytest.fixture
def name():
    return f"planted-{next(_servers)}"


class OnPlanted(BrokerExam):
    """The exam over `Bug`, a broker class, whose consumers are of its class `Worker`."""

    Bug: type[MemoryBroker]
    patience = 0.5

    @pytest.fixture
    def broker(self, name):
        return self.Bug(name)

    @pytest.fixture
    def second_broker(self, name):
        return self.Bug(name)

    @pytest.fixture
    def backend(self, name):
        return MemoryBackend(name)

    @pytest.fixture
    def outage(self, name):
        @contextlib.contextmanager
        def cut():
            server(name).unreachable = True
            yield
            server(name).unreachable = False

        return cut


class Planted(MemoryBroker):
    Worker: type[MemoryConsumer] = MemoryConsumer

    def consumer(self, queues, cid, *, limits=None):
        return self.Worker(self._server, queues, cid, limits)


class TestSound(OnPlanted):
    """The control: no bug, no red."""

    Bug = Planted


# -- taking ------------------------------------------------------------------------------------------------------


class TestPopThenRemember(OnPlanted):
    """As a client does that pops and keeps the message in its own memory until it is acked."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            mine: dict

            def take(self, limit, timeout):
                taken = super().take(limit, timeout)
                held = self._server.held.get(self.cid, {})
                self.mine = {**getattr(self, "mine", {}), **held}
                held.clear()
                return taken

            def settle(self, settlements):
                if self.cid in self._server.held:
                    self._server.held[self.cid].update(getattr(self, "mine", {}))
                    self.mine = {}
                return super().settle(settlements)


class TestTwoStepTake(OnPlanted):
    """Looks, and removes what it saw a moment later."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def take(self, limit, timeout):
                here = self._server
                seen = [
                    (key, entry)
                    for key in [(queue, priority) for priority in PRIORITIES for queue in self._turns]
                    for entry in sorted(here.ready[key])
                ][:limit]
                if not seen:
                    return super().take(limit, timeout)
                time.sleep(0.0001)
                for key, entry in seen:
                    if entry in here.ready[key]:
                        here.ready[key].remove(entry)
                        heapq.heapify(here.ready[key])
                return [self._hold(message) for _, (_, message) in seen]


class TestPriorityIgnored(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            messages = [_message(one) for one in publications]
            for message in messages:
                message.priority = 0
            with self._server.reach():
                self._server.publish(messages)


class TestPriorityUpsideDown(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            messages = [_message(one) for one in publications]
            for message in messages:
                message.priority = 9 - message.priority
            with self._server.reach():
                self._server.publish(messages)


class TestFirstQueueStarvesTheOthers(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def __init__(self, here, queues, cid, limits):
                super().__init__(here, queues, cid, limits)
                self.order = list(queues)

            def _hold(self, message):
                self._turns = deque(self.order)
                return super()._hold(message)

            def queues(self, names):
                self.order = list(names)
                super().queues(names)


class TestDueTimesIgnored(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            messages = [_message(one) for one in publications]
            for message in messages:
                message.due = None
            with self._server.reach():
                self._server.publish(messages)


class TestSleepsInsteadOfWaiting(OnPlanted):
    patience = 5.0

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def take(self, limit, timeout):
                taken = super().take(limit, 0.0)
                if not taken:
                    time.sleep(min(timeout, 3.0))
                    taken = super().take(limit, 0.0)
                return taken


class TestInterruptOnlyWakes(OnPlanted):
    """Who is not waiting yet does not notice."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def take(self, limit, timeout):
                self._interrupted = False
                return super().take(limit, min(timeout, 1.0))


# -- publishing --------------------------------------------------------------------------------------------------


class TestNoDedup(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            super().publish([replace_nonce(one, "") for one in publications])


class TestDedupByTaskId(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            super().publish([replace_nonce(one, one.task_id) for one in publications])


class TestDedupWithinACall(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            for one in publications:
                super().publish([one])


def replace_nonce(publication, nonce):
    return type(publication)(
        envelope=publication.envelope,
        route=publication.route,
        task_id=publication.task_id,
        due=publication.due,
        expires=publication.expires,
        nonce=nonce,
    )


class TestSwallowedPublishError(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            with contextlib.suppress(OperationalError):
                super().publish(publications)


class TestExpiredDropped(OnPlanted):
    class Bug(Planted):
        def publish(self, publications):
            super().publish([one for one in publications if not one.expires or one.expires > time.time()])


# -- settling ----------------------------------------------------------------------------------------------------


class TestAckBeforeTheRest(OnPlanted):
    """Acks first; what the task leaves behind comes after, if it comes."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                flags = super().settle([Ack(tag=one.tag) if isinstance(one, Ack) else one for one in settlements])
                for one, flag in zip(settlements, flags, strict=True):
                    if flag and isinstance(one, Ack):
                        with self._server.reach():
                            self._server.publish([_message(next_one) for next_one in one.successors])
                            if one.result is not None:
                                self._server.write_result(one.result)
                return flags


class TestNoFence(OnPlanted):
    """Believes a worker that says it is done, whoever has the work by now."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                flags = super().settle(settlements)
                with self._server.reach():
                    for one, flag in zip(settlements, flags, strict=True):
                        if not flag:
                            self._server.publish([_message(next_one) for next_one in _publications(one)])
                            if getattr(one, "result", None) is not None:
                                self._server.write_result(one.result)
                return [True] * len(flags)


class TestResultBeforeTheFence(OnPlanted):
    """Refuses the late ack, but has stored its result by then."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                with self._server.reach():
                    for one in settlements:
                        if getattr(one, "result", None) is not None:
                            self._server.write_result(one.result)
                return super().settle(settlements)


class TestReleaseCounts(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                for one in settlements:
                    if isinstance(one, Release) and one.tag in self._server.held.get(self.cid, {}):
                        self._server.held[self.cid][one.tag].deliveries += 1
                return super().settle(settlements)


class TestReleaseGoesToTheEnd(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                return super().settle([Defer(tag=one.tag) if isinstance(one, Release) else one for one in settlements])


class TestFirstGoesToTheEnd(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                return super().settle(
                    [
                        Defer(tag=one.tag, due=one.due, counted=one.counted) if isinstance(one, Defer) else one
                        for one in settlements
                    ]
                )


class TestRetryLeavesTheOldOne(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                held = self._server.held.get(self.cid, {})
                old = [held[one.tag] for one in settlements if isinstance(one, Retry) and one.tag in held]
                flags = super().settle(settlements)
                with self._server.reach():
                    for message in old:
                        self._server.add(message)
                return flags


class TestRetryDeduplicated(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                return super().settle(
                    [
                        Ack(tag=one.tag, result=one.result, successors=[one.publication])
                        if isinstance(one, Retry)
                        else one
                        for one in settlements
                    ]
                )


class TestDeferNeverCounts(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def settle(self, settlements):
                return super().settle(
                    [Defer(tag=one.tag, due=one.due) if isinstance(one, Defer) else one for one in settlements]
                )


# -- leases ------------------------------------------------------------------------------------------------------


class Reaper(MemoryConsumer):
    """Takes over by `restore`."""

    def _take_over(self, cid):
        del self._server.beats[cid]
        return sum(self.restore(message) for message in self._server.held.pop(cid).values())

    def restore(self, message):
        message.deliveries += 1
        if message.deliveries >= self._limits.deliveries:
            self._server.bury(message, "too often")
            return 0
        self._server.put_back(message)
        return 1


class TestDeleteBeforeCopy(OnPlanted):
    """Deletes the held message, then finds that it knows no such queue."""

    class Bug(Planted):
        class Worker(Reaper):
            def restore(self, message):
                return super().restore(message) if message.queue in self._turns else 0


class TestReapsToTheWrongQueue(OnPlanted):
    class Bug(Planted):
        class Worker(Reaper):
            def restore(self, message):
                message.queue = self._turns[0]
                return super().restore(message)


class TestReapReencodes(OnPlanted):
    class Bug(Planted):
        class Worker(Reaper):
            def restore(self, message):
                message.raw = json.dumps(json.loads(message.raw), indent=1).encode()
                return super().restore(message)


class TestNoCapOnPoison(OnPlanted):
    class Bug(Planted):
        class Worker(Reaper):
            def restore(self, message):
                message.deliveries += 1
                self._server.put_back(message)
                return 1


class TestReapUncounted(OnPlanted):
    class Bug(Planted):
        class Worker(Reaper):
            def restore(self, message):
                self._server.put_back(message)
                return 1


class TestZombieRevived(OnPlanted):
    """A beat that brings a reaped incarnation back to life."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def beat(self):
                self._server.beats.setdefault(self.cid, 0)
                self._server.held.setdefault(self.cid, {})
                return super().beat()


class TestWallClockLease(OnPlanted):
    """Compares a time stamp of the worker's clock with that of the reaper's."""

    class Bug(Planted):
        class Worker(MemoryConsumer):
            def __init__(self, here, queues, cid, limits):
                super().__init__(here, queues, cid, limits)
                here.beats[cid] = clock.wall()

            def beat(self):
                if not self._alive():
                    return False
                self._server.beats[self.cid] = clock.wall()
                return True

            def reap(self):
                late = clock.wall() - self._limits.lease
                stale = [cid for cid, beat in self._server.beats.items() if beat < late and cid != self.cid]
                with self._server.reach():
                    return sum(self._take_over(cid) for cid in stale)


class TestSleepingReaperCountsItsSleep(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def __init__(self, here, queues, cid, limits):
                super().__init__(here, queues, cid, replace(limits, beat=float("inf")))


class TestReapsWhoBeats(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def beat(self):
                return self._alive()


class TestCloseForgetsWhatIsHeld(OnPlanted):
    class Bug(Planted):
        class Worker(MemoryConsumer):
            def close(self):
                self._server.held.pop(self.cid, None)
                super().close()


# -- listings ----------------------------------------------------------------------------------------------------


class TestPeekTakes(OnPlanted):
    class Bug(Planted):
        def peek(self, queue, limit=10):
            seen = super().peek(queue, limit)
            for priority in PRIORITIES:
                self._server.ready.pop((queue, priority), None)
            return seen


class TestPurgeForgetsDelayed(OnPlanted):
    class Bug(Planted):
        def purge(self, queue):
            kept = self._server.waiting
            self._server.waiting = []
            dropped = super().purge(queue)
            self._server.waiting = kept
            return dropped


class TestReplayKeepsCounters(OnPlanted):
    class Bug(Planted):
        def replay(self, keys):
            graves = [self._server.graves.pop(key) for key in keys if key in self._server.graves]
            with self._server.reach():
                for grave in graves:
                    self._server.add(grave.message)
            return len(graves)


class TestBroadcastToOne(OnPlanted):
    class Bug(Planted):
        def broadcast(self, topic, payload):
            everybody = self._server.listeners
            self._server.listeners = everybody[:1]
            super().broadcast(topic, payload)
            self._server.listeners = everybody


# -- results -----------------------------------------------------------------------------------------------------


class OnPlantedBackend(BackendExam):
    Bug: type[MemoryBackend]

    @pytest.fixture
    def backend(self, name):
        return self.Bug(name)

    @pytest.fixture
    def second_backend(self, name):
        return self.Bug(name)


class TestLastWriterWins(OnPlantedBackend):
    class Bug(MemoryBackend):
        def store(self, records):
            for one in records:
                self._server.results.put(one.task_id, one, one.ttl)
            return [True] * len(records)


class TestLookThenWrite(OnPlantedBackend):
    class Bug(MemoryBackend):
        def store(self, records):
            free = [not self.fetch([one.task_id]) for one in records]
            time.sleep(0.001)
            for one in records:
                self._server.results.put(one.task_id, one, one.ttl)
            return free


class TestResultsNeverEnd(OnPlantedBackend):
    class Bug(MemoryBackend):
        def store(self, records):
            return super().store(
                [type(one)(task_id=one.task_id, state=one.state, payload=one.payload) for one in records]
            )


class TestWaitEndsTooSoon(OnPlantedBackend):
    class Bug(MemoryBackend):
        def wait(self, task_ids, timeout):
            return self.fetch(task_ids) or super().wait(task_ids, timeout)


# -- coordination ------------------------------------------------------------------------------------------------


class OnPlantedCoordination(CoordinationExam):
    Bug: type[MemoryCoordination]

    @pytest.fixture
    def coordination(self, name):
        return self.Bug(name)

    @pytest.fixture
    def second_coordination(self, name):
        return self.Bug(name)


class TestLookThenSet(OnPlantedCoordination):
    class Bug(MemoryCoordination):
        def compare_and_set(self, key, expected, new, ttl=None):
            same = self.get(key) == expected
            time.sleep(0.001)
            if same:
                self._server.values.put(key, new, ttl)
            return same


class TestRoomForOneMore(OnPlantedCoordination):
    class Bug(MemoryCoordination):
        """Looks for room, and takes it later."""

        def enter(self, key, members, limit, ttl):
            if len(self.members(key)) >= limit:
                return set()
            time.sleep(0.002)
            self.add(key, members, ttl)
            return set(members)


class TestReleasedByAnybody(OnPlantedCoordination):
    class Bug(MemoryCoordination):
        def release(self, key, owner):
            return self._server.leases.remove(key)


class TestCounterRenewed(OnPlantedCoordination):
    """Every count starts the life anew, so that a busy limit never ends."""

    class Bug(MemoryCoordination):
        def increment(self, key, by=1, ttl=None):
            count = (self._server.counters.get(key) or 0) + by
            self._server.counters.put(key, count, ttl)
            return count


class TestRefusalTakes(OnPlantedCoordination):
    class Bug(MemoryCoordination):
        def take_tokens(self, key, rate, capacity, count=1.0):
            wait = super().take_tokens(key, rate, capacity, count)
            if wait:
                self._server.buckets[key].tokens = 0.0
            return wait


class TestOneLifeForTheSet(OnPlantedCoordination):
    class Bug(MemoryCoordination):
        def add(self, key, members, ttl=None):
            new = super().add(key, members, ttl)
            for member in self.members(key):
                self._server.sets[key].put(member, True, ttl)
            return new
