"""What tasks, apps and their surroundings do to a worker's processes, and what the worker makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skirret.errors import WorkerLostError
from skirret.worker.loop import Loop
from skirret.worker.options import WorkerOptions
from skirret.worker.pool import Heard, Pool
from tests.acceptance.faulty import Project, is_alive, wait_until, worker_children
from tests.acceptance.processes import SKIRRET, Program, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="rude_app")
    yield project
    project.app.close()


def fds(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("task", ["close_everything", "leave_at_once", "overflow", "die"])
@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_task_that_ends_its_process_is_a_dead_letter_and_its_neighbours_succeed(
    project: Project, task: str, pool: str
) -> None:
    with project.worker(f"-P {pool} -c 2"):
        others = project.send_many("fine", list(range(100)))
        poison = project.send(task, *(["poison"] if task == "die" else []))
        more = project.send_many("fine", list(range(100, 200)))
        with pytest.raises(WorkerLostError):
            poison.get(timeout=30)
        for each in [*others, *more]:
            each.get(timeout=30)
    assert [dead.task_id for dead in project.app.broker.dead()] == [poison.id]
    assert project.size().held == 0
    assert max(project.count("start").values()) <= 3


def test_tasks_that_leave_things_behind_do_no_harm_to_those_after_them(project: Project) -> None:
    with project.worker("-c 1") as program:
        for task in ("recurse", "exit_politely", "leave_a_thread", "forget_signals"):
            result = project.send(task)
            result.get(timeout=10, propagate=False)
            assert project.send("fine", task).get(timeout=10) == task
        child = project.send("go_elsewhere").get(timeout=10)
        assert project.app.AsyncResult(child).get(timeout=10) == "from elsewhere"
        project.send("shout", 2000).get(timeout=20)
        assert program.said().count("x" * 100) == 2000
        began = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - began < 2, "a thread that a task left does not keep the worker"


def test_a_process_that_a_task_forks_is_nobodys_child(project: Project) -> None:
    with project.worker("-c 1"):
        assert project.send("fork_and_return").get(timeout=10) == "parent"
        for method in ("fork", "spawn", "forkserver"):  # where nothing is said: the last, since Python 3.14
            squares, exitcode = project.send("multiply", method).get(timeout=20)
            assert squares == [1, 2, 3]
            assert exitcode == -signal.SIGTERM, "it can be ended as any process"
        results = project.send_many("fine", list(range(50)))
        for result in results:
            result.get(timeout=10)
    assert set(project.count("start").values()) == {1}


def test_programs_that_tasks_start_ignore_no_signals_of_ours(project: Project) -> None:
    with project.worker("-c 1"):
        ignored = int(project.send("signals_of_a_program").get(timeout=10), 16)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
        assert not ignored >> (number - 1) & 1, signal.Signals(number).name


def test_a_death_is_seen_although_a_process_of_the_tasks_own_lives_on(project: Project) -> None:
    with project.worker("-c 1"):
        poison = project.send("leave_a_process")
        began = time.monotonic()
        with pytest.raises(WorkerLostError):
            poison.get(timeout=10)
        assert time.monotonic() - began < 4.5


@pytest.mark.parametrize("size", [1 << 20, 11 << 20])
def test_large_arguments_and_results_pass_and_nothing_jams(project: Project, size: int) -> None:
    with project.worker("-c 2"):
        large = [project.send("echo", "x" * size) for _ in range(3)]
        small = project.send_many("fine", list(range(20)))
        for result in small:
            result.get(timeout=30)
        for result in large:
            assert len(result.get(timeout=60)) == size
        assert project.send("length", "y" * size).get(timeout=30) == size


# -- what the app's import does


def test_an_app_that_starts_a_thread_at_import_gets_fresh_children_and_is_told(project: Project) -> None:
    project.env["RUDE"] = "thread"
    with project.worker("-c 2") as program:
        assert "pulse" in program.said()
        assert project.send("die_once", "a").get(timeout=20) == "lived"
        for result in project.send_many("fine", list(range(200))):
            result.get(timeout=20)
        began = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - began < 2, "the app's thread does not keep the worker"
    assert project.size().held == project.size().ready == 0


def test_an_app_that_changes_signal_handlers_at_import_does_not_hide_deaths(project: Project) -> None:
    project.env["RUDE"] = "signals"
    with project.worker("-c 1") as program:
        assert project.send("die_once", "a").get(timeout=10) == "lived"
        assert program.stop() == 0


def test_a_stop_during_a_slow_import_ends_the_worker_and_its_template(project: Project) -> None:
    project.env["RUDE"] = "slow"
    for number in (signal.SIGTERM, signal.SIGINT):
        before = project.count("importing")["app"]
        with running("skirret -A rude_app worker -c 1", project.directory, project.env) as program:
            wait_until(lambda before=before: project.count("importing")["app"] > before)
            template = int(project.lines()[-1][2])
            began = time.monotonic()
            program.process.send_signal(number)
            assert program.wait(5) in {0, -number}
            wait_until(lambda template=template: not is_alive(template), 3)
            assert time.monotonic() - began < 4
            assert "Traceback" not in program.said()


def test_a_template_that_dies_while_it_imports_anew_is_tried_again_and_the_worker_can_be_stopped(
    project: Project,
) -> None:
    project.env["RUDE"] = "dies-later"
    with project.worker("-c 1") as program:
        template, _ = worker_children(program.pid)
        os.kill(template, signal.SIGKILL)
        wait_until(lambda: program.said().count("template process died") >= 3)
        waiting = project.send("fine", "a")
        began = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - began < 2
        assert not waiting.ready()
    assert project.size().ready == 1


def test_an_app_that_cannot_be_imported_anew_ends_its_worker_with_a_word_and_a_code(project: Project) -> None:
    project.env["RUDE"] = "breaks-later"
    with project.worker("-c 1") as program:
        template, _ = worker_children(program.pid)
        os.kill(template, signal.SIGKILL)
        assert program.wait(10) == 78
        assert "the second import fails" in program.said()


def test_a_template_that_dies_with_orders_waiting_leaves_a_full_pool(project: Project) -> None:
    with project.worker("-c 3") as program:
        for _ in range(3):
            template, children = worker_children(program.pid)
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            os.kill(template, signal.SIGKILL)
            wait_until(lambda: project.send("fine").get(timeout=10) is None)
        wait_until(lambda: len(worker_children(program.pid)[1]) == 3)


# -- what the surroundings do


def group(project: Project, options: str) -> Program:
    """A worker in a process group of its own."""
    program = Program.__new__(Program)
    program.command = "worker"
    program.log = project.directory / "group.txt"
    with program.log.open("wb") as out:
        program.process = subprocess.Popen(
            [SKIRRET, "-A", "rude_app", "worker", "-l", "INFO", *options],
            cwd=project.directory,
            env={**os.environ, **project.env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    program.wait_until_it_says("ready")
    return program


@pytest.mark.parametrize("options", [["-c", "2"], ["-P", "threads", "-c", "2"], ["-P", "asyncio", "-c", "2"]])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_of_the_whole_process_group_is_warm(project: Project, number: int, options: list[str]) -> None:
    program = group(project, options)
    try:
        project.send_many("short", list(range(10)), 0.5)
        wait_until(lambda: len(project.count("start")) == 2)
        os.killpg(program.pid, number)
        assert program.wait(10) == 0
    finally:
        program.end()
    assert project.count("start") == project.count("end")
    assert project.size().ready == 10 - len(project.count("end"))
    assert project.app.broker.dead() == []
    assert "Traceback" not in program.said()


def test_a_cold_stop_of_the_whole_process_group_blames_nobody(project: Project) -> None:
    program = group(project, ["-c", "2"])
    try:
        project.send_many("short", list(range(4)), 30)
        wait_until(lambda: len(project.count("start")) == 2)
        os.killpg(program.pid, signal.SIGQUIT)
        assert program.wait(10) == 0
    finally:
        program.end()
    assert project.size().ready == 4
    assert all(waiting.deliveries == 0 for waiting in project.app.broker.peek("celery"))


def test_impatient_signals_change_nothing_once_the_worker_ends(project: Project) -> None:
    with project.worker("-c 2") as program:
        while program.process.poll() is None:
            program.process.send_signal(signal.SIGTERM)
            time.sleep(0.001)
        assert program.wait() == 0
        assert "Traceback" not in program.said()


def test_solo_may_be_chosen_in_the_settings(project: Project) -> None:
    project.env["SKIRRET_WORKER_POOL"] = "solo"
    with project.worker("") as program:
        assert project.send("me").get(timeout=10) == program.pid
        assert program.stop() == 0
        assert "Traceback" not in program.said()


def test_descriptors_stay_few_over_two_hundred_deaths(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skirret.worker.pool.STORM_DEATHS", 10**6)
    loop = Loop()
    counts: list[tuple[int, int]] = []
    deaths = 0

    def look() -> None:
        nonlocal deaths
        template, children = worker_children(os.getpid())
        if len(children) < 2 or not all(child.ready for child in pool.children):
            return
        if deaths % 50 == 0:
            counts.append((fds(os.getpid()), fds(template)))
        if deaths == 200:
            loop.stop()
            return
        deaths += 1
        os.kill(children[deaths % 2], signal.SIGKILL)

    options = WorkerOptions(app="rude_app", workdir=str(project.directory))
    pool = Pool(loop, options, "test", Heard(lambda *_: None, look, lambda *_: None, lambda *_: None))
    pool.import_app()
    pool.start("prefork", 2, 1)
    loop.run()
    pool.close()
    loop.close()
    assert deaths == 200
    first, last = counts[0], counts[-1]
    assert last[0] <= first[0] + 5, counts
    assert last[1] <= first[1] + 5, counts
    assert len(pool._by_pid) == len(pool._by_number) == 0
