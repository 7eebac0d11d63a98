"""Programs of the command line as tests run them: started in a directory, read while they speak, ended by their id."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

SKIRRET = Path(sys.executable).with_name("skirret")


class Program:
    """A running program. What it writes goes to one file, which can be waited for.

    Args:
        command: a command line; the program ``skirret`` is the one of this environment.
        directory: where it runs.
        env: beside the test's own environment.
        stdin: what it reads.
    """

    def __init__(
        self, command: str, directory: Path, env: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
    ) -> None:
        program, *arguments = shlex.split(command)
        if program == "skirret":
            program = str(SKIRRET)
        self.command = command
        self.log = directory / f"log-{time.monotonic_ns()}.txt"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [program, *arguments],
                cwd=directory,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def hears(self, text: str) -> None:
        """Write `text` to its standard input, if that is a pipe."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def said(self) -> str:
        """All that it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until_it_says(self, text: str, timeout: float = 15.0) -> None:
        """Wait at most `timeout` seconds for `text` in what it writes; its death ends the wait."""
        deadline = time.monotonic() + timeout
        while text not in self.said():
            ended = self.process.poll()
            assert ended is None, f"{self.command!r} ended with {ended}:\n{self.said()}"
            assert time.monotonic() < deadline, f"{self.command!r} did not say {text!r}:\n{self.said()}"
            time.sleep(0.01)

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit status, once it ended by itself."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command!r} still runs after {timeout} s:\n{self.said()}") from None

    def stop(self, number: int = signal.SIGTERM, timeout: float = 15.0) -> int:
        """Send a signal and wait for the end; its exit status."""
        self.process.send_signal(number)
        return self.wait(timeout)

    def end(self) -> None:
        """Make sure that it is gone: asked first, then killed."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def running(command: str, directory: Path, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """A program for the length of a ``with`` block."""
    program = Program(command, directory, env)
    try:
        yield program
    finally:
        program.end()


def run(command: str, directory: Path, env: Mapping[str, str] | None = None, timeout: float = 30.0) -> tuple[int, str]:
    """Run a program to its end: (exit status, what it wrote)."""
    with running(command, directory, env) as program:
        status = program.wait(timeout)
        return status, program.said()
