"""What a broker promises about workers that die, sleep or come back from the dead."""
# ruff: noqa: S101  an exam asserts

from __future__ import annotations

import contextlib
import time

import pytest

from skirret import clock as clocks
from skirret.brokers.base import Broker
from skirret.errors import OperationalError
from skirret.outcome import Ack, DeadLetter, Defer, Release, Retry, Settlement
from skirret.testing.conformance.broker_fixtures import BrokerFixtures, MakeConsumer, Outage, needs
from skirret.testing.conformance.material import (
    HandClock,
    eventually,
    ids,
    message,
    messages,
    record,
    take,
    take_one,
)


class LeasePromises(BrokerFixtures):
    """Crashes are taken over, zombies are fenced, and the living are left alone."""

    def test_the_work_of_a_vanished_consumer_comes_back_counted(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish(messages("ab", queue))
        lost = make_consumer()
        first = take(lost, 2)
        self.vanish(lost)
        reaper = make_consumer()
        assert self.outwait(clock, reaper) == 2
        again = take(reaper, 2)
        assert sorted(ids(again)) == ["a", "b"]
        assert sorted(one.raw for one in again) == sorted(one.raw for one in first)
        assert {(one.deliveries, one.crashes, one.queue) for one in again} == {(1, 0, queue)}
        # Where the server gives work back by itself, nobody was there to write that moment down.
        sooner = 0.05 if broker.capabilities.fences else self.patience
        assert again[0].first_delivered == pytest.approx(first[0].first_delivered, abs=sooner)
        self.nothing_comes(reaper)

    def test_each_message_comes_back_to_its_home_queue_by_name(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str, other_queue: str
    ) -> None:
        broker.publish([message("here", queue), message("there", other_queue)])
        lost = make_consumer(queue, other_queue)
        take(lost, 2)
        self.vanish(lost)
        reaper = make_consumer("a-third-queue")
        assert self.outwait(clock, reaper) == 2
        assert ids(take(make_consumer(queue), 1)) == ["here"]
        assert ids(take(make_consumer(other_queue), 1)) == ["there"]
        self.nothing_comes(reaper)

    def test_work_that_comes_back_keeps_its_priority(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        if not broker.capabilities.priorities:
            pytest.skip("the broker declares that it has no priorities")
        broker.publish([message("urgent", queue, priority=9)])
        lost = make_consumer()
        take(lost, 1)
        broker.publish([message("plain", queue)])
        self.vanish(lost)
        reaper = make_consumer()
        self.outwait(clock, reaper)
        assert ids(take(reaper, 2)) == ["urgent", "plain"]

    def test_held_work_is_nobody_elses_before_the_lease_is_over(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        lost, reaper = make_consumer(), make_consumer()
        take(lost, 1)
        assert reaper.reap() == 0
        for _ in range(int(self.LEASE / self.BEAT) - 1):
            clock.advance(self.BEAT)
            assert reaper.reap() == 0
        self.nothing_comes(reaper)
        assert lost.beat()

    def test_who_beats_is_never_taken_over(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        holder, reaper = make_consumer(), make_consumer()
        held = take_one(holder)
        for _ in range(3):
            assert self.outwait(clock, reaper, holder) == 0
        assert not holder.fenced
        assert holder.settle([Ack(tag=held.tag)]) == [True]

    def test_one_beat_within_the_lease_is_enough(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        holder, reaper = make_consumer(), make_consumer()
        take(holder, 1)
        reaper.reap()
        for number in range(40):
            clock.advance(self.BEAT)
            if number % 5 == 0:
                assert holder.beat()
            assert reaper.reap() == 0

    def test_a_reaper_that_slept_has_seen_nothing_meanwhile(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        holder, reaper = make_consumer(), make_consumer()
        held = take_one(holder)
        reaper.reap()
        for _ in range(3):
            clock.advance(24 * 3600.0)
            assert reaper.reap() == 0
        assert holder.beat()
        assert holder.settle([Ack(tag=held.tag)]) == [True]

    def test_time_in_which_the_server_did_not_answer_does_not_count(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str, outage: Outage
    ) -> None:
        broker.publish([message("one", queue)])
        holder, reaper = make_consumer(), make_consumer()
        take(holder, 1)
        reaper.reap()
        with outage():
            for _ in range(20):
                clock.advance(self.BEAT)
                with pytest.raises(OperationalError):
                    reaper.reap()
                with contextlib.suppress(OperationalError):
                    holder.beat()
        assert reaper.reap() == 0
        assert holder.beat()

    def test_a_jump_of_the_wall_clock_takes_nothing_over(
        self,
        broker: Broker,
        make_consumer: MakeConsumer,
        clock: HandClock,
        queue: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        broker.publish([message("one", queue)])
        holder, reaper = make_consumer(), make_consumer()
        held = take_one(holder)
        reaper.reap()
        real = time.time
        for jump in (86_400.0, -86_400.0, 10 * 86_400.0):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            monkeypatch.setattr(clocks, "wall", time.time)
            assert reaper.reap() == 0
            clock.advance(1.0)
            assert reaper.reap() == 0
        monkeypatch.undo()
        assert holder.settle([Ack(tag=held.tag)]) == [True]

    def test_a_reaper_does_not_reap_itself(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish([message("one", queue)])
        consumer = make_consumer()
        held = take_one(consumer)
        for _ in range(20):
            clock.advance(self.BEAT)
            assert consumer.reap() == 0
        assert consumer.settle([Ack(tag=held.tag)]) == [True]

    def test_every_take_over_is_counted(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "counts_losses")
        broker.publish([message("one", queue)])
        reaper = make_consumer("nothing-here")
        for deliveries in range(4):
            lost = make_consumer()
            assert take_one(lost).deliveries == deliveries
            self.vanish(lost)
            assert self.outwait(clock, reaper) == 1

    def test_at_the_limit_of_deliveries_a_message_is_dead(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "counts_losses")
        broker.publish([message("poison", queue), message("poison", queue)])
        reaper = make_consumer("nothing-here", deliveries=3)
        raw = b""
        for returned in (2, 2, 0):
            lost = make_consumer(deliveries=3)
            raw = take(lost, 2)[0].raw
            self.vanish(lost)
            assert self.outwait(clock, reaper) == returned, "dead letters are not among those that went back"
        self.nothing_comes(make_consumer())
        letters = broker.dead(queue)
        assert [(one.task_id, one.deliveries) for one in letters] == [("poison", 3)] * 2
        assert all(one.reason for one in letters)
        assert raw in {one.raw for one in letters}
        size = broker.size(queue)
        assert (size.ready, size.held, size.dead) == (0, 0, 2)

    def test_deliveries_of_any_kind_count_towards_the_limit_and_crashes_do_not(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "counts_losses")
        broker.publish([message("one", queue)])
        lost, reaper = make_consumer(deliveries=3), make_consumer("nothing-here", deliveries=3)
        for counted in ("crash", "crash", "crash", "crash", "delivery"):
            lost.settle([Defer(tag=take_one(lost).tag, counted=counted)])
        take(lost, 1)
        self.vanish(lost)
        assert self.outwait(clock, reaper) == 1
        lost = make_consumer(deliveries=3)
        delivery = take_one(lost)
        assert (delivery.deliveries, delivery.crashes) == (2, 4)
        self.vanish(lost)
        assert self.outwait(clock, reaper) == 0
        assert [(one.deliveries, one.crashes) for one in broker.dead(queue)] == [(3, 4)]

    def test_a_reaped_consumer_is_fenced_whatever_it_asks_first(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "fences")
        zombies = [make_consumer() for _ in range(4)]
        reaper = make_consumer("nothing-here")
        self.outwait(clock, reaper)
        broker.publish([message("one", queue)])
        assert zombies[0].take(10, 5.0) == []
        assert zombies[1].beat() is False
        assert zombies[2].settle([Ack(tag=1)]) == [False]
        assert zombies[3].reap() == 0
        assert [zombie.fenced for zombie in zombies] == [True] * 4
        assert broker.size(queue).ready == 1

    def test_a_fenced_consumer_stays_fenced(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "fences")
        zombie, reaper = make_consumer(), make_consumer("nothing-here")
        self.outwait(clock, reaper)
        broker.publish([message("one", queue)])
        for _ in range(3):
            assert zombie.beat() is False
            assert zombie.take(1, 0.0) == []
        assert zombie.fenced

    def test_nothing_of_a_fenced_settlement_is_written(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "fences")
        broker.publish(messages("abcde", queue))
        zombie, reaper = make_consumer(), make_consumer("nothing-here")
        a, b, c, d, e = take(zombie, 5)
        self.outwait(clock, reaper)
        outcomes: list[Settlement] = [
            Ack(tag=a.tag, successors=[message("a2", queue)]),
            Retry(tag=b.tag, publication=message("b2", queue)),
            DeadLetter(tag=c.tag, reason="late", successors=[message("c2", queue)]),
            Defer(tag=d.tag, counted="crash"),
            Release(tag=e.tag),
        ]
        assert zombie.settle(outcomes) == [False] * 5
        assert zombie.fenced
        heir = make_consumer()
        again = take(heir, 5)
        assert sorted(ids(again)) == list("abcde")
        assert {(one.deliveries, one.crashes) for one in again} == {(1, 0)}
        self.nothing_comes(heir)
        assert broker.dead(queue) == []

    def test_no_result_of_a_fenced_settlement_is_written(
        self, request: pytest.FixtureRequest, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "fences")
        backend = request.getfixturevalue("backend")
        broker.publish([message("one", queue)])
        zombie, reaper = make_consumer(), make_consumer("nothing-here")
        held = take_one(zombie)
        self.outwait(clock, reaper)
        assert zombie.settle([Ack(tag=held.tag, result=record("one", payload=b"of the zombie"))]) == [False]
        assert backend.fetch(["one"]) == {}
        heir = make_consumer()
        again = take_one(heir)
        assert heir.settle([Ack(tag=again.tag, result=record("one", payload=b"of the heir"))]) == [True]
        assert backend.fetch(["one"]) == {"one": b"of the heir"}

    def test_a_zombie_cannot_take_the_work_from_its_heir(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        needs(broker, "fences")
        broker.publish([message("one", queue)])
        zombie, heir = make_consumer(), make_consumer()
        held = take_one(zombie)
        self.outwait(clock, heir)
        again = take_one(heir)
        assert zombie.settle([Ack(tag=held.tag)]) == [False]
        zombie.close()
        assert broker.size(queue).held == 1
        assert heir.settle([Ack(tag=again.tag)]) == [True]
        size = broker.size(queue)
        assert (size.ready, size.held) == (0, 0)

    def test_what_was_acked_before_the_crash_stays_done(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish(messages("ab", queue))
        lost, reaper = make_consumer(), make_consumer()
        done, _ = take(lost, 2)
        lost.settle([Ack(tag=done.tag)])
        self.vanish(lost)
        assert self.outwait(clock, reaper) == 1
        assert ids(take(reaper, 1)) == ["b"]
        self.nothing_comes(reaper)

    def test_a_crash_with_empty_hands_leaves_nothing(self, make_consumer: MakeConsumer, clock: HandClock) -> None:
        lost, reaper = make_consumer(), make_consumer()
        self.vanish(lost)
        assert self.outwait(clock, reaper) == 0

    def test_closing_releases_what_is_held_uncounted(
        self, broker: Broker, make_consumer: MakeConsumer, clock: HandClock, queue: str
    ) -> None:
        broker.publish(messages("abc", queue))
        leaver = make_consumer()
        take(leaver, 2)
        leaver.close()
        eventually(lambda: broker.size(queue).ready == 3)  # a server of several nodes may count what came back later
        assert broker.size(queue).held == 0
        heir = make_consumer()
        again = take(heir, 3)
        assert (sorted(ids(again[:2])), ids(again[2:])) == (["a", "b"], ["c"])
        if broker.capabilities.releases_uncounted:
            assert {(one.deliveries, one.crashes) for one in again} == {(0, 0)}
        assert self.outwait(clock, heir) == 0, "an incarnation that ended cannot be taken over"
