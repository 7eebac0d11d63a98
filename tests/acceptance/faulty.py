"""A project with the fault tasks, its workers, and what its ledger says."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from skirret import Skirret
from tests.acceptance.processes import Program, running

HERE = Path(__file__).parent


class Project:
    """A directory of its own with the tasks of ``faults_app``.

    Args:
        directory: the directory.
        broker: the server; its own embedded file by default.
        results: where results are kept, if that is elsewhere.
        module: another file of tasks.
        source: where that file lies; beside this one by default.
    """

    def __init__(
        self,
        directory: Path,
        broker: str = "",
        results: str = "",
        *,
        module: str = "faults_app",
        source: Path = HERE,
    ) -> None:
        self.directory = directory
        self.module = module
        self.ledger = directory / "ledger.txt"
        self.home = directory / ".skirret"
        shutil.copy(source / f"{self.module}.py", directory / f"{self.module}.py")
        url = broker or f"sqlite:///{self.home / 'queue.sqlite3'}"
        self.app = Skirret("faults", broker=url, backend=results or url)
        self.env = {"LEDGER": str(self.ledger), "SKIRRET_HOME": str(self.home)}
        if broker:
            self.env |= {"SKIRRET_BROKER_URL": url, "SKIRRET_RESULT_BACKEND": results or url}

    @contextlib.contextmanager
    def worker(self, options: str = "-c 2", level: str = "INFO") -> Iterator[Program]:
        """A real worker for the length of a ``with`` block, once it is ready."""
        with running(f"skirret -A {self.module} worker -l {level} {options}", self.directory, self.env) as program:
            if level == "INFO":
                program.wait_until_it_says("ready")
            else:
                program.wait_until_it_says("tasks (")
                self.send("empty").get(timeout=60)  # behind whatever is in the queue
            yield program

    def send(self, name: str, *args: object, **options: object):
        """Send one task by its name."""
        return self.app.send_task(f"{self.module}.{name}", args, **options)

    def send_many(self, name: str, keys: list[object], *args: object):
        """Send one task a key, in one call."""
        signature = self.app.signature
        return self.app.send_many([signature(f"{self.module}.{name}", (key, *args)) for key in keys])

    def lines(self) -> list[list[str]]:
        """The ledger: word, key, process, moment."""
        return [line.split() for line in self.ledger.read_text().splitlines()] if self.ledger.exists() else []

    def count(self, word: str) -> Counter[str]:
        """How often each key has a line with `word`."""
        return Counter(key for said, key, *_ in self.lines() if said == word)

    def size(self):
        """What the broker still has."""
        return self.app.broker.size("celery")


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> float:
    """Look until `condition` is true; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not true after {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - began


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, as the kernel says."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


SERVERS = {"redis-server", "valkey-server", "beam.smp", "epmd"}


def name_of(pid: int) -> str:
    """The name of a process's program, "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def worker_children(pid: int) -> tuple[int, list[int]]:
    """(the template, its children) of a worker; it may run in the process of the tests, whose servers are not its."""
    (template,) = [child for child in children_of(pid) if name_of(child) not in SERVERS]
    return template, children_of(template)


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
