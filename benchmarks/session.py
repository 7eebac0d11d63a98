"""One queue under measurement: its client in a process of its own, and its worker, watched from outside."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import environment
from benchmarks.peers import Entry
from benchmarks.processes import cpu_seconds, memory_mb, run_seconds

SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 3.0  # then it is killed: everything is measured, nothing can be lost


class Trouble(Exception):
    """A queue could not be measured; says why."""


class Session:
    """A client and, between `start` and `stop`, a worker.

    Args:
        entry: which queue.
        python: the interpreter of its environment.
        servers: how it finds them, as environment.
        concurrency: of the worker.
    """

    def __init__(self, entry: Entry, python: Path, servers: dict[str, str], concurrency: int) -> None:
        self.entry = entry
        self.env = (
            os.environ
            | servers
            | {
                "PYTHONPATH": os.pathsep.join([str(environment.ROOT), str(environment.ROOT / "src")]),
            }
        )
        self.log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed in __exit__
        self.client = self.spawn([str(python), "-m", "benchmarks.driver", entry.name], client=True)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.answers = b""
        try:
            self.answer(SECONDS_TO_START)
            hello = self.ask("hello", concurrency=concurrency)
        except BaseException:
            self.close()
            raise
        self.versions: dict[str, str] = hello["versions"]
        self.commands: list[list[str]] = hello["workers"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def spawn(self, command: list[str], *, client: bool = False) -> subprocess.Popen[bytes]:
        """Start a process that leads a group of its own; what it says goes to the log."""
        return subprocess.Popen(
            command, cwd=environment.ROOT, env=self.env, stderr=self.log, start_new_session=True,
            stdin=subprocess.PIPE if client else subprocess.DEVNULL, stdout=subprocess.PIPE if client else self.log,
        )  # fmt: skip

    def ask(self, question: str, *, wait: float = 60.0, **details: Any) -> dict[str, Any]:
        """Ask the client.

        Args:
            question: a method of `benchmarks.driver.Driver`.
            wait: for so many seconds.
            details: its arguments.

        Raises:
            Trouble: it failed, or did not answer in time.
        """
        assert self.client.stdin
        try:
            self.client.stdin.write(json.dumps({"ask": question, **details}).encode() + b"\n")
            self.client.stdin.flush()
        except OSError as error:
            raise Trouble(f"its client has ended: {self.last_words()}") from error
        return self.answer(wait)

    def answer(self, wait: float) -> dict[str, Any]:
        """The client's next line."""
        assert self.client.stdout
        deadline = time.monotonic() + wait
        while b"\n" not in self.answers:
            ready, _, _ = select.select([self.client.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise Trouble(f"its client did not answer within {wait:.0f} s")
            data = os.read(self.client.stdout.fileno(), 1 << 20)
            if not data:
                raise Trouble(f"its client has ended: {self.last_words()}")
            self.answers += data
        line, _, self.answers = self.answers.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise Trouble(said["error"])
        return said

    def last_words(self) -> str:
        """The last line of what client and worker said."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:700] if lines else "it said nothing"

    def start(self) -> None:
        """Start the worker; it need not be ready yet."""
        self.workers = [self.spawn(command) for command in self.commands]

    def check(self) -> None:
        """Raise `Trouble` if a process of the worker has ended."""
        for worker in self.workers:
            if worker.poll() is not None:
                raise Trouble(f"its worker ended with {worker.returncode}: {self.last_words()}")

    def until_left(self, left: int, sent: int, *, wait: float, pause: float) -> tuple[int, float]:
        """Wait until no more than `left` of the `sent` tasks are unfinished.

        Returns:
            How many are, and the moment, by `time.perf_counter`.

        Raises:
            Trouble: the worker ended, or it did not happen within `wait` seconds.
        """
        deadline = time.monotonic() + wait
        while True:
            said = self.ask("until_left", left=left, sent=sent, seconds=1.0, pause=pause)
            if said["left"] <= left:
                return said["left"], said["at"]
            self.check()
            if time.monotonic() > deadline:
                raise Trouble(f"{said['left']} of {sent} tasks were unfinished after {wait:.0f} s: {self.last_words()}")

    def cpu(self) -> float:
        """CPU seconds of all processes of the worker so far."""
        return sum(cpu_seconds(worker.pid) for worker in self.workers)

    def run_time(self) -> float:
        """The same of its living threads, in finer steps."""
        return sum(run_seconds(worker.pid) for worker in self.workers)

    def memory(self) -> float:
        """PSS of all processes of the worker, in MB."""
        return sum(memory_mb(worker.pid) for worker in self.workers)

    def stop(self) -> None:
        """End the worker: politely, then not."""
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.terminate()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for worker in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.1, deadline - time.monotonic()))
            end_group(worker)
        self.workers = []

    def close(self) -> None:
        """End everything."""
        self.stop()
        end_group(self.client)
        for pipe in (self.client.stdin, self.client.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.log.close()


def end_group(leader: subprocess.Popen[bytes]) -> None:
    """End a process that `Session.spawn` started, and what it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
