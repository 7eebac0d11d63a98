"""A supervisor on a stage: its fetcher and children are pretended, and the test says what they do."""

from __future__ import annotations

import time
from collections.abc import Callable

from skirret.message import Delivery, Record
from skirret.outcome import Settlement
from skirret.settings import Conf
from skirret.wire.envelope import Head
from skirret.worker.child_line import ChildLine
from skirret.worker.fetch import Taken
from skirret.worker.frames import Outcome
from skirret.worker.loop import Loop
from skirret.worker.manifest import TaskTraits
from skirret.worker.rules import Rules
from skirret.worker.supervisor import Supervisor
from tests.unit.worker.crew import link_of, turn


class Fetched:
    """Stands for the fetcher: remembers what it was told."""

    def __init__(self) -> None:
        self.settlements: list[Settlement] = []
        self.stored: list[Record] = []
        self.wanted: list[int] = []
        self.anew = 0
        self.finished = self.goes_on = False

    def want(self, count: int) -> None:
        self.wanted.append(count)

    def settle(self, settlements: list[Settlement]) -> None:
        self.settlements += settlements

    def store(self, records: list[Record]) -> None:
        self.stored += records

    def publish(self, publications: list[object]) -> None:
        pass

    def claim(self, claims: list[object]) -> None:
        pass

    def begin_anew(self) -> None:
        self.anew += 1

    def finish(self) -> None:
        self.finished = True


class Stage:
    """A supervisor between a pretended fetcher and lines to pretended children, whose ends the test holds."""

    def __init__(self, slots: int = 1, count: int = 1, **settings: object) -> None:
        self.loop = Loop()
        tasks = {"t": TaskTraits(), "early": TaskTraits(acks_late=False), "other": TaskTraits()}
        tasks["shared"] = TaskTraits(rate_limit_scope="fleet")
        conf = Conf()
        conf.update(settings)
        self.supervisor = Supervisor(self.loop, Rules(tasks, conf, stores_results=True))
        self.fetched = Fetched()
        self.replaced: list[ChildLine] = []
        self.stopped = self.killed = False
        self.kills = True
        self.slots = slots
        self.children = [ChildLine(self.loop, n, slots, self.supervisor.frames) for n in range(count)]
        self.links = [link_of(child) for child in self.children]
        for child in self.children:
            child.ready = True
        self.supervisor.attach(self, self.fetched)  # type: ignore[arg-type]

    # -- what a pool offers

    def stop(self) -> None:
        self.stopped = True
        for child in self.children:
            child.condemned = True
            child.ask_to_stop()

    def kill(self) -> bool:
        self.killed = True
        return True

    def condemn(self, child: ChildLine) -> None:
        child.condemned = True
        child.ask_to_stop()

    def replace(self, child: ChildLine) -> None:
        self.replaced.append(child)

    def isolate(self) -> None:
        if self.slots > 1 and not any(child.isolated for child in self.children):
            self.add(slots=1).isolated = True
            self.supervisor.pump()

    def add(self, slots: int) -> ChildLine:
        child = ChildLine(self.loop, len(self.children) + 10, slots, self.supervisor.frames)
        child.ready = True
        self.children.append(child)
        self.links.append(link_of(child))
        return child

    # -- what happens

    def take(self, *tags: int, name: str = "t", limit: float | None = None, **history: int) -> None:
        """Messages come, with a hard limit and a history that they have in common."""
        heads = [Head(task=name, id=f"id-{n}", timelimit=(limit, None)) for n in tags]
        deliveries = [Delivery(tag=n, queue="q", raw=b"{}", **history) for n in tags]
        self.supervisor.taken(Taken(list(zip(deliveries, heads, strict=True))))
        self.supervisor.look()

    def settle_all(self, flag: bool = True) -> None:
        """What was told to the fetcher is carried out."""
        done, self.fetched.settlements = self.fetched.settlements, []
        self.supervisor.settled(done, [flag] * len(done))
        self.supervisor.look()

    def run(self, child: int = 0, runtime: float = 0.0001) -> None:
        """A child runs the next frame and reports it."""
        link = self.links[child]
        run = link.try_next()
        assert run is not None, "nothing may start"
        link.report(Outcome(run.seq, "done", runtime, "t"))
        link.flush()
        self.children[child]._read()
        self.supervisor.look()

    def die(self, child: int = 0, how: str = "killed by SIGKILL", blame: bool = True) -> None:
        """A child dies; another takes its place unless the pool stops."""
        line = self.children.pop(child)
        self.links.pop(child)
        unstarted = line.close()
        self.supervisor.died(line, unstarted, how, blame)
        if not self.killed:
            fresh = ChildLine(self.loop, line.number + 100, self.slots, self.supervisor.frames)
            fresh.ready = True
            self.children.insert(child, fresh)
            self.links.insert(child, link_of(fresh))
            self.supervisor.pump()

    def let_pass(self, seconds: float) -> None:
        """Turn the loop for so long."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, seconds + 1)

    def until(self, condition: Callable[[], object], seconds: float = 2.0) -> None:
        """Turn the loop until `condition` holds."""
        turn(self.loop, condition, seconds)

    def close(self) -> None:
        for child in self.children:
            child.close()
        self.loop.close()
