"""The page of memory on which a child's slots note what they run since when."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator

import pytest

from skirret.worker.board import Board, Chalk
from skirret.worker.supervisor import blame_of
from tests.unit.worker.crew import Pair, job


@pytest.fixture
def board() -> Iterator[Board]:
    page = Board(3)
    yield page
    page.close()


@pytest.fixture
def chalk(board: Board) -> Chalk:
    return Chalk(os.dup(board.fd), 3)


def test_the_supervisor_reads_what_a_slot_noted_also_after_the_slot_left(board: Board, chalk: Chalk) -> None:
    assert board.running() == []
    chalk.enter(2, 7, 12.5)
    chalk.enter(0, 9, 13.0)
    assert board.running() == [(9, 13.0), (7, 12.5)]
    chalk.leave(2)
    assert board.running() == [(9, 13.0)]


def test_a_note_read_in_the_middle_counts_as_none(board: Board, chalk: Chalk) -> None:
    chalk.enter(0, 7, 12.5)
    struct.pack_into("<Q", chalk._page, 64, 8)  # the first field of the next note is there, the rest is not
    assert board.running() == []


def test_another_process_writes_and_what_it_wrote_outlives_it(board: Board) -> None:
    pid = os.fork()
    if pid == 0:
        Chalk(board.fd, 3).enter(1, 5, 3.25)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.running() == [(5, 3.25)]


def test_a_wish_to_interrupt_reaches_the_slot_that_runs_the_frame_and_no_other(board: Board, chalk: Chalk) -> None:
    chalk.enter(1, 5, 1.0)
    assert board.interrupt(5)
    assert not board.interrupt(6)
    assert [chalk.wanted(slot) for slot in range(3)] == [0, 10, 0]
    assert board.interrupt(5, stopping=True)
    assert chalk.wanted(1) == 11


def test_progress_and_beacon_are_seen_by_the_supervisor(board: Board, chalk: Chalk) -> None:
    chalk.enter(1, 5, 1.0)
    assert (board.progress(5), board.beacon()) == (0, 0.0)
    chalk.progressed(1)
    chalk.progressed(1)
    before = time.monotonic()
    chalk.beat()
    assert board.progress(5) == 2
    assert board.beacon() >= before


def test_what_a_dead_child_ran_is_known_and_a_neighbour_that_had_finished_is_a_suspect_too() -> None:
    pair = Pair(slots=2)
    jobs = [job(tag) for tag in range(3)]
    pair.line.send(jobs)
    first, second = pair.link.next(), pair.link.next()
    pair.link.chalk.enter(0, first.seq, 1.0)
    pair.link.chalk.enter(1, second.seq, 2.0)
    assert pair.line.running() == [(jobs[0], 1.0), (jobs[1], 2.0)]
    pair.link.chalk.leave(0)
    assert pair.line.close() == [jobs[2]]
    assert pair.line.running() == [(jobs[1], 2.0)], "it can be asked when the line is closed, too"
    assert blame_of(pair.line) == ([], jobs[:2]), "it may have closed the line, which shows only later"
    pair.loop.close()


def test_of_what_a_dead_child_with_one_slot_had_begun_only_the_last_can_have_ended_it() -> None:
    pair = Pair(slots=1)
    jobs = [job(tag) for tag in range(3)]
    pair.line.send(jobs)
    pair.link.next()
    pair.link.next()
    assert pair.line.close() == [jobs[2]]
    assert blame_of(pair.line) == ([jobs[0]], [jobs[1]])
    pair.loop.close()
