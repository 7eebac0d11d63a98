"""Side by side and in turns: in each round, each queue has its turn at each part, on an empty server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import drain, enqueue, rest
from benchmarks.peers import Entry
from benchmarks.plan import Backlog, Plan
from benchmarks.sample import Failure, Quantity, Sample
from benchmarks.server import Server
from benchmarks.session import Session, Trouble


def progress(text: str) -> None:
    """Tell on stderr what is being measured."""
    print(f"... {text}", file=sys.stderr, flush=True)


class Turns:
    """One run.

    Args:
        plan: what is measured.
        queues: whose, and with which interpreters.
        server: the one that all share.
    """

    def __init__(self, plan: Plan, queues: dict[Entry, Path], server: Server) -> None:
        self.plan = plan
        self.queues = queues
        self.server = server
        self.samples: list[Sample] = []
        self.failures: list[Failure] = []
        self.versions: dict[str, dict[str, str]] = {}
        self.paces: dict[Entry, float] = {}
        self.turn = 0

    def run(self) -> None:
        """Measure everything."""
        for turn in range(1, self.plan.rounds + 1):
            self.turn = turn
            for part in self.plan.parts:
                if part == "drain":
                    for backlog in self.plan.backlogs:
                        self.each(f"drain, {backlog.name}", backlog)
                else:
                    self.each(part, None)

    def each(self, part: str, backlog: Backlog | None) -> None:
        """Each queue's turn at one part."""
        for entry in self.queues:
            if entry.only_drains and backlog is None:
                continue
            progress(f"round {self.turn} of {self.plan.rounds}: {part}: {entry.title}")
            try:
                for quantity, value in self.measured(entry, part, backlog):
                    self.samples.append(Sample(self.turn, entry.name, quantity, value))
            except (Trouble, OSError) as trouble:
                progress(f"    {trouble}")
                self.failures.append(Failure(self.turn, entry.name, part, str(trouble)))

    def session(self, entry: Entry, concurrency: int) -> Session:
        """A fresh client on an empty server: nothing is left of an earlier turn."""
        self.server.empty()
        session = Session(entry, self.queues[entry], self.server.url, concurrency)
        self.versions[entry.name] = session.versions
        return session

    def measured(self, entry: Entry, part: str, backlog: Backlog | None) -> Iterator[tuple[Quantity, float]]:
        """What one queue yields at one part."""
        concurrency = (backlog and backlog.concurrency) or self.plan.concurrency
        if backlog is not None and self.plan.tasks is None and entry not in self.paces:
            first = (
                next(iter(self.plan.backlogs)) if self.plan.backlogs[0].headline else Backlog("no-op", headline=True)
            )
            with self.session(entry, self.plan.concurrency) as session:
                self.paces[entry] = drain.pace(session, self.server, first, self.plan)
        with self.session(entry, concurrency) as session:
            if backlog is not None:
                count = self.plan.length(backlog, self.paces.get(entry, 1.0))
                yield from drain.drain(session, self.server, backlog, count, self.plan.lasting(backlog))
            elif part == "enqueue":
                yield from enqueue.measure(session, self.server, self.plan)
            else:
                yield from rest.measure(session, self.server, self.plan)
