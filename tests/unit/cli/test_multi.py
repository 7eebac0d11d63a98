"""``skirret multi`` reads its arguments as ``celery multi`` does, and says more clearly what it cannot read."""

from __future__ import annotations

import io
import signal
import sys

import pytest
from celery.bin.multi import MultiTool

from skirret.cli.multi_language import read


def theirs(line: str) -> list[str]:
    """What Celery prints, with the program's name replaced."""
    out = io.StringIO()
    MultiTool(stdout=out, stderr=out, nosplash=True).execute_from_commandline(["celery", *line.split()])
    return [" ".join(text.split()).replace("celery", "skirret") for text in out.getvalue().splitlines() if text.strip()]


@pytest.fixture
def ours(cli):
    def run(line: str) -> list[str]:
        done = cli("multi", *line.split())
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize(
    "line",
    [
        "show 3 -c 3 -c:1 10 -Q:1 images",
        "show 10 -l INFO -Q:1-3 images,video -Q:4,5 data -Q default -l:4,5 DEBUG",
        "show image video data -c 3 -c:image 10",
        "show foo bar baz xuzzy -c 3 -c:foo,bar,baz 10",
        "show 2 --range-prefix=worker -c3",
        "show 2 --suffix=x.y --append=-E",
        "show a --hostname=h.x.y -A proj",
        "show a b -n other -b redis://x",
        "show a@x b@%h -c:a@x 3 -c:b 4 --concurrency:b=7",
        "show a --pidfile=/x/%n.pid --logfile=/y/%n-%d-%h-%i%I.log",
        "show a b --pidfile:b=/z/%n -l INFO",
        "show 2 --uid=nobody --umask:2=022 --nosplash --verbose --quiet --no-color",
        "show a b -c:3-5 7 -c:elsewhere 9",
        "show a -E --purge --workdir=/tmp -- more words",
        "names 3",
        "names a b c@foo.com --hostname=x.example.com",
        "names 3-5 b,c",
        "expand %n%I-%h-%d-%p-%%-%i 2 --suffix=a.b",
        "expand /var/run/%n.pid a@x.y.z b",
    ],
)
def test_it_prints_what_celery_prints_with_the_programs_name_replaced(ours, line):
    assert ours(line) == theirs(line)


def test_get_prints_the_command_line_of_one_node(ours):
    (line,) = ours("get b a b -c 3 -c:b 4")
    (celerys,) = theirs("show b -c 4")
    assert line == celerys
    assert ours("get b@h 1 b@h")[0].startswith(f"{sys.executable} -m skirret worker --detach -n b@h ")


def test_an_option_that_is_known_to_be_a_flag_takes_no_name_away(ours):
    assert ours("names -E a --purge b")[0].startswith("a@")
    assert len(ours("names -E a --purge b")) == 2


def test_an_option_that_is_known_to_take_a_value_takes_the_next_word(ours):
    (line,) = ours("show a --logfile /l/%n.log --concurrency 4")
    assert "--logfile=/l/a.log --concurrency=4" in line


def test_the_options_before_multi_count_unless_those_behind_it_say_otherwise(cli):
    assert " -m skirret --app=proj worker " in cli("-A", "proj", "multi", "show", "a").stdout
    assert "--app=other" in cli("-A", "proj", "multi", "show", "a", "--app=other").stdout


def test_another_command_may_be_run(ours):
    assert ours("show a --cmd=/opt/bin/skirret")[0].startswith("/opt/bin/skirret worker --detach -n a@")


@pytest.mark.parametrize(
    "word, number", [("-9", signal.SIGKILL), ("-KILL", signal.SIGKILL), ("-SIGHUP", signal.SIGHUP), ("-E", None)]
)
def test_a_signal_is_named_as_kill_names_it(word, number):
    assert read(["a", word], flags={"-E"}, valued=()).signal is number


@pytest.mark.parametrize(
    "line, words",
    [
        ("show 2 -c:9 3", "there is no node '9': the nodes are numbered from 1 to 2"),
        ("show 2 -c:0 3", "there is no node '0'"),
        ("show 5 -c:3-1 3", "there is no node '3-1'"),
        ("show", "needs names of nodes, or how many"),
        ("strat 3", "multi knows no 'strat'; it knows start"),
    ],
)
def test_what_means_nothing_is_told_as_usage(cli, line, words):
    done = cli("multi", *line.split())
    assert done.exit_code == 2
    assert words in done.stderr


def test_help_names_every_verb(ours):
    text = "\n".join(ours("help"))
    for verb in ["start", "stop", "stopwait", "restart", "kill", "show", "get", "names", "expand"]:
        assert f"skirret multi {verb}" in text
    assert ours("help") == ours("--help")
