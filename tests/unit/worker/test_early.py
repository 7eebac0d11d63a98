"""Tasks that are acknowledged before they begin: what may come between the acknowledgement and the beginning."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from skirret import clock
from skirret.errors import WorkerLostError
from skirret.outcome import Ack
from skirret.wire import results
from skirret.worker.ending import Phase
from skirret.worker.frames import Outcome
from skirret.worker.limits import LOOK
from skirret.worker.remote.node import Node
from skirret.worker.remote.revoked import Marked, sweep
from tests.unit.worker.stage import Stage


def test_an_acknowledged_task_that_had_not_begun_when_the_stop_came_still_runs(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all()
    assert stage.children[0].outstanding, "sent, not started"
    stage.supervisor.ending.warm()
    assert stage.supervisor.ending.phase is Phase.WARM
    stage.run()
    assert stage.fetched.finished


def test_a_task_whose_acknowledgement_is_on_its_way_when_the_stop_comes_still_runs(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.supervisor.ending.warm()
    assert not stage.fetched.finished
    stage.settle_all()
    stage.run()
    assert stage.fetched.finished


def test_a_cold_stop_ends_although_an_acknowledged_task_waits_and_records_its_loss(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all()
    stage.supervisor.ending.cold()
    stage.die()
    stage.until(lambda: stage.fetched.finished)
    assert [(record.task_id, record.state) for record in stage.fetched.stored] == [("id-1", "FAILURE")]


def test_a_cold_stop_does_not_wait_for_an_acknowledgement_that_never_comes(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.supervisor.ending.cold()
    stage.die()
    stage.until(lambda: stage.fetched.finished, 4)


def test_a_cold_stop_records_the_loss_of_a_task_that_is_acknowledged_meanwhile(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.supervisor.ending.cold()
    stage.die()
    assert not stage.fetched.finished
    stage.settle_all()
    assert [record.task_id for record in stage.fetched.stored] == ["id-1"]
    stage.until(lambda: stage.fetched.finished)


def test_a_cold_stop_ends_although_a_child_cannot_be_killed(stage: Stage) -> None:
    stage.take(1)
    stage.links[0].next()
    stage.supervisor.ending.cold()
    stage.until(lambda: stage.fetched.finished, 4)


def test_a_fence_leaves_acknowledged_tasks_to_run_for_nobody_else_has_them(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all()
    stage.links[0].next()
    stage.supervisor.fenced()
    assert stage.replaced == []
    assert [job.stale for job in stage.children[0].outstanding.values()] == [False]


def test_a_fence_leaves_acknowledged_tasks_that_had_not_begun(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all()
    stage.supervisor.fenced()
    stage.run()
    assert not stage.children[0].outstanding


def test_the_loss_of_an_acknowledged_task_beside_a_fenced_one_is_recorded() -> None:
    stage = Stage(slots=2)
    stage.take(1, name="early")
    stage.settle_all()
    stage.take(2)
    assert {stage.links[0].next().seq, stage.links[0].next().seq} == {1, 2}
    stage.supervisor.fenced()
    stage.die()
    assert [record.task_id for record in stage.fetched.stored] == ["id-1"]
    stage.close()


def test_an_acknowledgement_that_was_refused_starts_nothing(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all(flag=False)
    assert stage.links[0].try_next() is None
    assert stage.children[0].reserved == {}
    assert stage.children[0].free() == 1


def test_a_slot_kept_for_an_acknowledgement_is_free_again_when_its_child_died(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.die()
    stage.settle_all()
    assert stage.children[0].reserved == {}
    stage.run()
    assert stage.children[0].free() == 1


def test_the_loss_of_an_acknowledged_task_is_recorded_when_its_child_dies(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all()
    stage.links[0].next()
    stage.die()
    (record,) = stage.fetched.stored
    meta = results.decode(record.payload, accept=None)
    assert isinstance(meta.result, WorkerLostError)


def begin(stage: Stage, seq: int) -> None:
    """The first child notes that it runs user code of a frame."""
    stage.links[0].chalk.enter(0, seq, clock.monotonic())


def test_a_task_keeps_its_time_limit_however_long_its_acknowledgement_takes(stage: Stage) -> None:
    stage.take(1, name="early", limit=0.05)
    stage.let_pass(2 * LOOK)
    stage.settle_all()
    begin(stage, stage.links[0].next().seq)
    stage.until(lambda: stage.replaced)


def test_a_task_keeps_its_time_limit_however_long_the_fleet_is_asked() -> None:
    stage = Stage()
    stage.supervisor.gates.change_rate("shared", "100/s")
    stage.take(1, name="shared", limit=0.05)
    stage.let_pass(2 * LOOK)
    stage.supervisor.claimed([1], [])
    stage.supervisor.look()
    begin(stage, stage.links[0].next().seq)
    stage.until(lambda: stage.replaced)
    stage.close()


def test_one_in_doubt_that_is_being_acknowledged_counts_as_begun(stage: Stage) -> None:
    stage.take(1, name="early", deliveries=9)
    stage.until(lambda: stage.fetched.settlements)
    assert stage.children[0].reserved
    stage.fetched.settlements.clear()
    stage.take(2, name="t", deliveries=9)
    assert [each.tag for each in stage.fetched.settlements] == [2], "put off: whoever dies now has counted both"


def test_nobody_joins_a_suspect_that_is_being_acknowledged() -> None:
    stage = Stage(slots=2)
    stage.add(slots=2)
    stage.take(1, name="early", crashes=1)
    (home,) = [child for child in stage.children if child.reserved]
    stage.take(2, 3, 4)
    assert not home.outstanding
    stage.settle_all()
    assert [job.delivery.tag for job in home.outstanding.values()] == [1]
    stage.close()


def test_a_task_that_is_revoked_while_it_is_being_acknowledged_does_not_begin(stage: Stage) -> None:
    node: Any = SimpleNamespace(supervisor=stage.supervisor, children=stage.children)
    node.waiting = lambda: Node.waiting(node)
    node.running = lambda: Node.running(node)
    stage.take(1, name="early")
    sweep(node, Marked(frozenset({"id-1"})))
    assert stage.fetched.settlements == [Ack(tag=1)]
    stage.settle_all()
    assert stage.links[0].try_next() is None
    assert [(record.task_id, record.state) for record in stage.fetched.stored] == [("id-1", "REVOKED")]
    assert stage.children[0].free() == 1


def test_a_worker_ends_with_its_last_job_whatever_else_came_in_the_same_round(stage: Stage) -> None:
    stage.take(1, name="early")
    stage.settle_all()
    run = stage.links[0].try_next()
    assert run is not None
    stage.supervisor.ending.warm()
    stage.let_pass(0.1)  # nobody looks at times any more
    stage.links[0].report(Outcome(run.seq, "done", 0.1, "early"))
    stage.links[0].flush()
    stage.children[0].hear()
    stage.supervisor.pump()
    stage.until(lambda: stage.fetched.finished)
