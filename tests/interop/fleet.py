"""A mixed fleet on one server: a worker and a client of each side, which know the same tasks."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery

from skirret import Skirret
from tests.acceptance.processes import Program, running
from tests.servers.rabbitmq_servers import RabbitServer
from tests.servers.redis_servers import RedisServer

PROJECT = Path(__file__).parent / "project"
CELERY = Path(sys.executable).with_name("celery")
NAMES = ("settings", "jobs", "ours", "theirs")
OURS = "ours"
THEIRS = "theirs"
BOTH = "both"


class Fleet:
    """What tests ask of it.

    Args:
        server: the broker, and the result store where nothing else is said.
        directory: for logs and the ledger.
        url: of the broker, if not the server's.
        results: address of the results, if not the broker's.
    """

    def __init__(
        self, server: RedisServer | RabbitServer, directory: Path, url: str | None = None, results: str | None = None
    ) -> None:
        self.server = server
        self.directory = directory
        self.ledger = directory / "ledger"
        self.env = {
            "FLEET_URL": url or server.url,
            "FLEET_RESULTS": results or "",
            "LEDGER": str(self.ledger),
            "PYTHONPATH": str(PROJECT),
            "C_FORCE_ROOT": "1",  # Celery refuses to run pickle as root otherwise
        }
        self.ours: Skirret
        self.theirs: celery.Celery
        self.jobs: Any

    @contextlib.contextmanager
    def clients(self) -> Iterator[Fleet]:
        """Both apps in this process; their modules are gone again afterwards."""
        before = {name: os.environ.get(name) for name in self.env if name.startswith("FLEET_") or name == "LEDGER"}
        others = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}  # of a fleet around this one
        os.environ.update({name: self.env[name] for name in before})
        sys.path.insert(0, str(PROJECT))
        try:
            self.jobs = importlib.import_module("jobs")
            self.ours = importlib.import_module("ours").app
            self.theirs = importlib.import_module("theirs").app
            yield self
            self.ours.close()
            end(self.theirs)
        finally:
            sys.path.remove(str(PROJECT))
            for name in NAMES:
                sys.modules.pop(name, None)
            sys.modules.update(others)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def client(self, side: str) -> Any:
        """The app of a side."""
        return self.ours if side == OURS else self.theirs

    @contextlib.contextmanager
    def our_worker(self, queues: str, options: str = "-c 2") -> Iterator[Program]:
        """A Skirret worker, once it is ready."""
        with running(f"skirret -A ours worker -Q {queues} {options} -l info", self.directory, self.env) as worker:
            worker.wait_until_it_says("ready.", 30.0)
            yield worker

    @contextlib.contextmanager
    def their_worker(self, queues: str, options: str = "-c 2") -> Iterator[Program]:
        """A Celery worker, once it is ready."""
        command = f"{CELERY} -A theirs worker -Q {queues} {options} -l info --without-gossip --without-mingle"
        with running(command, self.directory, self.env) as worker:
            worker.wait_until_it_says("ready.", 60.0)
            yield worker

    def marks(self) -> list[tuple[str, str, str]]:
        """The ledger: (kind, side, name) of each line."""
        if not self.ledger.exists():
            return []
        return [tuple(line.split()[:3]) for line in self.ledger.read_text().splitlines()]  # type: ignore[misc]

    def lines(self, kind: str) -> list[list[str]]:
        """The lines of the ledger of a kind, whole: kind, side, name, process, time."""
        if not self.ledger.exists():
            return []
        return [line.split() for line in self.ledger.read_text().splitlines() if line.startswith(f"{kind} ")]

    def count(self, side: str | None = None) -> Counter[str]:
        """How often each name was marked, by one side or by both."""
        return Counter(name for _, by, name in self.marks() if side in {None, by})


def end(app: celery.Celery) -> None:
    """Close a Celery app with all lines of this thread."""
    let_go(app)
    app.close()


def let_go(app: celery.Celery) -> None:
    """Close the lines to results of this thread, in each of which Celery keeps its own.

    Handles that live on shall not open new ones when they go.
    """
    if app._backend is None:
        return
    consumer = app.backend.result_consumer
    if app.backend.as_uri() == "rpc://":
        if consumer._connection is not None:
            consumer.stop()
        app.pool.force_close_all()
        return
    consumer.stop()
    consumer._pubsub = None
    gc.collect()
    app.backend.client.connection_pool.disconnect()


def until(condition: Any, patience: float = 20.0) -> Any:
    """The first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {patience} s"
        time.sleep(0.02)
    return value
