"""The demo through the real command line: it measures, proves, survives its own chaos and leaves nobody behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.demo.processes import members
from tests.acceptance.processes import SKIRRET
from tests.servers.redis_servers import RedisServer, redis_binary


@pytest.fixture
def files(tmp_path) -> Path:
    """A directory of 300 small files."""
    directory = tmp_path / "files"
    directory.mkdir()
    for number in range(300):
        (directory / f"file{number:03}.py").write_text(f"name_{number} = {number}\n" * (number + 1))
    return directory


def demo(*arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SKIRRET), "demo", *arguments], check=False, capture_output=True, text=True, timeout=timeout
    )


def groups_of(project: Path) -> set[int]:
    """Processes that run in `project`."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").readlink() == project:
                    found.add(int(process.name))
            except OSError:
                continue
    return found


def test_the_demo_measures_each_file_and_proves_it(files, tmp_path):
    project = tmp_path / "project"
    done = demo(str(files), "--keep", str(project), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["proven"] is True
    assert (report["files"], report["succeeded"], report["failed"]) == (300, 300, {})
    assert report["totals"]["lines"] == sum(range(1, 301))
    assert report["retried"] > 0
    assert report["proof"]["verified"] >= 100
    assert report["proof"]["repeated"] == 0
    assert report["totals"]["largest"][0]["path"].endswith("file299.py")
    assert not groups_of(project)


def test_the_report_is_for_people_and_says_where_to_look_further(files, tmp_path):
    project = tmp_path / "project"
    done = demo(str(files), "--keep", str(project), "--limit", "20")
    assert done.returncode == 0, done.stderr
    assert "20 files: each file was measured, nothing was lost." in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if f"cd {project}" in line]
    environment = {key: value for key, value in os.environ.items() if key != "SKIRRET_HOME"}
    looked_up = subprocess.run(
        line, shell=True, check=False, capture_output=True, text=True, env=environment, timeout=30
    )
    assert looked_up.returncode == 0, looked_up.stderr
    assert "file" in looked_up.stdout


@pytest.fixture(params=["embedded", "redis"])
def broker(request, tmp_path) -> Iterator[list[str]]:
    """How the demo is told its broker."""
    if request.param == "embedded":
        yield []
        return
    server = RedisServer(redis_binary(), tmp_path / "redis", "--appendonly", "yes")
    yield ["--broker", server.url]
    server.stop()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "nth", [pytest.param(1, id="once"), *(pytest.param(n, marks=pytest.mark.soak) for n in range(2, 12))]
)
def test_chaos_loses_nothing_and_the_count_is_proven(files, tmp_path, broker, nth):
    project = tmp_path / "project"
    done = demo(str(files), "--chaos", "--keep", str(project), "--json", *broker, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["proven"] is True
    assert report["succeeded"] == 300
    assert report["proof"]["lost"] == []
    print(json.dumps(report["proof"]))
    assert report["proof"]["killed_workers"] >= 2
    assert report["proof"]["killed_children"] >= 5
    assert report["proof"]["left_behind"] == 0
    assert not groups_of(project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_process_and_no_directory(tmp_path, monkeypatch, number):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(
        [str(SKIRRET), "demo"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while not (workers := [pid for pid, parent in members_of(process.pid).items() if parent == process.pid]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(20) == 130
    assert not any(members(worker) for worker in workers)
    assert list(tmp_path.glob("skirret-demo-*")) == []


def members_of(pid: int) -> dict[int, int]:
    """Children of a process by their parents' ids, whatever their groups."""
    from skirret.demo.processes import _proc_table

    return {child: parent for child, (parent, _, zombie) in _proc_table().items() if parent == pid and not zombie}


def test_a_worker_that_cannot_start_is_told_with_its_log(files, tmp_path):
    done = demo(str(files), "--broker", "nosuchscheme://x", "--keep", str(tmp_path / "project"))
    assert done.returncode == 78
    assert "nosuchscheme" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_directory_is_a_usage_error(tmp_path):
    (tmp_path / "empty").mkdir()
    done = demo(str(tmp_path / "empty"))
    assert done.returncode == 2
    assert "no readable files" in done.stderr
