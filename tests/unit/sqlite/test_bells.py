"""Waking who waits."""

from __future__ import annotations

import select
import socket
import time

import pytest

from skirret.stores.sqlite.bells import CONSUMERS, MAX_PATH, MAX_WORD, RESULTS, Bells
from skirret.testing.conformance.material import Later


@pytest.fixture
def bells(path):
    path.parent.mkdir()
    bells = Bells(path)
    yield bells
    bells.close()


@pytest.fixture
def bell(bells):
    bell = bells.hang(CONSUMERS)
    yield bell
    bell.close()


def test_a_word_is_heard(bells, bell):
    bells.ring(CONSUMERS, ["a", "ümläut"])
    assert bell.wait(5.0) == {"a", "ümläut"}
    assert bell.wait(0.0) == set()


def test_words_that_came_before_the_wait_are_heard(bells, bell):
    for word in "abc":
        bells.ring(CONSUMERS, [word])
    assert bell.wait(5.0) == {"a", "b", "c"}


def test_another_kind_is_not_rung(bells, bell):
    bells.ring(RESULTS, ["a"])
    assert bell.wait(0.0) == set()


def test_more_words_than_fit_say_look_at_everything(bells, bell):
    bells.ring(CONSUMERS, ["x" * MAX_WORD, "y"])
    assert bell.wait(5.0) is None


def test_who_rings_often_is_never_held_up(bells, bell):
    for _ in range(2000):
        bells.ring(CONSUMERS, ["a" * 100])
    assert bell.wait(0.0) == {"a" * 100}


def test_a_wait_ends_with_its_time(bell):
    start = time.monotonic()
    assert bell.wait(0.03) == set()
    assert 0.025 <= time.monotonic() - start < 5.0


def test_a_system_without_poll_waits_as_well(bells, bell, monkeypatch):
    monkeypatch.delattr(select, "poll")
    assert bell.wait(0.01) == set()
    later = Later(lambda: bell.wait(30.0))
    bells.ring(CONSUMERS, ["a"])
    assert later.result() == {"a"}


def test_an_interrupt_ends_a_wait_and_is_told_once(bell):
    later = Later(lambda: bell.wait(30.0))
    bell.interrupt()
    assert later.result() == set()
    assert bell.was_interrupted()
    assert not bell.was_interrupted()


def test_the_socket_of_a_dead_process_is_cleared_away(bells, bell, path):
    dead = path.with_name(path.name + ".bells") / f"{CONSUMERS}999-dead"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(str(dead))
    assert dead.exists()
    bells.ring(CONSUMERS, ["a"])
    assert not dead.exists()
    assert bell.wait(5.0) == {"a"}


def test_a_bell_that_is_taken_down_leaves_nothing(bells, path):
    bell = bells.hang(CONSUMERS)
    bell.close()
    bell.close()
    bell.interrupt()
    assert bell.wait(30.0) == set()
    assert list(path.with_name(path.name + ".bells").iterdir()) == []


def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path):
    deep = tmp_path / ("d" * MAX_PATH)
    deep.mkdir()
    bells = Bells(deep / "queue.sqlite3")
    bell = bells.hang(CONSUMERS)
    assert not bell.is_deaf
    bells.ring(CONSUMERS, ["a"])
    assert bell.wait(5.0) == {"a"}
    bell.close()
    bells.close()


def test_without_a_place_for_sockets_only_the_time_passes(path):
    bells = Bells(path)  # whose directory does not exist
    bell = bells.hang(CONSUMERS)
    assert bell.is_deaf
    bells.ring(CONSUMERS, ["a"])
    assert bell.wait(0.01) == set()
    bell.interrupt()
    assert bell.wait(30.0) == set()
    bell.close()
