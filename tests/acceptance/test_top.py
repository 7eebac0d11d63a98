"""The live view: what it works out, what it shows of a real worker, and what its keys do."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from textual.widgets import DataTable, Input, Static

from skirret import Skirret, clock
from skirret.cli import top
from skirret.cli.session import Session
from skirret.cli.top.dialogs import Ask, Detail
from skirret.cli.top.feed import Feed
from skirret.cli.top.fleet import Fleet, QueueRow, arguments, duration, rate
from skirret.cli.top.screen import Top
from skirret.errors import ImproperlyConfigured, MissingDependency, OperationalError
from skirret.testing.worker import worker


class Story:
    """Tells events to a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clock = 0

    def __call__(self, kind: str, host: str = "w1@h", **fields: Any) -> None:
        self.clock += 1
        now = clock.wall()
        common = {"hostname": host, "clock": self.clock, "timestamp": now, "local_received": now, "pid": 1}
        self.fleet.hear({**common, "type": kind, **fields})


@pytest.fixture
def fleet():
    return Fleet()


@pytest.fixture
def tell(fleet):
    return Story(fleet)


BEAT = {"freq": 2.0, "active": 1, "processed": 100, "loadavg": [0.5, 1, 1], "sw_ident": "py-skirret", "sw_ver": "1"}


# -- the fleet ---------------------------------------------------------------------------------------------------------


def test_workers_are_listed_with_the_living_first(fleet, tell):
    for host in ("b@h", "c@h", "a@h"):
        tell("worker-heartbeat", host, **BEAT)
    tell("worker-offline", "a@h", **BEAT)
    rows = fleet.workers()
    assert [(row.name, row.alive) for row in rows] == [("b@h", True), ("c@h", True), ("a@h", False)]
    assert (rows[0].active, rows[0].processed, rows[0].load, rows[0].version) == (1, 100, 0.5, "skirret 1")
    assert rows[2].active == 0


def test_rates_are_what_heartbeats_differ_by(fleet, tell, monkeypatch):
    now = time.time()
    for at, processed in ((0.0, 100), (2.0, 140), (4.0, 180)):
        monkeypatch.setattr(clock, "wall", lambda at=at: now + at)
        tell("worker-heartbeat", **{**BEAT, "processed": processed})
    assert fleet.workers()[0].rate == pytest.approx(20.0)
    monkeypatch.setattr(clock, "wall", lambda: now + 100.0)
    assert fleet.figures().rate == 0.0, "a worker that is gone does nothing"


def test_what_runs_stands_on_top_the_longest_first(fleet, tell):
    for number, task_id in enumerate(("done", "old", "new", "waits")):
        tell("task-received", uuid=task_id, name=f"n.{task_id}", args=f"({number},)", kwargs="{}")
    tell("task-started", uuid="old", timestamp=clock.wall() - 60)
    tell("task-started", uuid="new")
    tell("task-started", uuid="done")
    tell("task-succeeded", uuid="done", result="5", runtime=0.5)
    rows = fleet.tasks(10)
    assert [row.id for row in rows] == ["old", "new", "done", "waits"]
    assert rows[0].seconds == pytest.approx(60, abs=5)
    assert (rows[2].state, rows[2].seconds, rows[2].text, rows[2].arguments) == ("SUCCESS", 0.5, "5", "0")
    assert [row.id for row in fleet.tasks(10, running_only=True)] == ["old", "new"]
    assert [row.id for row in fleet.tasks(1)] == ["old"]
    assert [row.id for row in fleet.tasks(10, search="N.DONE")] == ["done"]


def test_a_custom_state_counts_as_running(fleet, tell):
    tell("task-progress", uuid="a", done=3)
    assert [row.state for row in fleet.tasks(10, running_only=True)] == ["PROGRESS"]


def test_figures_add_up_the_fleet(fleet, tell):
    tell("worker-heartbeat", "a@h", **BEAT)
    tell("worker-heartbeat", "b@h", **{**BEAT, "active": 2})
    tell("worker-offline", "c@h", **BEAT)
    for number in range(20):
        tell("task-failed", "a@h", uuid=str(number))
    fleet.queues = [QueueRow(name="x", ready=3, dead=1), QueueRow(name="y", ready=4)]
    figures = fleet.figures()
    assert (figures.workers, figures.gone, figures.active, figures.ready, figures.dead) == (2, 1, 3, 7, 1)
    assert figures.failures == 2.0


@pytest.mark.parametrize(
    "seconds, text",
    [(None, ""), (0.00042, "0.4 ms"), (0.012, "12 ms"), (0.9999, "1.0 s"), (59.94, "59.9 s"), (59.99, "1m00s"),
     (125, "2m05s"), (3725, "1h02m")],
)  # fmt: skip
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_rates_and_arguments_are_short():
    assert [rate(value) for value in (0, 0.42, 12.4, 1240.0)] == ["0", "0.4", "12", "1,240"]
    assert arguments("(1,)", "{}") == "1"
    assert arguments("(2, 'x')", "{'y': 3}") == "2, 'x', {'y': 3}"
    assert arguments(None, None) == ""


# -- the screen --------------------------------------------------------------------------------------------------------


class Recorder:
    """A feed that remembers what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.fault: Exception | None = None

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def _note(self, *words: Any) -> str:
        if self.fault:
            raise self.fault
        self.asked.append(words)
        return f"told {words[0]}"

    def revoke(self, task_id, *, terminate):
        return self._note("revoke", task_id, terminate)

    def pause(self, queue, *, on):
        return self._note("pause", queue, on)

    def resize(self, name, by):
        return self._note("resize", name, by)

    def tell_events(self, workers):
        return self._note("events", workers)

    def shut_down(self, name):
        return self._note("stop", name)


@pytest.fixture
def view(fleet, tell):
    tell("worker-heartbeat", **BEAT)
    tell("task-received", uuid="id-1", name="shop.pay", args="(1,)", kwargs="{}")
    tell("task-started", uuid="id-1")
    tell("task-received", uuid="id-2", name="shop.ship", args="(2,)", kwargs="{}")
    tell("task-failed", uuid="id-2", exception="ValueError('bad')", traceback="Traceback: here")
    fleet.queues = [QueueRow(name="celery", ready=12), QueueRow(name="mail", paused=True)]
    return Top(fleet, Recorder(), "redis://h/0", 0.2)  # type: ignore[arg-type]


def cells(view: Top, name: str) -> list[list[str]]:
    """The texts of a table."""
    table = view.query_one(f"#{name}", DataTable)
    return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]


async def until(pilot: Any, condition: Callable[[], object]) -> None:
    """Wait for a condition while the view lives."""
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)


async def test_it_shows_workers_queues_and_tasks(view):
    async with view.run_test(size=(140, 40)) as pilot:
        await pilot.pause()
        assert cells(view, "workers") == [["●", "w1@h", "1", "100", "0", "0.50", "skirret 1"]]
        assert [row[:2] + row[-1:] for row in cells(view, "queues")] == [["celery", "12", ""], ["mail", "0", "paused"]]
        tasks = cells(view, "tasks")
        assert [row[:2] for row in tasks] == [["started", "shop.pay"], ["failure", "shop.ship"]]
        assert tasks[1][3:] == ["w1@h", "2", "ValueError('bad')"]
        assert "redis://h/0" in str(view.query_one("#title", Static).render())


async def test_enter_shows_all_about_a_task_and_escape_closes_it(view):
    async with view.run_test(size=(140, 40)) as pilot:
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(view.screen, Detail))
        told = " ".join(str(widget.render()) for widget in view.screen.query(Static))
        assert "Traceback: here" in told
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(view.screen, Detail))


@pytest.mark.parametrize("key, terminate", [("x", False), ("t", True)])
async def test_a_task_is_revoked_only_after_a_yes(view, key, terminate):
    async with view.run_test(size=(140, 40)) as pilot:
        for answer in ("n", "y"):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(view.screen, Ask))
            await pilot.press(answer)
            await until(pilot, lambda: not isinstance(view.screen, Ask))
        await until(pilot, lambda: view.feed.asked)
        assert view.feed.asked == [("revoke", "id-1", terminate)]


async def test_keys_steer_the_chosen_worker_and_queue(view):
    async with view.run_test(size=(140, 40)) as pilot:
        await pilot.press("p", "plus", "minus", "e")
        await until(pilot, lambda: len(view.feed.asked) == 4)
        assert sorted(view.feed.asked, key=str) == [
            ("events", ["w1@h"]), ("pause", "celery", True), ("resize", "w1@h", -1), ("resize", "w1@h", 1),
        ]  # fmt: skip
        view.query_one("#queues", DataTable).focus()
        await pilot.press("down", "p")
        await until(pilot, lambda: ("pause", "mail", False) in view.feed.asked)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(view.screen, Ask))
        await pilot.press("y")
        await until(pilot, lambda: ("stop", "w1@h") in view.feed.asked)


async def test_what_cannot_be_done_is_said_and_ends_nothing(view):
    view.feed.fault = OperationalError("the broker is away")
    async with view.run_test(size=(140, 40), notifications=True) as pilot:
        await pilot.press("e")
        await until(pilot, lambda: any("away" in note.message for note in view._notifications))
        assert view.is_running


async def test_tasks_are_searched_as_it_is_typed(view):
    async with view.run_test(size=(140, 40)) as pilot:
        await pilot.press("slash", *"ship", "enter")
        await until(pilot, lambda: [row[1] for row in cells(view, "tasks")] == ["shop.ship"])
        assert not view.query_one("#search", Input).has_class("shown")
        await pilot.press("escape")
        await until(pilot, lambda: len(cells(view, "tasks")) == 2)
        await pilot.press("r")
        await until(pilot, lambda: [row[1] for row in cells(view, "tasks")] == ["shop.pay"])


async def test_the_cursor_stays_on_its_task_when_others_come(view, tell):
    async with view.run_test(size=(140, 40)) as pilot:
        await pilot.press("down")
        assert view.chosen("tasks").id == "id-2"
        for number in range(5):
            tell("task-started", uuid=f"new-{number}", name="n")
        await until(pilot, lambda: len(cells(view, "tasks")) == 7)
        assert view.chosen("tasks").id == "id-2"


async def test_text_of_others_cannot_drive_the_terminal(view, tell):
    tell("task-received", uuid="evil", name="\x1b[31m[bold]x[/bold]", args="[/]", kwargs="{}")
    async with view.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: len(cells(view, "tasks")) == 3)
        assert cells(view, "tasks")[1][1] == "\\x1b[31m[bold]x[/bold]"


async def test_a_server_that_is_away_is_named_on_top(view):
    async with view.run_test(size=(140, 40)) as pilot:
        view.fleet.trouble = "no answer from [redis]"
        await until(pilot, lambda: view.query_one("#trouble").has_class("shown"))
        assert "no answer from [redis]" in str(view.query_one("#trouble", Static).render())


# -- a real worker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def app() -> Iterator[Skirret]:
    url = f"memory://{uuid.uuid4().hex}"
    app = Skirret("t", broker=url, backend=url, set_as_current=False)
    app.conf.worker_send_task_events = True
    yield app
    app.close()


async def test_a_real_workers_life_is_seen_and_its_queue_paused(app):
    go_on = threading.Event()

    @app.task(name="shop.pay")
    def pay(order):
        go_on.wait(30)
        return order

    fleet = Fleet()
    feed = Feed(app, fleet)
    view = Top(fleet, feed, "memory://", 0.2)
    with worker(app, hostname="w1@h", heartbeat=0.2):
        async with view.run_test(size=(140, 40)) as pilot:
            await until(pilot, lambda: cells(view, "workers"))
            assert cells(view, "workers")[0][1] == "w1@h"
            sent = await asyncio.to_thread(pay.delay, 7)
            await until(pilot, lambda: [row[:2] for row in cells(view, "tasks")] == [["started", "shop.pay"]])
            await until(pilot, lambda: cells(view, "workers")[0][2] == "1")
            go_on.set()
            await until(pilot, lambda: cells(view, "tasks")[0][0] == "success")
            assert await asyncio.to_thread(sent.get, timeout=10) == 7
            await until(pilot, lambda: cells(view, "workers")[0][3] == "1")
            await pilot.press("p")
            await until(pilot, lambda: cells(view, "queues")[0][-1] == "paused")
            assert app.paused_queues() == ["celery"]
            await pilot.press("p")
            await until(pilot, lambda: cells(view, "queues")[0][-1] == "")


# -- the command -------------------------------------------------------------------------------------------------------


def test_without_textual_it_says_what_to_install(monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(("textual", "skirret.cli.top.screen")):
            raise ModuleNotFoundError("no textual", name="textual")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=r"skirret\[top\]"):
        top.watch(Session())


def test_without_a_terminal_it_points_at_the_dump():
    with pytest.raises(ImproperlyConfigured, match="--dump"):
        top.watch(Session())
