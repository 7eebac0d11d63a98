"""What a command line says to options that the app adds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest

from skirret import signals
from skirret.cli import exits
from skirret.cli.root import root
from skirret.cli.user_options import set_apart, spellings

APP = """
import json, click
from skirret import Skirret, signals
app = Skirret("proj", broker="memory://proj", backend="memory://proj")
app.user_options["preload"].add(click.Option(["-Z", "--template"], default="plain", help="What to look like."))
app.user_options["worker"].add(click.Option(["--region"], help="Where it is."))
@signals.user_preload_options.connect
def heard(sender, app, options, **more):
    with open("heard", "a") as file: file.write(json.dumps([sender, app.main, options]) + "\\n")
"""

OURS = click.Group(
    "ours",
    params=[click.Option(["-E"], is_flag=True), click.Option(["-f", "--file"]), click.Option(["--pair"], nargs=2)],
    commands={"inner": click.Command("inner", params=[click.Option(["--deep"])])},
)
THEIRS = spellings([click.Option(["-Z", "--template"]), click.Option(["--loud"], is_flag=True)])


@pytest.mark.parametrize(
    "line, own, apart",
    [
        ("-f a --template b -E", "-f a -E", "--template b"),
        ("--template=b x", "x", "--template=b"),
        ("-Zb -Ef a", "-Ef a", "-Zb"),
        ("-Efa -Z -E", "-Efa", "-Z -E"),
        ("--loud x", "x", "--loud"),
        ("--pair --template b --loud", "--pair --template b", "--loud"),
        ("--pair=1 2 --loud", "--pair=1 2", "--loud"),
        ("inner --deep 1 --template b", "inner --deep 1", "--template b"),
        ("--deep --loud", "--deep", "--loud"),
        ("- -- --loud", "- -- --loud", ""),
        ("--file", "--file", ""),
    ],
)
def test_arguments_are_divided_as_click_would_read_them(line, own, apart):
    assert set_apart(click.Context(OURS), OURS, line.split(), THEIRS) == (own.split(), apart.split())


@pytest.mark.parametrize(
    "line, own, apart",
    [
        ("-f a --any b c -E", "-f a -E", "--any b c"),
        ("--any=b -E --other", "-E", "--any=b --other"),
        ("-Zfile -E", "-E", "-Zfile"),
    ],
)
def test_before_the_app_is_known_each_unknown_option_and_its_words_are_its(line, own, apart):
    assert set_apart(click.Context(OURS), OURS, line.split(), None) == (own.split(), apart.split())


@pytest.fixture
def heard(tmp_path: Path):
    (tmp_path / "proj.py").write_text(APP, encoding="utf-8")

    def read() -> list[list[object]]:
        file = tmp_path / "heard"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


@pytest.fixture(autouse=True)
def fresh():
    """Each test imports the app of its own, whose receivers end with it."""
    yield
    for receiver in signals.user_preload_options.receivers:
        signals.user_preload_options.disconnect(receiver)
    sys.modules.pop("proj", None)


@pytest.mark.parametrize("words, told", [("--template x", "x"), ("-Zx", "x"), ("", "plain")])
def test_a_preload_option_of_any_command_is_told_once(cli, heard, words, told):
    done = cli("-A", "proj", "queues", *words.split(), "--json")
    assert done.exit_code == 0, done.output
    assert heard() == [["queues", "proj", {"template": told}]]


def test_an_option_that_neither_command_nor_app_has_is_refused_by_the_command(cli, heard):
    done = cli("-A", "proj", "queues", "--tmplate", "x")
    assert done.exit_code == exits.USAGE
    assert "--tmplate" in done.stderr
    assert heard() == []


def test_help_shows_the_options_of_the_app_and_an_app_that_fails_keeps_nobody_from_help(cli, heard, tmp_path):
    shown = cli("-A", "proj", "worker", "--help")
    assert "What to look like." in shown.stdout
    assert "Where it is." in shown.stdout
    assert "Where it is." not in cli("-A", "proj", "queues", "--help").stdout
    (tmp_path / "broken.py").write_text("raise OSError('nothing works')", encoding="utf-8")
    broken = cli("-A", "broken", "worker", "--help")
    assert broken.exit_code == 0
    assert "nothing works" in broken.stderr


def test_the_words_of_a_worker_are_handed_on_and_the_app_is_not_imported(cli, heard, monkeypatch):
    asked = []
    monkeypatch.setattr("skirret.worker.run", lambda options, started=None: asked.append(options) or 0)
    assert cli("-A", "proj", "worker", "-c", "1", "--region", "eu", "-Zx", "-E").exit_code == 0
    assert asked[0].user_args == ["--region", "eu", "-Zx"]
    assert asked[0].task_events
    assert "proj" not in sys.modules


def test_a_command_without_an_app_refuses_what_it_does_not_know(cli):
    done = cli("worker", "--region", "eu")
    assert done.exit_code == exits.USAGE
    assert "--region" in done.stderr
    assert root.get_command(click.Context(root), "worker") is not None
