"""The pools gevent and eventlet in real workers: thousands at once, coroutines too, killed and stopped without loss."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from tests.acceptance.faulty import Project, wait_until, worker_children
from tests.acceptance.processes import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

POOLS = ("gevent", "eventlet")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="overtime_app")
    yield project
    project.app.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="greenlets_app")
    # A library that says at its import that it is old must not end a worker whose warnings are errors.
    project.env |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::DeprecationWarning"}
    yield project
    project.app.close()


def seconds_for(results: list, timeout: float = 30) -> float:
    """How long it takes until all results are there."""
    began = time.monotonic()
    for result in results:
        result.get(timeout=timeout)
    return time.monotonic() - began


def most_at_once(project: Project) -> int:
    """How many tasks of the ledger ran at the same time."""
    steps = sorted((float(line[3]), 1 if line[0] == "start" else -1) for line in project.lines() if line[0] != "signal")
    return max(itertools.accumulate(step for _, step in steps))


@pytest.mark.parametrize("pool", POOLS)
def test_a_thousand_tasks_wait_at_once_in_one_patched_child(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 2000") as program:
        library, pid, _ = project.send("patched").get(timeout=10)
        assert library == pool
        assert worker_children(program.pid)[1] == [pid]
        took = seconds_for(project.send_many("nap", list(range(1000)), 2.0))
        assert 2.0 <= took < 20.0, f"{took:.1f} s, though a busy machine may need some to start them all"
        assert most_at_once(project) > 300
        took = seconds_for([project.send("doze", 1.0) for _ in range(300)])
        assert took < 20.0, f"coroutines: {took:.1f} s"
        ours = Path(f"/proc/{program.pid}/maps").read_text()
        assert "gevent" not in ours, "the supervisor has not loaded it"
        assert "greenlet" not in ours


@pytest.mark.parametrize("pool", POOLS)
def test_tasks_publish_wait_run_programs_and_loops_of_their_own_side_by_side(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 100"):
        began = time.monotonic()
        loops = [project.send("own_loop", 1.0) for _ in range(20)] + [project.send("doze", 1.0) for _ in range(20)]
        programs = [project.send("outside_program") for _ in range(8)]
        sums = [project.send(name, 20) for name in ("fan_out", "afan_out") for _ in range(4)]
        assert [result.get(timeout=20) for result in programs] == ["done\n"] * 8
        assert {result.get(timeout=30) for result in sums} == {380}
        seconds_for(loops)
        assert time.monotonic() - began < 25.0, "one waited for another"
        for result in [project.send("whose") for _ in range(50)]:
            assert result.get(timeout=10) == [result.id, result.id]
        with pytest.raises(LookupError, match="told"):
            project.send("fail", "told").get(timeout=10)
        with pytest.raises(Exception, match="carry") as error:
            project.send("afail").get(timeout=10)
        assert type(error.value).__name__ in {"StopIteration", "RuntimeError"}
        sums = project.app.send_many([project.app.signature("greenlets_app.add", (n, n)) for n in range(2000)])
        assert [result.get(timeout=20) for result in sums] == [2 * n for n in range(2000)]


@pytest.mark.parametrize("pool", POOLS)
def test_a_killed_childs_greenlets_run_again(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 50") as program:
        results = project.send_many("nap", list(range(20)), 0.4)
        wait_until(lambda: len(project.count("start")) == 20)
        (child,) = worker_children(program.pid)[1]
        os.kill(child, signal.SIGKILL)
        for result in results:
            result.get(timeout=20)
    assert set(project.count("start").values()) == {2}
    assert set(project.count("end").values()) == {1}
    assert project.size().ready == project.size().held == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_warm_stop_finishes_running_greenlets_and_gives_the_rest_back(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 5") as program:
        project.send_many("nap", list(range(12)), 1.5)
        wait_until(lambda: len(project.count("start")) == 5)
        assert program.stop() == 0
    assert len(project.count("start")) == len(project.count("end")) == 5
    assert project.size().ready == 7
    told = [key for word, key, *_ in project.lines() if word == "signal"]
    expected = ["started", *["apply"] * 5, "preshutdown", "postshutdown"]
    assert told == (expected if pool == "eventlet" else [])


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_that_only_the_settings_name_is_patched_too(project: Project, pool: str) -> None:
    with (project.directory / "greenlets_app.py").open("a") as file:
        file.write(f"\napp.conf.worker_pool = {pool!r}\nnote('imported', time.sleep.__module__.partition('.')[0])\n")
    with project.worker("-c 10"):
        assert project.send("patched").get(timeout=10)[0] == pool
    assert project.count("imported")[pool] == 1


@pytest.mark.parametrize("pool", POOLS)
def test_an_app_that_leaves_a_thread_is_served_by_a_fresh_patched_child(project: Project, pool: str) -> None:
    with (project.directory / "greenlets_app.py").open("a") as file:
        file.write("\nthreading.Thread(target=time.sleep, args=(3600,), name='ticker', daemon=True).start()\n")
    with project.worker(f"-P {pool} -c 10") as program:
        assert project.send("patched").get(timeout=10)[0] == pool
        assert seconds_for(project.send_many("nap", list(range(10)), 1.0)) < 9.0
        assert program.stop() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_a_missing_library_is_told_with_what_to_install(project: Project, pool: str) -> None:
    (project.directory / f"{pool}.py").write_text(f"raise ModuleNotFoundError('gone', name={pool!r})\n")
    env = {**project.env, "PYTHONPATH": f"{project.directory}:{ROOT}"}
    status, said = run(f"skirret -A greenlets_app worker -P {pool}", project.directory, env)
    assert status == 78
    assert f'pip install "skirret[{pool}]"' in said
    assert "Traceback" not in said


@pytest.mark.parametrize("pool", POOLS)
def test_soft_limits_are_raised_in_the_one_greenlet_or_coroutine_that_is_over_its_time(
    limited: Project, pool: str
) -> None:
    with limited.worker(f"-P {pool} -c 10") as program:
        neighbours = [limited.send(name, name, 3.0) for name in ("sleep", "asleep")]
        for name in ("cleans_up", "acleans_up"):
            result = limited.send(name, name, soft_time_limit=0.5)
            assert result.get(timeout=20) == "in time"
        with pytest.raises(SoftTimeLimitExceeded):
            limited.send("block", "a coroutine that blocks", soft_time_limit=0.5).get(timeout=20)
        with pytest.raises(SoftTimeLimitExceeded):
            limited.send("asleep", "through", soft_time_limit=0.3).get(timeout=20)
        with pytest.raises(TimeLimitExceeded):
            limited.send("goes_on", "stubborn", soft_time_limit=0.3, time_limit=1).get(timeout=20)
        assert [result.get(timeout=20) for result in neighbours] == ["sleep", "asleep"]
        assert "Soft time limit (0.5s) exceeded for overtime_app.acleans_up" in program.said()
    assert limited.count("warned")["stubborn"] == 1
    assert limited.count("start")["sleep"] == 1, "undisturbed, although its child was condemned"


@pytest.mark.parametrize("pool", POOLS)
def test_a_greenlet_that_blocks_the_hub_is_named_in_the_log(project: Project, pool: str) -> None:
    with project.worker(f"-P {pool} -c 10") as program:
        assert project.send("nap", "gives way", 1.6).get(timeout=20) == "gives way"
        blocking = project.send("block_the_hub", 2.5)
        program.wait_until_it_says(f"Task greenlets_app.block_the_hub[{blocking.id}] has blocked the hub")
        program.wait_until_it_says("libc.usleep")
        assert blocking.get(timeout=20) == "done"
        assert program.said().count("has blocked the hub") == 1


@pytest.mark.parametrize("pool", POOLS)
def test_a_greenlet_that_blocks_the_hub_is_killed_at_its_hard_limit(limited: Project, pool: str) -> None:
    with limited.worker(f"-P {pool} -c 10") as program:
        held = limited.send("hold", "holder", time_limit=1.0)
        wait_until(lambda: limited.count("start")["holder"])
        (before,) = worker_children(program.pid)[1]
        with pytest.raises(TimeLimitExceeded):
            held.get(timeout=20)
        assert limited.send("where").get(timeout=20) != before
        wait_until(lambda: before not in worker_children(program.pid)[1], 5.0)
