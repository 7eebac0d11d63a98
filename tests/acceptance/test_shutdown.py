"""How a worker ends: warm, with a grace, soft, cold and anew; what is interrupted runs again and has not failed."""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.errors import WorkerLostError
from tests.acceptance.faulty import Project, is_alive, wait_until, worker_children
from tests.acceptance.processes import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="overtime_app")
    yield project
    project.app.close()


def started(project: Project, *keys: str) -> None:
    wait_until(lambda: set(keys) <= set(project.count("start")))


LONG = [pytest.param(pool, marks=pytest.mark.soak) for pool in ("threads", "asyncio", "solo")]


@pytest.mark.parametrize("pool", ["prefork", *LONG])
def test_shortly_before_the_grace_is_over_tasks_are_told_and_what_is_interrupted_runs_again(
    project: Project, pool: str
) -> None:
    slots = 1 if pool == "solo" else 3
    names = ["leaves"] if pool == "solo" else ["leaves", "finishes", "goes_on"]
    with project.worker(f"-P {pool} -c {slots} --grace 3") as program:
        # Short sleeps, for a thread is not ended in a call into C.
        results = {name: project.send(name, name) for name in names}
        waiting = project.send("sleep", "waiting", 0.0)
        started(project, *names)
        program.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_until(lambda: project.size().ready >= 1)
        assert time.monotonic() - began < 2.0, "what had not begun is back at once"
        assert program.wait(20) == 0
        took = time.monotonic() - began  # a margin for a busy machine: tasks that nobody ends take 60 s
        assert took < 3.0 + 5.0, f"{took:.2f} s:\n{program.said()}"
    for name in ("leaves", "goes_on"):
        assert name not in results or results[name].state == "PENDING", "it was interrupted, and has not failed"
    if pool == "prefork":
        assert results["finishes"].get(timeout=5) == "finishes", "it used the time that it was given"
        assert "WorkerStopping" in project.count("told")
    assert project.size().held == 0
    with project.worker("-c 4"):
        assert waiting.get(timeout=20) == "waiting"
        wait_until(lambda: project.count("start")["leaves"] == 2)
        project.app.broker.purge("celery")


@pytest.mark.parametrize("remapped", [False, True])
def test_a_soft_stop_waits_for_a_time_and_then_interrupts(project: Project, remapped: bool) -> None:
    project.env |= {"SKIRRET_WORKER_SOFT_SHUTDOWN_TIMEOUT": "1.5"} | ({"REMAP_SIGTERM": "SIGQUIT"} if remapped else {})
    with project.worker("-c 2") as program:
        short = project.send("sleep", "short", 0.7)
        long = project.send("sleep", "long", 60.0)
        started(project, "short", "long")
        began = time.monotonic()
        assert program.stop(signal.SIGTERM if remapped else signal.SIGQUIT) == 0
        assert 1.4 < time.monotonic() - began < 5.0
        assert "Soft shutdown" in program.said()
    assert short.get(timeout=5) == "short"
    assert long.state == "PENDING"
    assert (project.size().ready, project.size().held) == (1, 0)


def test_a_soft_stop_ends_as_soon_as_nothing_runs_unless_it_is_to_last(project: Project) -> None:
    project.env["SKIRRET_WORKER_SOFT_SHUTDOWN_TIMEOUT"] = "2"
    for lasts in (False, True):
        project.env["SKIRRET_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE"] = str(lasts)
        with project.worker("-c 1") as program:
            began = time.monotonic()
            assert program.stop(signal.SIGQUIT) == 0
            assert (time.monotonic() - began >= 1.9) is lasts


def test_a_second_signal_during_a_soft_stop_ends_it_at_once(project: Project) -> None:
    project.env["SKIRRET_WORKER_SOFT_SHUTDOWN_TIMEOUT"] = "60"
    with project.worker("-c 1") as program:
        project.send("sleep", "long", 60.0)
        started(project, "long")
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGINT):
            program.process.send_signal(number)
            time.sleep(0.3)
        assert program.wait(10) == 0
    assert (project.size().ready, project.size().held) == (1, 0)


def test_a_task_acknowledged_early_is_recorded_as_lost_when_a_cold_stop_interrupts_it(project: Project) -> None:
    with project.worker("-c 1") as program:
        result = project.send("early", "early")
        started(project, "early")
        assert program.stop(signal.SIGQUIT) == 0
    with pytest.raises(WorkerLostError):
        result.get(timeout=5)


def test_hup_finishes_what_runs_and_begins_the_same_command_line_anew(project: Project) -> None:
    with project.worker("-c 1 -n again@%h") as program:
        result = project.send("sleep", "running", 1.0)
        started(project, "running")
        _, (child,) = worker_children(program.pid)
        program.process.send_signal(signal.SIGHUP)
        assert result.get(timeout=20) == "running"
        wait_until(lambda: program.said().count("again@") >= 2 and program.said().count(" ready.") >= 2)
        assert not is_alive(child)
        fresh = project.send("where").get(timeout=20)
        assert fresh in worker_children(program.pid)[1], "the same process number serves again"
        assert program.stop(signal.SIGTERM) == 0
    assert project.count("start")["running"] == 1


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_usr1_tells_the_stacks_of_all_processes_also_while_one_holds_the_interpreter(
    project: Project, pool: str
) -> None:
    line = f"skirret -A overtime_app worker -P {pool} -c 1 --logfile worker.log"
    with running(line, project.directory, project.env) as program:
        project.send("hold", "holder")
        started(project, "holder")
        program.process.send_signal(signal.SIGUSR1)
        log = project.directory / "worker.log"
        wait_until(lambda: "in hold" in log.read_text())
        assert "skirret-fetch" in log.read_text()
        assert program.process.poll() is None
        assert program.stop(signal.SIGQUIT) == 0


def test_a_child_that_is_not_ready_in_time_is_ended_and_another_tried(project: Project) -> None:
    project.env["SKIRRET_WORKER_PROC_ALIVE_TIMEOUT"] = "0"
    (project.directory / "overtime_app.py").write_text(
        (project.directory / "overtime_app.py").read_text()
        + "\nimport signal\nfrom skirret.worker.child import process\n"
        "kept = process.serve_link\n"
        "def late(*args):\n"
        "    if not os.path.exists('once'):\n"
        "        open('once', 'w').close()\n"
        "        time.sleep(60)\n"
        "    kept(*args)\n"
        "process.serve_link = late\n"
    )
    with running("skirret -A overtime_app worker -l INFO -c 1", project.directory, project.env) as program:
        program.wait_until_it_says("was not ready within", timeout=30)
        program.wait_until_it_says(" ready.", timeout=30)
        assert project.send("where").get(timeout=20) in worker_children(program.pid)[1]


def test_children_that_start_together_get_the_time_that_each_needs(project: Project) -> None:
    project.env["SKIRRET_WORKER_PROC_ALIVE_TIMEOUT"] = "0.5"
    project.env["PYTHONDONTWRITEBYTECODE"] = "1"  # so that each has much to do
    command = "skirret -A overtime_app worker -l INFO -c 24 --pool-start-method=spawn"
    with running(command, project.directory, project.env) as program:
        program.wait_until_it_says(" ready.", timeout=30)
        wait_until(lambda: len(worker_children(program.pid)[1]) == 24, 30)
        first = set(worker_children(program.pid)[1])
        assert project.send("where").get(timeout=30) in first
        time.sleep(4.0)  # more than each alone would get
        assert set(worker_children(program.pid)[1]) == first
        assert "was not ready within" not in program.said()


def test_solo_hears_a_signal_whichever_of_its_threads_the_kernel_tells(project: Project) -> None:
    for place in (0, 1, -1):
        with running("skirret -A overtime_app worker -P solo -l INFO", project.directory, project.env) as program:
            program.wait_until_it_says(" ready.")
            threads = sorted(int(task.name) for task in Path(f"/proc/{program.pid}/task").iterdir())
            assert len(threads) > 2
            assert ctypes.CDLL(None).tgkill(program.pid, threads[place], signal.SIGTERM) == 0
            assert program.wait(10) == 0
