"""Options that an app adds to the command line, read by the processes of a real worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.processes import run, running

pytestmark = pytest.mark.timeout(120)

APP = """
import json, os, click
from skirret import Skirret, signals
app = Skirret("proj")
app.user_options["preload"].add(click.Option(["-Z", "--template"], default="plain"))
app.user_options["worker"].add(click.Option(["--zones"], type=int, nargs=2))
def note(**what):
    with open("heard", "a") as file: file.write(json.dumps(what) + "\\n")
@signals.user_preload_options.connect
def preload(sender, app, options, **more):
    app.conf.worker_concurrency = {"wide": 3}.get(options["template"], 1)
    note(signal="preload", sender=sender, options=options)
@signals.celeryd_init.connect
def init(instance, options, **more):
    app.worker = instance
    note(signal="init", zones=options["zones"], template=options["template"], same=options == instance.options)
@signals.worker_process_init.connect
def child(**more):
    note(signal="child", zones=app.worker.options["zones"])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "proj.py").write_text(APP, encoding="utf-8")
    return tmp_path


def heard(project: Path, signal: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (project / "heard").read_text().splitlines()]
    return [line for line in lines if line.pop("signal") == signal]


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_tells_its_app_what_its_options_say_before_anything_is_set_up(project: Path, pool: str) -> None:
    with running(f"skirret -A proj worker -P {pool} -l info --zones 4 5 --template wide", project) as worker:
        worker.wait_until_it_says("ready.")
    assert heard(project, "preload") == [{"sender": "worker", "options": {"template": "wide"}}]
    assert heard(project, "init") == [{"zones": [4, 5], "template": "wide", "same": True}]
    assert heard(project, "child") == [{"zones": [4, 5]}] * (3 if pool == "prefork" else 1)


def test_defaults_are_told_where_the_command_line_is_silent(project: Path) -> None:
    with running("skirret -A proj worker -l info", project) as worker:
        worker.wait_until_it_says("ready.")
    assert heard(project, "preload") == [{"sender": "worker", "options": {"template": "plain"}}]
    assert heard(project, "child") == [{"zones": None}]


@pytest.mark.parametrize(
    "words, said",
    [("--concurency 4", "Did you mean --concurrency?"), ("--zones 1", "--zones"), ("--zones a b", "'a'")],
)
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_what_neither_worker_nor_app_takes_ends_the_worker_as_a_wrong_usage(
    project: Path, words: str, said: str, pool: str
) -> None:
    status, text = run(f"skirret -A proj worker -P {pool} {words}", project)
    assert status == 2
    assert said in text
    assert "Traceback" not in text
