"""Nothing grows in a worker that lives long: not its memory, nor descriptors, threads and processes as children die."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faulty import Project, wait_until, worker_children

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

BATCH = 5_000


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SKIRRET_HOME")
    project = Project(tmp_path, module="overtime_app")
    yield project
    project.app.close()


def counts(pid: int) -> tuple[int, int]:
    """Descriptors and threads of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(list(Path(f"/proc/{pid}/task").iterdir()))


def settled(*pids: int) -> list[tuple[int, int]]:
    """The counts of processes, once they have stood still for a second: what is on its way to a child counts twice."""
    seen, since = [counts(pid) for pid in pids], time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.05)
        now = [counts(pid) for pid in pids]
        if now != seen:
            seen, since = now, time.monotonic()
    return seen


def resident(pid: int) -> int:
    """KiB of memory that a process has to itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


@pytest.mark.parametrize("pool", ["-c 2", "-P threads -c 4 --processes 2"], ids=["prefork", "threads"])
@pytest.mark.parametrize("deaths", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_descriptors_threads_and_processes_are_the_same_after_many_deaths(
    project: Project, deaths: int, pool: str
) -> None:
    with project.worker(pool) as program:
        template, _ = worker_children(program.pid)
        for death in range(deaths + 2):
            if death == 2:  # what is made once is there now
                before = settled(program.pid, template)
            _, children = worker_children(program.pid)
            os.kill(children[0], signal.SIGKILL)
            wait_until(lambda gone=children[0]: gone not in worker_children(program.pid)[1], 90)
            wait_until(lambda: len(worker_children(program.pid)[1]) == 2, 90)
            project.send("where").get(timeout=90)
        after = settled(program.pid, template)
        print(f"descriptors and threads of supervisor and template: {before} before, {after} after {deaths} deaths")
        assert after == before
        assert len(worker_children(program.pid)[1]) == 2


LONG = 500_000


@pytest.mark.parametrize(
    "tasks, recycling",
    [
        pytest.param(2 * BATCH, "", id="in short"),
        pytest.param(LONG, "", marks=pytest.mark.soak, id="not recycled"),
        pytest.param(LONG, "--max-tasks-per-child 2000", marks=pytest.mark.soak, id="recycled"),
    ],
)
def test_memory_is_flat_over_many_tasks(project: Project, tasks: int, recycling: str) -> None:
    signature = project.app.signature("overtime_app.empty", ignore_result=True)
    warm = max(BATCH, tasks // 10)  # by then, what is kept on purpose has been made
    with project.worker(f"-c 2 {recycling}", level="WARNING") as program:

        def look() -> tuple[int, dict[int, int]]:
            """KiB of the supervisor, and of each of its two children, once none is being replaced."""
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    children = {pid: resident(pid) for pid in worker_children(program.pid)[1]}
                    if len(children) == 2 and all(children.values()):
                        return resident(program.pid), children
                time.sleep(0.05)
            raise AssertionError("not two children")

        for done in range(BATCH, tasks + 1, BATCH):
            results = project.app.send_many([signature] * BATCH)
            assert len(results) == BATCH
            wait_until(lambda: project.size().ready + project.size().held == 0, 300)
            if done == warm:
                before, small = look()
            if done % warm == 0:
                supervisor, children = look()
                print(f"{done} tasks: supervisor {supervisor}, children {sorted(children.values())} KiB", flush=True)
        assert supervisor - before < 6 * 1024, "the supervisor"
        for pid, size in children.items():
            assert size - small.get(pid, max(small.values())) < 6 * 1024, "a child"
        assert bool(recycling) is set(small).isdisjoint(children)
