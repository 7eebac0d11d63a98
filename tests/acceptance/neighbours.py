"""A project whose tasks are called from other people's processes, with a real worker on the embedded broker."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import signal
import sqlite3
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from skirret import Skirret
from tests.acceptance.faulty import children_of
from tests.acceptance.processes import Program, running

TASKS = """
import time
from skirret import Skirret

app = Skirret("neighbours")

@app.task
def add(x, y):
    return x + y

@app.task
def nap(seconds):
    time.sleep(seconds)
    return seconds
"""

WARNINGS = (
    "error",
    "ignore:no broker is configured",  # the embedded broker is what these programs use
    "ignore:This process:DeprecationWarning",  # from Python 3.12 on, of each fork beside threads: done here on purpose
)


class Neighbours:
    """The project: programs that tests write into it, servers that run there, and what its embedded file holds.

    Args:
        directory: where it is made.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / ".skirret" / "queue.sqlite3"
        self.env = {"SKIRRET_HOME": str(self.file.parent)}
        url = f"sqlite:///{self.file}"
        self.app = Skirret("test", broker=url, backend=url, set_as_current=False)
        self._numbers = itertools.count()
        self.write("tasks.py", TASKS)

    def write(self, name: str, text: str) -> Path:
        """Put a file into the project."""
        path = self.directory / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def run(self, program: str, *arguments: str, timeout: float = 40.0, env: dict[str, str] | None = None) -> Ended:
        """Run a Python program of the project to its end, which must be a good one.

        Warnings are errors in it, and errors that Python only prints (of threads, of `__del__`) count as well.
        """
        path = self.write(f"program_{next(self._numbers)}.py", program)
        command = " ".join([sys.executable, str(path), *arguments])
        with running(command, self.directory, {**self.env, "PYTHONWARNINGS": ",".join(WARNINGS), **(env or {})}) as one:
            try:
                status = one.wait(timeout)
            finally:
                end_descendants(one.pid)  # it left some only if it hangs
            ended = Ended(one.said(), time.monotonic())
        assert status == 0, f"exit status {status}:\n{ended.said}"
        assert "Traceback" not in ended.said, ended.said
        return ended

    @contextlib.contextmanager
    def server(self, command: str, ready: str) -> Iterator[WebServer]:
        """A web server of this environment on a free port of its own choice, once it says `ready`."""
        name, _, options = command.partition(" ")
        with running(f"{Path(sys.executable).with_name(name)} {options}", self.directory, self.env) as program:
            program.wait_until_it_says(ready)
            yield WebServer(program)

    def results(self, ids: list[str]) -> list[object]:
        """The values of tasks that a program has sent."""
        return [self.app.AsyncResult(task_id).get(timeout=20) for task_id in ids]

    def check(self) -> None:
        """Assert that every task was run, none is a dead letter, and the file is sound."""
        deadline = time.monotonic() + 20
        while (size := self.app.broker.size("celery")).ready + size.held and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (size.ready, size.held, size.delayed, size.dead) == (0, 0, 0, 0)
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def end_descendants(pid: int) -> None:
    """Kill what a process has started, and what that has started."""
    with contextlib.suppress(OSError):
        for child in children_of(pid):
            end_descendants(child)
            os.kill(child, signal.SIGKILL)


class Ended:
    """How a program ended.

    Args:
        said: all that it wrote.
        at: when it was gone, by the monotonic clock that all processes of a machine share.
    """

    def __init__(self, said: str, at: float) -> None:
        self.said = said
        self._at = at

    def words(self, label: str) -> list[str]:
        """What it wrote on the line that begins with `label`."""
        return next(line.split()[1:] for line in self.said.splitlines() if line.split()[:1] == [label])

    def seconds_since(self, label: str) -> float:
        """Seconds from the moment (``time.monotonic()``) that it wrote after `label` to its end."""
        return self._at - float(self.words(label)[0])


class WebServer:
    """A running web server whose application answers with words.

    Args:
        program: the server; it has said its address.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        found = re.search(r"127\.0\.0\.1:(\d+)", program.said())
        assert found is not None, program.said()
        self.port = int(found[1])

    def ask(self, path: str) -> list[str]:
        """The words that a GET of `path` answers with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, f"{answer.status} {text}\n{self.program.said()}"
        return text.split()


@contextlib.contextmanager
def neighbourhood(directory: Path) -> Iterator[Neighbours]:
    """The project with a worker; in the end everything must have been run, and the file must be sound."""
    place = Neighbours(directory)
    with running("skirret -A tasks worker -l INFO -c 2", directory, place.env) as worker:
        worker.wait_until_it_says("ready")
        yield place
        place.check()
    place.app.close()
