"""Side by side and in turns: in each round, each queue has its turn at each part, on an empty server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import drain, enqueue, rest
from benchmarks.peers import Entry
from benchmarks.plan import BACKLOGS, Backlog, Plan
from benchmarks.sample import Failure, Quantity, Sample
from benchmarks.server import Server
from benchmarks.session import Session, Trouble


def progress(text: str) -> None:
    """Tell on stderr what is being measured."""
    print(f"... {text}", file=sys.stderr, flush=True)


FIRST_GUESS = 200  # tasks
ENOUGH = 0.5  # seconds that a drain must last for its rate to be believed
SECONDS_FOR_PACE = 10.0


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
        self.began = time.monotonic()

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
            minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
            progress(f"{minutes:3}:{seconds:02} round {self.turn} of {self.plan.rounds}: {part}: {entry.title}")
            try:
                for quantity, value in self.measured(entry, part, backlog):
                    self.samples.append(Sample(self.turn, entry.name, quantity, value))
            except (Trouble, OSError) as trouble:
                progress(f"    {trouble}")
                self.failures.append(Failure(self.turn, entry.name, part, str(trouble)))

    def session(self, entry: Entry, concurrency: int) -> Session:
        """A fresh client on an empty server: nothing is left of an earlier turn."""
        self.server.empty()
        session = Session(entry, self.queues[entry], self.server.env, concurrency)
        self.versions[entry.name] = session.versions
        return session

    def pace(self, entry: Entry) -> float:
        """Roughly how many no-op tasks a second a queue drains, from longer and longer backlogs."""
        headline = next(backlog for backlog in BACKLOGS if backlog.headline)
        count = FIRST_GUESS
        while True:
            began = time.perf_counter()
            with self.session(entry, self.plan.concurrency) as session:
                found = dict(drain.drain(session, self.server, headline, count, SECONDS_FOR_PACE))
            rate = found.get(drain.rate_of(headline))  # None if all was done before anybody looked
            if count >= self.plan.most_tasks:
                return rate or count / (time.perf_counter() - began)
            if rate is not None and count / rate > ENOUGH:
                return rate
            count *= 10

    def measured(self, entry: Entry, part: str, backlog: Backlog | None) -> Iterator[tuple[Quantity, float]]:
        """What one queue yields at one part."""
        concurrency = (backlog and backlog.concurrency) or self.plan.concurrency
        if backlog is not None and self.plan.tasks is None and entry not in self.paces:
            self.paces[entry] = self.pace(entry)
        with self.session(entry, concurrency) as session:
            if backlog is not None:
                count = self.plan.length(backlog, self.paces.get(entry, 1.0))
                yield from drain.drain(session, self.server, backlog, count, self.plan.lasting(backlog))
            elif part == "enqueue":
                yield from enqueue.measure(session, self.server, self.plan)
            else:
                yield from rest.measure(session, self.server, self.plan)
