"""Many threads wait, one of them asks the store, and nobody is forgotten when it leaves."""

from __future__ import annotations

import random
import threading

import pytest

from skirret.errors import BackendError, BackendGetMetaError, TimeoutError  # noqa: A004  ours
from skirret.message import Record
from skirret.results import ResultReader
from tests.unit.results.stage import Thread, until

CROWD = 2000


def test_two_thousand_threads_wait_with_one_call_to_the_store_at_a_time(stage):
    small = threading.stack_size(128 * 1024)
    try:
        waiting = [Thread(stage.reader.wait, str(n), 30) for n in range(CROWD)]
    finally:
        threading.stack_size(small)
    room = stage.reader.room()
    until(lambda: len(room._by_id) == CROWD)
    until(lambda: room._watched is not None and len(room._watched) == CROWD)
    gathered = stage.backend.waits
    for n in range(CROWD):
        stage.succeed(str(n), n)
    assert [thread.outcome().result for thread in waiting] == list(range(CROWD))
    assert stage.backend.most_at_once == 1
    assert gathered < CROWD / 2
    assert stage.backend.waits < CROWD
    assert (room._by_id, room._followers, room._leader) == ({}, {}, None)


def test_no_thread_is_started_for_threads_that_wait(stage):
    waiting = [Thread(stage.reader.wait, name) for name in "abc"]
    stage.somebody_waits(*"abc")
    assert stage.reader.room()._thread is None
    for name in "abc":
        stage.succeed(name)
    for thread in waiting:
        thread.outcome()


def test_a_newcomer_is_served_though_the_leader_waits_for_others_only(stage):
    first = Thread(stage.reader.wait, "a", 30)
    stage.somebody_waits("a")
    until(lambda: stage.reader.room()._watched == {"a"})
    second = Thread(stage.reader.wait, "b", 30)
    until(lambda: stage.reader.room()._watched == {"a", "b"}, seconds=0.5)  # sooner than the leader's own look
    stage.succeed("b", 2)
    assert second.outcome().result == 2
    stage.succeed("a", 1)
    assert first.outcome().result == 1


def test_when_the_leader_has_its_result_another_one_leads(stage):
    names = list("abcdef")
    waiting = {}
    for name in names:
        waiting[name] = Thread(stage.reader.wait, name, 30)
        stage.somebody_waits(name)
    for name in names:  # the first came first, so the leader is always the one served
        stage.succeed(name, name)
        assert waiting[name].outcome().result == name


def test_when_the_leaders_time_is_up_another_one_leads(stage):
    leader = Thread(stage.reader.wait, "never", 0.05)
    stage.somebody_waits("never")
    follower = Thread(stage.reader.wait, "a", 30)
    with pytest.raises(TimeoutError):
        leader.outcome()
    stage.succeed("a", 1)
    assert follower.outcome().result == 1


def test_a_follower_whose_time_is_up_leaves_nothing_behind(stage):
    leader = Thread(stage.reader.wait, "a", 30)
    stage.somebody_waits("a")
    with pytest.raises(TimeoutError):
        stage.reader.wait("b", 0.02)
    assert list(stage.reader.room()._by_id) == ["a"]
    stage.succeed("a")
    leader.outcome()


def test_many_waits_for_one_task_all_get_it(stage):
    waiting = [Thread(stage.reader.wait, "a", 30) for _ in range(20)]
    stage.somebody_waits("a")
    until(lambda: len(stage.reader.room()._by_id["a"]) == 20)
    stage.succeed("a", 3)
    assert [thread.outcome().result for thread in waiting] == [3] * 20


def test_an_error_of_the_store_reaches_everybody_who_waits_once_each(stage):
    waiting = [Thread(stage.reader.wait, name, 30) for name in "abc"]
    stage.somebody_waits(*"abc")
    until(lambda: stage.reader.room()._watched == set("abc"))
    stage.backend.break_down()
    errors = []
    for thread in waiting:
        with pytest.raises(BackendError, match="the store is gone") as caught:
            thread.outcome()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    stage.backend.broken = None
    stage.succeed("a", 1)
    assert stage.reader.wait("a", 5).result == 1


def test_an_interrupt_that_came_too_early_costs_a_moment_and_not_the_result(stage, monkeypatch):
    monkeypatch.setattr("skirret.results.room.LONGEST", 0.5)
    first = Thread(stage.reader.wait, "a", 30)
    stage.somebody_waits("a")
    until(lambda: stage.reader.room()._watched == {"a"})
    monkeypatch.setattr(stage.backend, "interrupt", lambda: None)
    second = Thread(stage.reader.wait, "b", 30)
    stage.somebody_waits("b")
    stage.succeed("b", 2)
    assert second.outcome(5).result == 2
    stage.succeed("a", 1)
    assert first.outcome().result == 1


def test_random_comings_and_goings_lose_no_result(stage):
    seed = random.Random(20)

    def caller(number):
        chooser = random.Random(number)
        got = 0
        for turn in range(30):
            name = f"{number}-{turn}"
            if chooser.random() < 0.3:
                with pytest.raises(TimeoutError):
                    stage.reader.wait(f"never-{name}", chooser.random() / 200)
            else:
                sent.append(name)
                got += stage.reader.wait(name, 30).result
        return got

    sent: list[str] = []
    threads = [Thread(caller, number) for number in range(20)]
    while any(thread.is_alive() for thread in threads):
        batch, sent[:] = sent[:], []
        seed.shuffle(batch)
        for name in batch:
            stage.succeed(name, 1)
    assert all(thread.outcome() > 0 for thread in threads)
    assert stage.backend.most_at_once == 1
    assert stage.reader.room()._by_id == {}


def test_a_keyboard_interrupt_of_the_leader_passes_the_lead_on(stage, monkeypatch):
    wait = stage.backend.wait

    def interrupted(task_ids, timeout):
        monkeypatch.setattr(stage.backend, "wait", wait)
        until(lambda: "b" in stage.reader.room()._by_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.backend, "wait", interrupted)
    leader = Thread(stage.reader.wait, "a", 30)
    stage.somebody_waits("a")
    follower = Thread(stage.reader.wait, "b", 30)
    with pytest.raises(KeyboardInterrupt):
        leader.outcome()
    stage.succeed("b", 2)
    assert follower.outcome().result == 2


def test_garbage_in_the_store_is_an_error_that_names_the_task(stage):
    stage.backend.store([Record(task_id="a", state="SUCCESS", payload=b"\xff not json")])
    with pytest.raises(BackendGetMetaError) as caught:
        stage.reader.wait("a", 5)
    assert caught.value.task_id == "a"
    with pytest.raises(BackendGetMetaError):
        stage.reader.meta("a")


def test_results_are_cached_only_up_to_the_bound_and_only_when_final(stage):
    reader = ResultReader(stage.backend, cache_max=2)
    for name in "abc":
        stage.succeed(name, name)
    stage.store("r", "RETRY")
    assert [reader.meta(name).result for name in "abc"] == list("abc")
    reader.meta("r")
    before = stage.backend.fetches
    assert [reader.meta("b").result, reader.wait("c", 0).result] == ["b", "c"]
    assert stage.backend.fetches == before
    assert reader.wait("b").result == "b"
    assert stage.backend.waits == 0
    reader.meta("a")
    assert stage.backend.fetches == before + 1
    stage.succeed("r")
    assert reader.meta("r").status == "SUCCESS"
    reader.forget(["r"])
    assert reader.meta("r").status == "PENDING"


def test_a_cached_result_cannot_be_changed_by_who_reads_it(stage):
    reader = ResultReader(stage.backend, cache_max=0)
    stage.succeed("a", [1])
    reader.meta("a").result.append(2)
    assert reader.meta("a").result == [1]


def test_several_metas_are_read_with_one_call(stage):
    stage.succeed("a", 1)
    metas = stage.reader.metas(["a", "b"])
    assert [(meta.task_id, meta.status) for meta in metas.values()] == [("a", "SUCCESS"), ("b", "PENDING")]
    assert stage.backend.fetches == 1
