"""Workers and servers under load: a producer with a ledger of its own, and an oracle that no broker has a say in."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skirret import states
from tests.acceptance.faults_producer import LATER
from tests.acceptance.faulty import Project, wait_until
from tests.acceptance.processes import Program, running

PRODUCER = Path(__file__).with_name("faults_producer.py")


@dataclass
class Sent:
    """What producers wrote: keys by what they were told, and when they tried."""

    ids: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    tried: dict[str, float] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)
    called: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When each call began, and when its end was told."""

    @property
    def slowest(self) -> float:
        """Seconds of the longest call."""
        return max((told - began for began, told in self.called.values()), default=0.0)


@dataclass
class Verdict:
    """What became of everything that was sent."""

    sent: int = 0
    errors: int = 0
    lost: list[str] = field(default_factory=list)
    again: int = 0
    early: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    """Tasks with more than one outcome."""

    def __str__(self) -> str:
        return (
            f"sent {self.sent}, refused {self.errors}, lost {len(self.lost)}, second runs {self.again}, "
            f"early {len(self.early)}, two outcomes {len(self.torn)}"
        )


class LoadedProject(Project):
    """The fault tasks on a server, with results there or elsewhere.

    Args:
        directory: of its own.
        broker: address of the server.
        results: where results are kept, if that is elsewhere.
        tasks: another file of tasks, as `Project` is told.
    """

    def __init__(self, directory: Path, broker: str, results: str = "", **tasks: Any) -> None:
        super().__init__(directory, broker, results, **tasks)
        self.promises = directory / "sent.txt"
        self._lines: list[list[str]] = []
        self._read = 0

    def lines(self) -> list[list[str]]:
        """The tasks' ledger; what was read before is not read again."""
        if self.ledger.exists():
            with self.ledger.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            self._read += len(new)
            self._lines += [line.split() for line in new.decode().splitlines()]
        return self._lines

    @contextlib.contextmanager
    def producer(self, rate: float = 400.0) -> Iterator[Program]:
        """A producer at `rate` tasks a second for the length of a ``with`` block; at its end it stops by itself."""
        command = f"{sys.executable} {PRODUCER} {self.promises} {rate}"
        with running(command, self.directory, {**self.env, "PYTHONPATH": ":".join(sys.path)}) as program:
            program.wait_until_it_says("sending")
            yield program
            assert program.stop(timeout=20) == 0, program.said()

    def sent(self) -> Sent:
        """The producers' ledger."""
        sent = Sent()
        for line in self.promises.read_text().splitlines():
            word, key, task_id, kind, moment = line.split()
            if word == "intent":
                sent.ids[key], sent.kinds[key], sent.tried[key] = task_id, kind, float(moment)
                continue
            (sent.acked if word == "acked" else sent.errors).add(key)
            sent.called[key] = sent.tried[key], float(moment)
        return sent

    def settle_down(self, seconds: float = 30.0) -> float:
        """Wait until nothing is ready, held or delayed; the seconds that it took."""

        def is_empty() -> bool:
            size = self.size()
            time.sleep(0.05)
            return size.ready == size.held == size.delayed == 0

        return wait_until(is_empty, seconds)

    def consumes_since(self, moment: float) -> bool:
        """Whether any task began that was sent after a moment of the monotonic clock."""
        with self.promises.open("rb") as file:
            file.seek(max(0, self.promises.stat().st_size - 100_000))
            whole = file.read().decode().splitlines(keepends=True)[1:]  # the last may be written just now
            lines = [line.split() for line in whole if line.endswith("\n")]
        sent = {key for word, key, _, _, at in lines if word == "intent" and float(at) > moment}
        return any(word == "start" and key in sent for word, key, _, _ in self.lines()[-400:])

    def processes(self) -> set[str]:
        """Ids of the processes that ran anything."""
        return {line[2] for line in self.lines()}

    def left(self) -> Collection[str]:
        """What is still on the servers that should not be once all work is done; for messages about it."""
        raise NotImplementedError

    def judge(self) -> Verdict:
        """Hold the ledgers and the results against each other; call it when all is quiet."""
        sent = self.sent()
        verdict = Verdict(sent=len(sent.ids), errors=len(sent.errors))
        began: dict[str, list[float]] = defaultdict(list)
        runs: dict[str, set[str]] = defaultdict(set)
        parents: dict[str, set[str]] = defaultdict(set)
        ended: Counter[str] = Counter()
        for word, key, pid, at in self.lines():
            if word == "start":
                began[key].append(float(at))
                runs[key].add(f"{pid}-{at}")
            elif word == "end":
                ended[key] += 1
            elif word == "follows":
                child, _, token = key.partition("/")
                parents[child].add(token)
        metas = self._metas(sent)
        for key, task_id in sent.ids.items():
            meta = metas[task_id]
            if not began[key] and key not in sent.acked:
                continue  # it was refused, and indeed it never ran
            is_done = ended[key] and meta.status == states.SUCCESS and meta.result in runs[key]
            followed = sent.kinds[key] != "linked" or ended[f"{key}+"]
            if not is_done or not followed:
                verdict.lost.append(f"{key} {sent.kinds[key]} {meta.status} began {len(began[key])} ended {ended[key]}")
            if len(parents[key]) > 1:
                verdict.torn.append(key)
            if sent.kinds[key] == "later" and began[key] and min(began[key]) < sent.tried[key] + LATER - 0.002:
                verdict.early.append(key)
        verdict.again = sum(len(moments) - 1 for moments in began.values() if moments)
        return verdict

    def _metas(self, sent: Sent) -> dict:
        ids = list(sent.ids.values())
        reader = self.app.reader
        return {name: one for at in range(0, len(ids), 500) for name, one in reader.metas(ids[at : at + 500]).items()}


def figures(what: str, seconds: list[float]) -> str:
    """Recovery times for people."""
    ordered = sorted(seconds)
    return f"{what}: {len(ordered)} times, median {ordered[len(ordered) // 2]:.3f} s, longest {ordered[-1]:.3f} s"
