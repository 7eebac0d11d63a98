from __future__ import annotations

from types import SimpleNamespace

import pytest

from skirret import states
from skirret.demo.files import Selection
from skirret.demo.processes import Worker
from skirret.demo.run import WINDOW, Demo, Plan
from skirret.meta import ResultMeta


class Reader:
    """Results that the test finishes by hand."""

    def __init__(self) -> None:
        self.done: dict[str, ResultMeta] = {}
        self.asked: list[int] = []

    def metas(self, ids):
        self.asked.append(len(ids))
        return {task_id: self.done.get(task_id, ResultMeta(task_id=task_id)) for task_id in ids}

    def finish(self, task_id: str, status: str = states.SUCCESS, attempts: int = 1) -> None:
        self.done[task_id] = ResultMeta(task_id=task_id, status=status, result={"attempts": attempts})


@pytest.fixture
def demo(tmp_path) -> Demo:
    """A demo of 2,000 files that are all sent, with a `Reader` for its results."""
    paths = [f"file-{number}" for number in range(2000)]
    demo = Demo(Plan(selection=Selection(tmp_path, paths, 0), project=tmp_path), lambda progress: None)
    demo.app = SimpleNamespace(reader=Reader())
    demo._outstanding = {f"id-{number}": path for number, path in enumerate(paths)}
    return demo


def test_results_are_counted_once_by_their_outcome(demo):
    demo.app.reader.finish("id-0")
    demo.app.reader.finish("id-1", attempts=2)
    demo.app.reader.finish("id-2", states.FAILURE)
    assert demo._collect(0.0) == 3
    assert demo._collect(0.0) == 0
    assert (demo.progress.done, demo.progress.retried, demo.progress.failed) == (2, 1, 1)
    assert demo._failed == {"file-2": "FAILURE: {'attempts': 1}"}


def test_tasks_that_were_overtaken_do_not_hide_those_behind_them(demo):
    for number in range(1, WINDOW, 2):
        demo.app.reader.finish(f"id-{number}")
    demo._collect(0.0)
    for number in range(WINDOW, WINDOW + 100):
        demo.app.reader.finish(f"id-{number}")
    assert demo._collect(0.0) == 100


def test_overtaken_tasks_are_counted_when_they_finish(demo):
    for number in range(1, 2000):
        demo.app.reader.finish(f"id-{number}")
    while demo._outstanding:
        demo._collect(0.0)
    assert demo.progress.done == 1999
    demo.app.reader.finish("id-0", attempts=2)
    assert demo._collect(0.0) == 1
    assert demo.progress.done == 2000


def test_one_look_asks_for_a_bounded_number_of_results(demo):
    demo._collect(0.0)
    assert demo.app.reader.asked == [WINDOW]


def test_an_interruption_ends_the_work_and_the_worker(demo, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(Demo, "_prepare", lambda self: None)
    monkeypatch.setattr(Demo, "_send", lambda self, paths: setattr(self.progress, "sent", 2000))
    for name in ("start", "kill", "check"):
        monkeypatch.setattr(Worker, name, lambda self, name=name: told.append(name))
    monkeypatch.setattr(Worker, "sweep", lambda self, seconds: told.append(f"sweep {seconds}"))
    demo.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        demo.run()
    assert told == ["start", "check", "kill", "sweep 0.0"]


def test_on_a_broker_that_others_use_the_demo_keeps_to_a_queue_of_its_own(tmp_path):
    def plan(**more) -> Plan:
        return Plan(selection=Selection(tmp_path, ["x"], 0), project=tmp_path, **more)

    demos = [Demo(plan(broker="redis://h/0"), lambda progress: None) for _ in range(2)]
    assert all(demo.queue.startswith("skirret-demo-") for demo in demos)
    assert demos[0].queue != demos[1].queue
    assert demos[0].results == "redis://h/0"
    embedded = Demo(plan(), lambda progress: None)
    assert embedded.broker == embedded.results == f"sqlite:///{tmp_path}/.skirret/queue.sqlite3"
