"""The unit that ``skirret systemd`` prints starts that worker, stops it in order, and is one that systemd reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from skirret.cli.systemd import word

DEPLOY = Path(__file__).parents[3] / "docs" / "deploy"


def lines(text: str) -> dict[str, str]:
    """The settings of a unit; the last of each name."""
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w*=", line))


@pytest.fixture
def unit(cli):
    def make(*words: str) -> str:
        done = cli("-A", "shop.tasks", "systemd", *words)
        assert done.exit_code == 0, done.output
        return done.stdout

    return make


def test_it_starts_the_worker_of_this_directory_with_the_options_given(unit, tmp_path):
    found = lines(unit("-c", "4", "-Q", "images,mail", "-n", "w1@%h", "--user", "shop", "--logfile=/var/log/a b.log"))
    assert found["ExecStart"].partition(" ")[2] == (
        '-A shop.tasks worker --loglevel=info --grace=25 -c 4 -Q images,mail -n w1@%%h "--logfile=/var/log/a b.log"'
    )
    assert found["WorkingDirectory"] == str(tmp_path)
    assert found["User"] == "shop"
    assert "DynamicUser" not in found


def test_it_lets_tasks_finish_before_anything_is_killed(unit):
    for grace in (25, 600):
        found = lines(unit("--grace", str(grace)))
        assert f"--grace={grace}" in found["ExecStart"]
        assert int(found["TimeoutStopSec"]) > grace
        assert (found["KillMode"], found["Type"], found["DynamicUser"]) == ("mixed", "notify", "yes")


def test_systemd_reads_it_without_complaint(unit, tmp_path):
    file = tmp_path / "skirret-shop-tasks.service"
    file.write_text(unit("-c", "4", "--logfile=/var/log/a b $HOME %n.log"))
    assert file.read_text().startswith(f"# /etc/systemd/system/{file.name}\n")
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "text, found",
    [
        ("a", "a"),
        ("a b", '"a b"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "x"\\', '"say \\"x\\"\\\\"'),
        ("", '""'),
    ],
)
def test_a_word_stays_one_word_and_means_nothing_else(text, found):
    assert word(text) == found


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--detach"], "leave out --detach"),
        (["--pidfile=/x"], "leave out --pidfile=/x"),
        (["--name", "a b"], "no name of a unit"),
    ],
)
def test_what_does_not_go_together_with_systemd_is_refused(cli, words, complaint):
    done = cli("-A", "shop", "systemd", *words)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_without_an_app_it_says_how_to_name_one(cli):
    done = cli("systemd")
    assert done.exit_code == 78
    assert "skirret -A proj.tasks systemd" in done.stderr


def test_the_deployment_of_the_documents_leaves_the_worker_its_grace_and_asks_endpoints_that_exist():
    page = (DEPLOY / "containers.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    grace = int(re.search(r"--grace=(\d+)", page).group(1))
    assert spec["terminationGracePeriodSeconds"] >= grace + 5
    assert {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")} == {"/livez"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["args"][-1].endswith(f":{container['ports'][0]['containerPort']}")
