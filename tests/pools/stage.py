"""A pool on trial: its real workers, each started when a feature first needs it, and what they and their tasks say."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skirret.control.control import Control
from skirret.control.inspect import Inspect
from tests.acceptance.faulty import Project, wait_until, worker_children
from tests.acceptance.processes import Program

POOLS = ("prefork", "threads", "asyncio", "gevent", "eventlet", "solo")

SLOTS = 3
"""Slots of each worker, where the pool has more than one."""

PATIENCE = 20.0
"""Seconds until something counts as broken; nearly all takes a fraction of one."""

CAP = 300_000
"""KiB at which a child of the strict worker is killed."""

WORKERS = {
    "shared": "-E --heartbeat-interval 0.3 --health {port}",
    "strict": (
        "--soft-time-limit 0.5 --time-limit 1.5 --max-tasks-per-child 4 --max-memory-per-child 150000 "
        f"--memory-cap-per-child {CAP} --disable-prefetch --without-heartbeat"
    ),
    "roomy": "--prefetch-multiplier 1 --grace 1.5",
}
"""Options of the workers that features share, by name."""

NODE = "w1@h"


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Stage:
    """One worker of one pool, in a project of its own.

    Args:
        pool: the pool's name.
        kind: a key of `WORKERS`.
        directory: where the project is made.
    """

    def __init__(self, pool: str, kind: str, directory: Path) -> None:
        self.pool = pool
        self.solo = pool == "solo"
        self.slots = 1 if self.solo else SLOTS
        self.port = free_port()
        """Of the health endpoints."""
        self.project = Project(directory, module="pools_app", source=Path(__file__).parent)
        self.project.env |= {
            "SKIRRET_RUN_DIR": str(directory / "run"),
            "SKIRRET_WORKER_LEASE": "1",
            "SKIRRET_WORKER_CRASH_LIMIT": "2",
            "AUTOSCALE_KEEPALIVE": "1.5",
        }
        if kind == "roomy":
            self.project.env["SKIRRET_WORKER_SOFT_SHUTDOWN_TIMEOUT"] = "1"
        self._options = WORKERS[kind].format(port=self.port)
        self._open = contextlib.ExitStack()
        self._worker: Program | None = None
        self.last_words = ""
        """What the worker wrote that ended last."""

    @property
    def worker(self) -> Program:
        """The worker that runs now; a new one, if none does."""
        if self._worker is None or self._worker.process.poll() is not None:
            self._open.close()
            self._worker = self._open.enter_context(self.project.worker(self.options(self._options)))
            wait_until(lambda: self.control.ping(timeout=2.0), PATIENCE)
        return self._worker

    def options(self, more: str = "") -> str:
        """The options of a worker of this pool."""
        return f"-P {self.pool} -n {NODE} {'' if self.solo else f'-c {SLOTS}'} {more}"

    def worker_that_ends(self) -> int:
        """The exit status of the worker, which was told to end."""
        assert self._worker is not None
        status = self._worker.wait(PATIENCE)
        self.last_words = self._worker.said()
        return status

    @contextlib.contextmanager
    def another(self, options: str) -> Iterator[Program]:
        """A worker with other options, in place of the one that runs."""
        self.close()
        with self.project.worker(self.options(options)) as worker:
            wait_until(lambda: self.control.ping(timeout=2.0), PATIENCE)
            self._worker = worker
            yield worker
        self._worker = None

    def close(self) -> None:
        """End the worker that runs, if one does."""
        self._open.close()
        self._worker = None

    @property
    def control(self) -> Control:
        """The client's remote control."""
        return self.project.app.control

    @property
    def look(self) -> Inspect:
        """The client's questions to workers."""
        return self.control.inspect(timeout=PATIENCE)

    def tell(self, command: str, **arguments: Any) -> Any:
        """What the worker replies to a command."""
        _ = self.worker
        replies = self.control.broadcast(command, arguments, reply=True, timeout=PATIENCE)
        assert replies is not None
        (reply,) = replies
        return reply[NODE]

    def named(self, name: str) -> str:
        """The task's name: in the pool of coroutines that of the coroutine, if it is one that has both forms."""
        return f"pools_app.a{name}" if name.startswith("nap") and self.pool == "asyncio" else f"pools_app.{name}"

    def send(self, name: str, *args: object, **options: Any) -> Any:
        """Send a task to a worker that is there."""
        _ = self.worker
        return self.project.app.send_task(self.named(name), args, **options)

    def begun(self, *keys: str, times: int = 1) -> None:
        """Wait until tasks with these keys have begun so often."""
        wait_until(lambda: all(self.project.count("start")[key] >= times for key in keys), PATIENCE)

    def starts(self, key: str) -> int:
        """How often the task with this key began."""
        return self.project.count("start")[key]

    def moments(self, word: str, prefix: str) -> list[float]:
        """When lines were written whose keys begin so, in order."""
        return sorted(float(at) for said, key, _, at in self.project.lines() if said == word and key.startswith(prefix))

    def children(self) -> list[int]:
        """The processes that run tasks; the worker itself in the pool that has no others."""
        if self.solo:
            return [self.worker.pid]
        stats = self.look.stats()
        assert stats is not None
        here = set(worker_children(self.worker.pid)[1])
        return [pid for pid in stats[NODE]["pool"]["processes"] if pid in here]
