"""What passes between a supervisor and one child: permits, take-back, batches, death."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from skirret.worker.child.link import Stop
from skirret.worker.child_line import MAX_OUTSTANDING
from skirret.worker.frames import MAX_BATCH_BYTES, Outcome, Report, Run, Splitter, pack, unpack_up
from tests.unit.worker.crew import Pair, job


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_a_frame_starts_once_it_has_its_permit(pair: Pair) -> None:
    pair.line.send([job(1), job(2)])
    first, second = pair.link.next(), pair.link.next()
    assert (first.seq, second.seq) == (1, 2)
    assert pair.link.try_next() is None


def test_unstarted_frames_are_taken_back_without_the_childs_help(pair: Pair) -> None:
    pair.line.send([job(1), job(2), job(3)])
    started = pair.link.next()
    back = pair.line.recall()
    assert [taken.delivery.tag for taken in back] == [2, 3]
    assert list(pair.line.outstanding) == [started.seq]
    assert pair.link.try_next() is None, "a frame that was taken back must not start"


def test_frames_sent_after_a_take_back_are_not_confused_with_those_taken_back(pair: Pair) -> None:
    pair.line.send([job(1), job(2)])
    pair.line.recall()
    pair.line.send([job(3, raw=b"three")])
    assert pair.link.next().raw == b"three"
    pair.line.send([job(4, raw=b"four")])
    assert pair.link.next().raw == b"four"


def test_each_frame_is_either_started_or_taken_back_when_both_sides_race() -> None:
    for _ in range(20):
        pair = Pair()
        started: list[int] = []

        def child(pair: Pair = pair, started: list[int] = started) -> None:
            try:
                while True:
                    started.append(pair.link.next().seq)
            except Stop:
                return

        thread = threading.Thread(target=child)
        thread.start()
        taken_back = 0
        for batch in range(30):
            pair.line.send([job(batch * 10 + n) for n in range(10)])
            taken_back += len(pair.line.recall())
        pair.line.ask_to_stop()
        thread.join(5)
        assert not thread.is_alive()
        assert len(started) == len(set(started))
        assert len(started) + taken_back == 300
        assert set(started) == set(pair.line.outstanding)
        pair.close()


def test_sending_never_blocks_even_if_the_child_reads_nothing(pair: Pair) -> None:
    big = b"x" * 200_000
    pair.line.send([job(n, raw=big) for n in range(20)])
    assert not pair.line.accepts(), "a child that does not read gets no more"
    assert len(pair.line.recall()) == 20


def test_a_batch_cut_off_by_a_take_back_leaves_the_stream_whole(pair: Pair) -> None:
    big = b"x" * (MAX_BATCH_BYTES + 1)
    pair.line.send([job(1, raw=big), job(2, raw=big), job(3, raw=big)])
    assert len(pair.line.recall()) == 3
    pair.line.send([job(4, raw=b"after")])
    got: list[Run] = []
    thread = threading.Thread(target=lambda: got.append(pair.link.next()))
    thread.start()
    pair.pump_until(lambda: bool(got))
    thread.join(5)
    assert got[0].raw == b"after"


def test_outcomes_travel_together_and_leave_before_the_child_waits(pair: Pair) -> None:
    pair.line.send([job(1), job(2)])
    for _ in range(2):
        pair.finish(pair.link.next().seq)
    assert pair.link.unsent

    def wait_for_more() -> None:
        with pytest.raises(Stop):
            pair.link.next()

    waiting = threading.Thread(target=wait_for_more, daemon=True)
    waiting.start()
    pair.pump_until(lambda: len(pair.heard) == 2)
    assert not pair.line.outstanding
    pair.line.ask_to_stop()
    waiting.join(5)


def test_outcomes_leave_before_a_task_expected_to_be_long(pair: Pair) -> None:
    pair.line.send([job(1), job(2)])
    pair.finish(pair.link.next().seq, runtime=0.5, name="slow")
    assert pair.link.unsent
    pair.link.starting("slow")
    assert not pair.link.unsent


def test_a_report_of_a_state_leaves_at_once(pair: Pair) -> None:
    pair.link.report(Report([]))
    assert not pair.link.unsent


def test_a_dead_childs_last_words_are_read_before_its_work_is_judged(pair: Pair) -> None:
    pair.line.send([job(1), job(2), job(3)])
    pair.finish(pair.link.next().seq)
    pair.link.next()
    pair.link.flush()
    unstarted = pair.line.close()
    assert [each.delivery.tag for each in unstarted] == [3]
    assert [each.delivery.tag for each in pair.line.outstanding.values()] == [2]


def test_a_child_leaves_when_its_supervisor_is_gone() -> None:
    pair = Pair()
    read = os.dup(pair.line.permits.read_fd)
    pair.link.permits = read
    pair.close()
    with pytest.raises(Stop):
        pair.link.next()
    os.close(read)


def test_a_stop_is_not_lost_when_frames_are_taken_back(pair: Pair) -> None:
    pair.line.send([job(1)])
    pair.line.ask_to_stop()
    assert len(pair.line.recall()) == 1
    with pytest.raises(Stop):
        pair.link.next()


def test_all_permits_of_a_full_child_fit_into_the_pipe(pair: Pair) -> None:
    pair.line.send([job(n) for n in range(MAX_OUTSTANDING)])
    assert not pair.line.accepts()
    for _ in range(MAX_OUTSTANDING):
        pair.link.next()
    assert pair.link.try_next() is None


def test_batches_cut_anywhere_come_out_whole() -> None:
    frames = [Outcome(1, "done", 0.1, "a"), Report([]), Outcome(2, "retry", 0.2, "b", reason="x")]
    stream = pack(frames) + pack(frames[:1])
    for cut in range(len(stream) + 1):
        splitter = Splitter()
        bodies = splitter.feed(stream[:cut]) + splitter.feed(stream[cut:])
        assert [unpack_up(body) for body in bodies] == [frames, frames[:1]]
