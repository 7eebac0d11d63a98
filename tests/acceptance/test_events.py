"""``skirret events`` as a person runs it: printed, photographed, in the background, ended politely."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.processes import run, running

TASKS = """
import os
from skirret import Skirret

app = Skirret("shop")

@app.task(bind=True)
def pay(self, order):
    self.send_event("task-progress", done=order)
    return order

@app.task
def fail():
    raise ValueError("bad")
"""

CAMERA = """
import os
from skirret.events.snapshot import Polaroid

class Camera(Polaroid):
    clear_after = False

    def on_shutter(self, state):
        with open("pictures", "a") as out:
            print(os.getpid(), *sorted(w.hostname for w in state.alive_workers()), file=out)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "shop.py").write_text(TASKS)
    (tmp_path / "camera.py").write_text(CAMERA)
    return tmp_path


def until(condition: Callable[[], object], patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.02)


def test_events_are_printed_as_they_come_for_people_and_for_programs(project):
    with (
        running("skirret -A shop events --dump", project) as told,
        running("skirret -A shop -q events --json", project) as lines,
    ):
        told.wait_until_it_says("until Ctrl-C")
        until(lambda: len(list(Path(os.environ["SKIRRET_HOME"]).glob("*.bells/h*"))) == 2)
        with running("skirret -A shop worker -c 1 -E -n w1@h -l info", project) as worker:
            worker.wait_until_it_says("ready.")
            assert run("skirret -A shop -q call shop.pay -a [7] --wait", project)[0] == 0
            assert run("skirret -A shop -q call shop.fail", project)[0] == 0
            told.wait_until_it_says("ValueError('bad')")
        for program in (told, lines):
            program.wait_until_it_says("offline")
        assert told.stop() == 0
        assert lines.stop(signal.SIGINT) == 0
    events = [json.loads(line) for line in lines.said().splitlines()]
    events = [event for event in events if event["type"] != "worker-heartbeat"]
    assert [event["type"] for event in events] == [
        "worker-online", "task-received", "task-progress", "task-started", "task-succeeded", "task-received",
        "task-started", "task-failed", "worker-offline",
    ]  # fmt: skip
    said = [line.split(maxsplit=2)[2] for line in told.said().splitlines()[1:]]
    paid = events[1]["uuid"]
    assert any(line.startswith("task succeeded") and f"shop.pay[{paid}]" in line for line in said)
    assert any(line.startswith("task received") and "args=(7,)" in line for line in said)


def test_a_camera_runs_in_the_background_and_keeps_its_pid_file(project):
    command = "skirret -A shop events -c camera:Camera -F 0.05 --detach --pidfile cam.pid --logfile cam.log"
    with running("skirret -A shop worker -c 1 -n w1@h -l info", project) as worker:
        worker.wait_until_it_says("ready.")
        status, said = run(command, project)
        assert status == 0, said
        assert "the camera runs in the background" in said
        pictures = project / "pictures"
        until(lambda: pictures.exists() and "w1@h" in pictures.read_text())
        pid = int((project / "cam.pid").read_text())
        assert pictures.read_text().split()[0] == str(pid)
        status, said = run(command, project)
        assert status == 78
        assert "cam.pid" in said
        os.kill(pid, signal.SIGTERM)
        until(lambda: not (project / "cam.pid").exists())


@pytest.mark.parametrize(
    "options, status, words",
    [
        ("-c nothing:Here", 78, "cannot load 'nothing:Here'"),
        ("-c camera:Camera -r 10/y", 2, "is not a rate"),
        ("", 78, "needs a terminal"),
    ],
)
def test_what_cannot_be_done_is_said(project, options, status, words):
    code, said = run(f"skirret -A shop events {options}", project)
    assert (code, words in said) == (status, True), said
