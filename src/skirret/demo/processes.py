"""The demo's worker as the operating system sees it: start it, find its children, kill, stop, leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from skirret.errors import SkirretError

STOP_SECONDS: Final = 15.0
_POLL: Final = 0.02


class WorkerFailed(SkirretError):
    """The demo's worker ended by itself, with exit code `code`."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def members(leader: int) -> dict[int, int]:
    """Living processes of the group that `leader` led, as {process id: parent's id}; the leader included."""
    table = _proc_table() if Path("/proc/self").is_dir() else _ps_table()
    found = {pid: parent for pid, (parent, group, zombie) in table.items() if group == leader and not zombie}
    # A descendant that made a group of its own still belongs to the worker.
    grown = True
    while grown:
        new = {
            pid: parent
            for pid, (parent, _, zombie) in table.items()
            if parent in found and pid not in found and not zombie
        }
        found.update(new)
        grown = bool(new)
    return found


def _proc_table() -> dict[int, tuple[int, int, bool]]:
    table = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            # The command may hold blanks and brackets; fields are counted from its closing bracket.
            state, parent, group = (process / "stat").read_bytes().rpartition(b")")[2].split()[:3]
        except OSError:  # it ended while we looked
            continue
        table[int(process.name)] = (int(parent), int(group), state in {b"Z", b"X"})
    return table


def _ps_table() -> dict[int, tuple[int, int, bool]]:
    text = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split() for line in text.splitlines())
    return {int(pid): (int(parent), int(group), stat.startswith("Z")) for pid, parent, group, stat in rows}


def _import_path() -> dict[str, str]:
    """What lets a worker in another directory import this Skirret, if it runs from a source tree."""
    package = Path(__file__).parents[2]
    if package.name in {"site-packages", "dist-packages"}:
        return {}
    given = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {"PYTHONPATH": os.pathsep.join([str(package), *given])}


class Worker:
    """One ``skirret worker`` at a time, as a subprocess of the real command line.

    Args:
        arguments: the command line after ``python -m skirret``.
        directory: where it runs.
        log: what it prints goes there.
        environment: variables beside ours.
    """

    def __init__(self, arguments: Sequence[str], directory: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._arguments = list(arguments)
        self._directory = directory
        self._log = log
        self._environment = {**os.environ, **_import_path(), **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self.leaders: list[int] = []

    @property
    def pid(self) -> int:
        """The worker's process id (the last one's)."""
        return self.leaders[-1]

    def start(self) -> None:
        """Start one, in a process group of its own, so that Ctrl-C reaches the demo only."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "skirret", *self._arguments],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.leaders.append(self._process.pid)

    def check(self) -> bool:
        """Start it again if somebody killed or stopped it; whether that was so.

        Raises:
            WorkerFailed: it gave up by itself; the message holds the end of its log.
        """
        code = None if self._process is None else self._process.poll()
        if code is None:
            return False
        if code > 0:
            raise WorkerFailed(f"the worker ended with exit code {code}; the end of {self._log}:\n{self.tail()}", code)
        self.start()
        return True

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def children(self) -> list[int]:
        """Process ids of all that it started, directly or not."""
        return sorted(pid for pid in members(self.pid) if pid != self.pid)

    def kill(self) -> None:
        """Kill -9 the worker process; its children are left to notice by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to stop when its tasks are done; kill it after `seconds`."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def sweep(self, seconds: float = 3.0) -> int:
        """Wait until no process of any of its lives is left, then kill those that are; how many had to be killed."""
        deadline = time.monotonic() + seconds
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(_POLL)
        killed = set(left)
        while left:  # again, because one may have forked while it was killed
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(_POLL)
            left = self._left()
            killed.update(left)
        return len(killed)

    def _left(self) -> list[int]:
        return sorted({pid for leader in self.leaders for pid in members(leader)})
