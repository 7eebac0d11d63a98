"""What a supervisor does when messages, outcomes, deaths and stops come in an order that hurts."""

from __future__ import annotations

import fcntl
import time

import pytest

from skirret import clock
from skirret.message import Delivery
from skirret.outcome import Ack, DeadLetter, Defer, Release, Settlement
from skirret.wire.envelope import Head
from skirret.worker.child.link import Link, Stop
from skirret.worker.child_line import ChildLine
from skirret.worker.dispatch import CALM
from skirret.worker.fetch import Taken
from skirret.worker.frames import Outcome
from skirret.worker.loop import WRITE
from tests.unit.worker.crew import job
from tests.unit.worker.stage import Stage


def kinds(settlements: list[Settlement]) -> list[tuple[str, int]]:
    return [(type(each).__name__, each.tag) for each in settlements]


def test_a_fetcher_that_goes_on_is_stopped_when_there_is_room_for_nothing_more(stage: Stage) -> None:
    stage.supervisor.dispatcher.learn("t", 1.0)
    stage.fetched.goes_on = True
    stage.take(1, 2, 3)
    assert stage.fetched.wanted[-1] == 0


# -- fences


def test_a_fence_during_a_warm_stop_lets_the_worker_end(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.supervisor.ending.warm()
    stage.supervisor.fenced()
    assert stage.fetched.finished


def test_the_outcome_of_a_message_that_others_have_is_dropped(stage: Stage) -> None:
    stage.take(1)
    run = stage.links[0].next()
    stage.supervisor.fenced()
    assert stage.replaced == stage.children
    assert stage.fetched.anew == 1
    stage.links[0].report(Outcome(run.seq, "done", 0.1, "t"))
    stage.links[0].flush()
    stage.children[0]._read()
    assert stage.fetched.settlements == []
    assert stage.children[0].load == pytest.approx(0)


def test_a_child_that_is_killed_after_a_fence_blames_nobody(stage: Stage) -> None:
    stage.take(1)
    stage.links[0].next()
    stage.supervisor.fenced()
    stage.die()
    assert stage.fetched.settlements == []


# -- deaths


def test_expected_work_of_a_child_is_nothing_when_all_is_settled(stage: Stage) -> None:
    for start in range(0, 60, 20):
        stage.take(*range(start, start + 20))
        while stage.children[0].outstanding:
            stage.run()
            stage.settle_all()
    assert stage.children[0].load == pytest.approx(0)
    assert stage.children[0].unsettled == pytest.approx(0)
    assert not stage.supervisor.dispatcher.pending


def test_a_result_serializer_that_only_the_app_knows_does_not_keep_a_crashed_task_from_being_judged() -> None:
    stage = Stage(result_serializer="the-apps-own")
    stage.take(1, crashes=2)
    stage.links[0].next()
    stage.die()
    stage.links[0].next()  # the child that is to tell the task's callbacks dies as well
    stage.die()
    (told,) = stage.fetched.settlements
    assert isinstance(told, DeadLetter)
    assert told.result is not None
    assert told.result.state == "FAILURE"
    stage.close()


def test_a_message_that_makes_admission_stumble_is_a_dead_letter_and_its_neighbours_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skirret.worker import admission

    admit = admission.admit

    def stumble(head: Head, *args: object, **kwargs: object) -> object:
        if head.id == "id-1":
            raise OverflowError("a date beyond all calendars")
        return admit(head, *args, **kwargs)

    monkeypatch.setattr(admission, "admit", stumble)
    stage.take(1, 2)
    (told,) = stage.fetched.settlements
    assert isinstance(told, DeadLetter)
    assert told.tag == 1
    assert "beyond all calendars" in told.reason
    stage.run()


def test_what_a_dead_child_had_finished_and_not_reported_is_given_back_uncounted() -> None:
    stage = Stage()
    stage.supervisor.dispatcher.learn("t", 0.00001)
    stage.take(1, 2, 3, 4)
    for _ in range(3):
        stage.links[0].next()
    stage.die()
    assert kinds(stage.fetched.settlements) == [("Release", 2), ("Release", 1), ("Defer", 3)]
    assert [job.delivery.tag for job in stage.children[0].outstanding.values()] == [4]
    stage.close()


# -- slots that are free although one is busy for long


def held(child: ChildLine) -> list[int]:
    return [job.delivery.tag for job in child.outstanding.values()]


def test_a_child_that_was_slow_to_start_a_frame_gets_work_again_while_its_other_slot_is_busy_for_long() -> None:
    stage = Stage(slots=2)
    stage.supervisor.dispatcher.learn("t", 0.001)
    stage.take(1)
    stage.links[0].next()  # runs for an hour
    stage.take(2)  # not started at once: the machine is busy
    stage.until(lambda: stage.children[0].stalled)
    stage.until(stage.children[0].accepts)
    assert stage.fetched.wanted[-1] > 0, "more is asked for"
    stage.take(3)
    assert stage.links[0].next() is not None
    assert held(stage.children[0]) == [1, 3]
    stage.close()


def test_a_child_that_starts_nothing_is_offered_work_less_and_less_often() -> None:
    stage = Stage(slots=2)
    stage.take(1)
    stage.links[0].next()
    offers = 0
    end = time.monotonic() + 1.0

    def keep_offering() -> bool:
        nonlocal offers
        if stage.children[0].accepts() and not stage.supervisor.dispatcher.pending and held(stage.children[0]) == [1]:
            offers += 1
            stage.take(2)
        return time.monotonic() > end

    stage.until(keep_offering, 3)
    assert 3 <= offers <= 6
    stage.close()


def test_a_frame_sent_to_a_child_with_a_long_task_gets_its_time_to_start() -> None:
    stage = Stage(slots=2)
    stage.supervisor.dispatcher.learn("t", 0.001)
    stage.take(1)
    stage.links[0].next()
    stage.until(lambda: stage.children[0].quiet)
    time.sleep(0.03)
    stage.take(2)
    stage.supervisor.dispatcher.take_back(stage.children)
    assert held(stage.children[0]) == [1, 2]
    stage.close()


def test_a_suspect_runs_in_a_child_of_its_own_and_holds_nobody_up() -> None:
    stage = Stage(slots=4)
    stage.supervisor.dispatcher.learn("t", 0.001)
    stage.take(1)
    stage.links[0].next()  # runs for an hour
    stage.take(2, crashes=1)
    stage.take(3)
    many, alone = stage.children
    assert held(many) == [1, 3]
    assert held(alone) == [2]
    stage.take(4, 5, 6)
    assert held(alone) == [2]
    assert held(many) == [1, 3, 4, 5, 6]
    stage.run(1)
    stage.settle_all()
    stage.take(7)
    assert held(alone) == [], "it is kept for suspects"
    stage.close()


def test_a_suspect_gets_the_child_that_is_empty_first_while_the_others_go_on() -> None:
    stage = Stage(count=2)
    stage.supervisor.dispatcher.learn("t", 0.001)
    stage.take(*range(1, 5))
    stage.take(50, crashes=1)
    first, second = (len(held(child)) for child in stage.children)
    stage.take(*range(5, 9))
    assert [len(held(stage.children[0])), len(held(stage.children[1]))] == [first, second + 4], "one runs dry"
    for _ in range(first):
        stage.run(0)
        stage.settle_all()
    assert held(stage.children[0]) == [50]
    stage.take(*range(9, 12))
    assert held(stage.children[0]) == [50]
    stage.run(0)
    stage.settle_all()
    stage.take(12)
    assert held(stage.children[0]) == [12]
    stage.close()


def test_suspects_that_no_child_can_take_go_back_to_the_broker() -> None:
    stage = Stage()
    stage.take(1)
    stage.links[0].next()
    stage.take(2, crashes=1)
    stage.until(lambda: kinds(stage.fetched.settlements) == [("Release", 2)])
    stage.close()


LAST = {"deliveries": 9}
"""The history of a message whose next death is its last."""


def put_off(stage: Stage) -> list[int]:
    """Those that go back for a while, none of them counted."""
    found = [one for one in stage.fetched.settlements if isinstance(one, Defer)]
    assert {one.counted for one in found} <= {"no"}
    return [one.tag for one in found]


def test_a_message_on_its_last_life_is_held_alone_and_begins_when_the_others_are_back_with_the_broker() -> None:
    stage = Stage(count=2)
    began = clock.monotonic()
    stage.take(1, 2, 3, **LAST)
    assert put_off(stage) == [2, 3]
    stage.until(lambda: clock.monotonic() > began + CALM)
    stage.supervisor.pump()
    assert [held(child) for child in stage.children] == [[], []], "it waits for the others"
    stage.settle_all()
    assert [held(child) for child in stage.children] == [[], []], "more may have stood behind them"
    stage.until(lambda: held(stage.children[0]) == [1])
    stage.take(4, deliveries=3)
    stage.take(5)
    assert put_off(stage) == [4], "while one runs"
    assert [held(child) for child in stage.children] == [[1], [5]], "others go on beside it"
    stage.run(0)
    stage.settle_all()
    stage.take(6, **LAST)
    assert [held(child) for child in stage.children] == [[], [5]], "another may come to light"
    stage.until(lambda: held(stage.children[0]) == [6])
    stage.close()


@pytest.mark.parametrize("deliveries, company", [(3, 30), (6, 30), (7, 16), (8, 4), (9, 1)])
def test_the_nearer_messages_are_to_the_limit_the_fewer_of_them_are_held(deliveries: int, company: int) -> None:
    stage = Stage()
    stage.take(*range(1, 31), deliveries=deliveries)
    assert put_off(stage) == list(range(company + 1, 31))
    stage.close()


def test_who_is_held_with_others_waits_until_none_of_them_is_nearer_to_the_limit_than_that_allows() -> None:
    stage = Stage(count=2)
    stage.take(1, 2, deliveries=7)
    assert held(stage.children[0]) == [1]
    stage.take(3, **LAST)
    stage.take(4, 5, 6, deliveries=8)
    assert put_off(stage) == [3, 6]
    stage.close()


def test_a_message_in_doubt_begins_anew_after_a_fence_whatever_was_on_its_way_to_the_broker(stage: Stage) -> None:
    stage.take(1, 2, **LAST)
    stage.supervisor.fenced()
    stage.take(3, **LAST)
    stage.until(lambda: held(stage.children[0]) == [3])


def test_a_stop_gives_suspects_back_too(stage: Stage) -> None:
    stage.take(1)
    stage.links[0].next()
    stage.take(2, crashes=1)
    stage.supervisor.ending.warm()
    assert kinds(stage.fetched.settlements) == [("Release", 2)]


def test_a_large_frame_gets_the_time_to_be_read(stage: Stage) -> None:
    line = stage.children[0]
    head = Head(task="t", id="large")
    stage.supervisor.taken(Taken([(Delivery(tag=1, queue="q", raw=b"x" * 10_000_000), head)]))
    stage.supervisor.look()
    line.child_sock.recv(100_000)  # the child has begun to read
    line._io(WRITE)
    assert line.progress > time.monotonic() + 0.05, "ten megabytes take a while"
    time.sleep(0.02)
    stage.supervisor.dispatcher.take_back(stage.children)
    assert line.outstanding, "it is not taken back meanwhile"


def test_a_large_frame_that_a_stuck_child_does_not_read_is_taken_back(stage: Stage) -> None:
    head = Head(task="t", id="large")
    stage.supervisor.taken(Taken([(Delivery(tag=1, queue="q", raw=b"x" * 10_000_000), head)]))
    began = time.monotonic()
    stage.until(lambda: stage.children[0].handed > 1 or not stage.children[0].outstanding)
    assert time.monotonic() - began < 0.2


# -- permits


@pytest.fixture
def narrow(stage: Stage) -> ChildLine:
    """A line whose pipe holds 512 permits, as Linux gives it to users who have many pipes."""
    line = stage.children[0]
    fcntl.fcntl(line.permits._write_fd, fcntl.F_SETPIPE_SZ, 4096)
    return line


def work_off(line: ChildLine, link: Link) -> list[int]:
    """Run what has permits as a child does: outcomes are told before it waits. The frames that ran."""
    ran: list[int] = []
    while True:
        run = link.try_next()
        if run is None:
            if not link.unsent:
                return ran
            link.flush()
            line._read()
        else:
            ran.append(run.seq)
            link.report(Outcome(run.seq, "done", 0.0, "t"))


def test_a_line_whose_pipe_is_small_still_permits_every_frame(stage: Stage, narrow: ChildLine) -> None:
    for start in range(0, 1500, 500):
        narrow.send([job(n) for n in range(start, start + 500)])
    assert work_off(narrow, stage.links[0]) == list(range(1, 1501))


def test_frames_whose_permits_did_not_fit_are_taken_back_too(stage: Stage, narrow: ChildLine) -> None:
    for start in range(0, 1500, 500):
        narrow.send([job(n) for n in range(start, start + 500)])
    assert len(narrow.recall()) == 1500
    assert not narrow.outstanding


@pytest.mark.parametrize("recall", [False, True])
def test_a_stop_reaches_a_child_whose_pipe_is_full(stage: Stage, narrow: ChildLine, recall: bool) -> None:
    narrow.send([job(n) for n in range(512)])
    narrow.ask_to_stop()
    if recall:
        assert len(narrow.recall()) == 512
    with pytest.raises(Stop):
        work_off(narrow, stage.links[0])


def test_what_a_child_says_that_nobody_understands_ends_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    line = stage.children[0]
    monkeypatch.setattr(line, "kill", lambda: killed.append(1))
    stage.take(1)
    run = stage.links[0].next()
    stage.links[0].report(Outcome(run.seq, "done", 0.1, "t"))
    stage.links[0].flush()
    line.child_sock.sendall(b"\x05\0\0\0hello")  # a task wrote to a descriptor that was not its own
    line._read()
    assert killed == [1]
    assert kinds(stage.fetched.settlements) == [("Ack", 1)]


def test_released_messages_come_last_first_so_that_the_old_order_comes_out(stage: Stage) -> None:
    stage.take(1, 2, 3)
    stage.links[0].next()
    stage.supervisor.ending.warm()
    assert [told.tag for told in stage.fetched.settlements if isinstance(told, Release)] == [3, 2]


def test_a_crashed_task_runs_again_at_once_and_then_after_growing_pauses() -> None:
    for crashes, pause in [(0, 0.0), (1, 1.0)]:
        stage = Stage()
        stage.take(1, crashes=crashes)
        stage.links[0].next()
        began = time.time()
        stage.die()
        (told,) = stage.fetched.settlements
        assert isinstance(told, Defer)
        assert (told.due or began) - began == pytest.approx(pause, abs=0.5)
        assert told.counted == "crash"
        assert told.first is (pause == 0.0), "at first nothing that waits goes before it"
        stage.close()


def test_what_ran_as_the_template_died_is_counted_and_not_blamed(stage: Stage) -> None:
    """It may have killed it: given back uncounted, it would do so without end."""
    stage.take(1)
    stage.links[0].next()
    stage.die(how="killed with its template process", blame=False)
    assert stage.fetched.settlements == [Defer(tag=1, counted="delivery", first=True)]


def test_what_ran_in_a_child_that_we_replaced_is_not_even_counted(stage: Stage) -> None:
    stage.take(1)
    stage.links[0].next()
    stage.children[0].innocent = True
    stage.die(blame=False)
    assert stage.fetched.settlements == [Release(tag=1)]


def test_ack_is_told_only_once_for_an_early_task(stage: Stage) -> None:
    stage.take(1, name="early")
    assert kinds(stage.fetched.settlements) == [("Ack", 1)]
    assert isinstance(stage.fetched.settlements[0], Ack)
    stage.settle_all()
    stage.run()
    assert stage.fetched.settlements == []


@pytest.mark.parametrize("cancels", [False, True])
def test_what_runs_is_stopped_when_the_broker_is_lost_only_if_the_settings_say_so(cancels: bool) -> None:
    stage = Stage(worker_cancel_long_running_tasks_on_connection_loss=cancels)
    stage.take(1)
    run = stage.links[0].next()
    stage.links[0].chalk.enter(0, run.seq, 1.0)
    stage.supervisor.lost()
    assert kinds(stage.fetched.settlements) == ([("Release", 1)] if cancels else [])
    assert stage.replaced == (stage.children if cancels else [])
    stage.close()


def test_a_task_acknowledged_early_runs_on_although_the_broker_is_lost() -> None:
    stage = Stage(worker_cancel_long_running_tasks_on_connection_loss=True)
    stage.take(1, name="early")
    stage.settle_all()
    run = stage.links[0].next()
    stage.links[0].chalk.enter(0, run.seq, 1.0)
    stage.supervisor.lost()
    assert stage.fetched.settlements == []
    assert stage.replaced == []
    stage.close()
