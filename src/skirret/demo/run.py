"""The course of the demo: start a worker, send one task a file, watch, stop, prove."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from skirret import states
from skirret.demo import ledger as ledgers
from skirret.demo.chaos import Chaos
from skirret.demo.files import Selection
from skirret.demo.measure import measure
from skirret.demo.processes import Worker
from skirret.demo.verdict import Report, add_up, prove
from skirret.errors import SkirretError
from skirret.meta import ResultMeta
from skirret.stores.sqlite.location import DIRECTORY, FILE, url_of
from skirret.url import mask

# Files that the demo measures itself to compare.
SAMPLE: Final = 100
TICK: Final = 0.05
# Results that one look asks for, in the order of sending; those that were overtaken are asked for now and then.
WINDOW: Final = 500
LATE_EVERY: Final = 0.3
# Longer than a lease and its sweep (reliability P4), so that a take-over is not mistaken for a loss.
PATIENCE: Final = 60.0
# A lease of the shipped 30 s would only make the spectator wait.
CHAOS_LEASE: Final = "3"


class Stalled(SkirretError):
    """Nothing was finished for too long."""


@dataclass(slots=True)
class Progress:
    """How far the demo is. `seconds` since the first task was sent."""

    total: int
    sent: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    seconds: float = 0.0
    strikes: int = 0


Watcher = Callable[[Progress], None]
"""Who is shown the progress."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What the user asked for.

    Args:
        selection: the files.
        project: the directory that the worker runs in; it holds the embedded file, the ledger and the worker's log.
        broker: None is the embedded file.
        result_backend: None is beside the broker.
        concurrency: slots of the worker; None is as many as CPUs.
        chaos: kill while it runs.
        pool: the worker's pool; None is the default one.
    """

    selection: Selection
    project: Path
    broker: str | None = None
    result_backend: str | None = None
    concurrency: int | None = None
    chaos: bool = False
    pool: str | None = None


@dataclass(slots=True)
class Demo:
    """One run of the demo. Setting `interrupted` (from a signal's handler) ends it at the next safe moment."""

    plan: Plan
    watch: Watcher
    progress: Progress = field(init=False)
    broker: str = field(init=False)
    results: str = field(init=False)
    queue: str = field(init=False)
    ledger: Path = field(init=False)
    app: Any = field(init=False)
    worker: Worker = field(init=False)
    chaos: Chaos | None = field(init=False)
    interrupted: bool = field(init=False, default=False)
    _outstanding: dict[str, str] = field(init=False, default_factory=dict)
    _late: dict[str, str] = field(init=False, default_factory=dict)
    _look_at_late: float = field(init=False, default=0.0)
    _found: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)
    _failed: dict[str, str] = field(init=False, default_factory=dict)
    _example: str = field(init=False, default="")

    def __post_init__(self) -> None:
        plan = self.plan
        embedded = url_of(plan.project / DIRECTORY / FILE)
        self.broker = plan.broker or embedded
        self.results = plan.result_backend or plan.broker or embedded
        # On a broker that others use too, the demo keeps to a queue of its own.
        self.queue = f"skirret-demo-{secrets.token_hex(4)}" if plan.broker else "celery"
        self.ledger = plan.project / "ledger.jsonl"
        self.progress = Progress(total=len(plan.selection.paths))
        self.chaos = Chaos(self.progress.total) if plan.chaos else None
        self.worker = Worker(
            self._arguments(),
            plan.project,
            plan.project / "worker.log",
            {"SKIRRET_WORKER_LEASE": CHAOS_LEASE} if plan.chaos else {},
        )

    def _arguments(self) -> list[str]:
        arguments = ["-A", "skirret.demo.tasks", "-b", self.broker, "--result-backend", self.results, "-C", "worker"]
        arguments += ["-Q", self.queue, "-l", "INFO", "-n", "demo@%h"]
        if self.plan.concurrency:
            arguments += ["-c", str(self.plan.concurrency)]
        if self.plan.pool:
            arguments += ["-P", self.plan.pool]
        return arguments

    def run(self) -> Report:
        """Do it all; no process is left behind, whatever happens.

        Raises:
            KeyboardInterrupt: `interrupted` was set.
            WorkerFailed: the worker ended by itself.
            Stalled: nothing was finished for `PATIENCE` seconds.
        """
        began = time.time_ns()
        self._prepare()
        try:
            self.worker.start()
            self._work()
            self.worker.stop()
        except BaseException:
            self.worker.kill()
            self.worker.sweep(0.0)
            raise
        left = self.worker.sweep()
        return self._report(began, left)

    def _prepare(self) -> None:
        self.plan.project.mkdir(parents=True, exist_ok=True)
        (self.plan.project / DIRECTORY).mkdir(exist_ok=True)
        if self.ledger.exists():
            self.ledger.unlink()
        from skirret.demo.tasks import app

        app.conf.update(broker_url=self.broker, result_backend=self.results, task_default_queue=self.queue)
        self.app = app

    def _work(self) -> None:
        progress, paths = self.progress, self.plan.selection.paths
        chunk = max(1, min(200, progress.total // 25))
        began = moved = time.monotonic()
        while progress.done + progress.failed < progress.total:
            while progress.sent < progress.total and (self.chaos is None or self.chaos.may_send(progress.sent)):
                self._send(paths[progress.sent : progress.sent + chunk])
                if self._collect(0.0):
                    moved = time.monotonic()
                self._show(began)
                if self._disturb() or self.interrupted:
                    break
            if self._collect(TICK):
                moved = time.monotonic()
            self._show(began)
            if not self._disturb():
                self.worker.check()
            if self.interrupted:
                raise KeyboardInterrupt
            if time.monotonic() - moved > PATIENCE:
                raise Stalled(
                    f"nothing was finished for {PATIENCE:g} s; {progress.total - progress.done} of {progress.total} "
                    f"tasks are open. The end of the worker's log:\n{self.worker.tail()}"
                )

    def _send(self, paths: list[str]) -> None:
        from skirret.demo.tasks import measure_file

        ledger = str(self.ledger)
        handles = self.app.send_many([measure_file.s(path, ledger) for path in paths])
        for path, handle in zip(paths, handles, strict=True):
            self._outstanding[handle.id] = path
            self._example = self._example or handle.id
        self.progress.sent += len(paths)

    def _collect(self, timeout: float) -> int:
        """Take the results that are ready, waiting up to `timeout` seconds for the first; how many."""
        ids = list(islice(self._outstanding, WINDOW))
        if time.monotonic() >= self._look_at_late or not ids:
            self._look_at_late = time.monotonic() + LATE_EVERY
            ids += self._late
        ready = {
            task_id: meta for task_id, meta in self.app.reader.metas(ids).items() if meta.status in states.READY_STATES
        }
        if not ready and timeout:
            time.sleep(timeout)
        # Who was overtaken (a retry goes to the end of the queue) must not fill the window.
        overtaken = [task_id for task_id in ids if task_id in self._outstanding]
        while overtaken and overtaken[-1] not in ready:
            overtaken.pop()
        for task_id in overtaken:
            if task_id not in ready:
                self._late[task_id] = self._outstanding.pop(task_id)
        for task_id, meta in ready.items():
            home = self._outstanding if task_id in self._outstanding else self._late
            self._note(home.pop(task_id), meta)
        return len(ready)

    def _note(self, path: str, meta: ResultMeta) -> None:
        if meta.status == states.SUCCESS:
            self._found[path] = meta.result
            self.progress.done += 1
            self.progress.retried += meta.result["attempts"] > 1
        else:
            self._failed[path] = f"{meta.status}: {meta.result!r}"
            self.progress.failed += 1

    def _disturb(self) -> bool:
        done = self.progress.done + self.progress.failed
        if self.chaos is None or not self.chaos.strike(self.worker, done):
            return False
        self.progress.strikes += 1
        return True

    def _show(self, began: float) -> None:
        self.progress.seconds = time.monotonic() - began
        self.watch(self.progress)

    def _report(self, began: int, left: int) -> Report:
        plan = self.plan
        proof = prove(plan.selection.paths, self._found, ledgers.read(str(self.ledger)), self._measure_sample(began))
        proof.left_behind = left
        if self.chaos is not None:
            proof.killed_children, proof.killed_workers = self.chaos.children, self.chaos.workers
        return Report(
            directory=str(plan.selection.directory),
            files=self.progress.total,
            skipped=plan.selection.skipped,
            succeeded=self.progress.done,
            failed=self._failed,
            retried=self.progress.retried,
            seconds=self.progress.seconds,
            totals=add_up(self._found),
            proof=proof,
            broker=mask(self.broker),
            results=mask(self.results),
            queue=self.queue,
            project=str(plan.project),
            example_id=self._example,
        )

    def _measure_sample(self, began: int) -> dict[str, dict[str, Any]]:
        """Measurements of our own of an even sample; files that changed since the demo began are left out."""
        paths = self.plan.selection.paths
        step = max(1, len(paths) // SAMPLE)
        own = {}
        for path in paths[::step]:
            try:
                if Path(path).stat().st_mtime_ns < began:
                    own[path] = measure(path)
            except OSError:
                continue
        return own
