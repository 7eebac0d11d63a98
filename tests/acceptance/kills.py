"""kill -9 of children, supervisors and servers under load, on whatever broker, and the judgement of what came of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.acceptance.faulty import is_alive, wait_until, worker_children
from tests.acceptance.load import LoadedProject, figures
from tests.acceptance.repeats import Repeats, explain, runs_of

UNSETTLED = 1 + 3
"""Tasks of 4 ms that one child's death may repeat: the one that runs, and 10 ms of finished work (P2)."""

AFTERLIFE = 1.0
"""Seconds within which the children of a killed supervisor are gone."""


class Server(Protocol):
    """What can be killed and started again."""

    def kill(self) -> None: ...
    def start(self) -> None: ...


@dataclass
class Kills:
    """When each was, and the seconds until it was made up for."""

    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of the times."""
        return sorted(self.took)[len(self.took) // 2]


def _get_going(project: LoadedProject) -> None:
    """A process that sends for the first time looks at the queues of delays, which takes its time on a busy server."""
    wait_until(lambda: len(project.count("end")) > 100)


def kill_children(project: LoadedProject, times: int) -> Kills:
    """Kill a child of a worker so many times, until its successor runs a task: within a second, by the promise."""
    kills = Kills()
    with project.worker("-c 2") as worker:
        with project.producer():
            _get_going(project)
            for _ in range(times):
                time.sleep(0.5 if times < 5 else 2.1)  # more deaths in 10 s than 5 are a storm, which is slowed down
                _, children = worker_children(worker.pid)
                known = project.processes()
                os.kill(children[0], signal.SIGKILL)
                kills.at.append(time.monotonic())
                kills.took.append(wait_until(lambda known=known: project.processes() - known, 10.0))
        project.settle_down()
        assert worker.stop() == 0
    print(figures("a killed child's successor runs a task", kills.took))
    assert kills.median <= 1.0
    assert max(kills.took) <= 1.0 + 1.0, "the promise is 1 s; one more for a machine that others use"
    return kills


def kill_supervisors(project: LoadedProject, times: int, patience: float) -> Kills:
    """Kill a whole worker so many times, until another has done what it had begun.

    Args:
        project: under load.
        times: so many.
        patience: seconds until then, once the other is ready.
    """
    kills = Kills()
    with project.producer(400.0 if times < 5 else 100.0):  # what they start is killed half of the time
        for _ in range(times):
            with project.worker("-c 2") as worker:
                known = len(project.lines())
                wait_until(lambda known=known: len(project.lines()) > known)
                time.sleep(0.3)
                template, children = worker_children(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
                killed = time.monotonic()
                worker.process.wait()
                wait_until(lambda pids=(template, *children): not any(map(is_alive, pids)), AFTERLIFE)
            half_done = set(project.count("start")) - set(project.count("end"))
            with project.worker("-c 2") as worker:
                wait_until(lambda keys=half_done: keys <= set(project.count("end")), patience)
                kills.at.append(killed)
                kills.took.append(time.monotonic() - killed)
                assert worker.stop() == 0
    with project.worker("-c 2") as worker:
        project.settle_down()
        assert worker.stop() == 0
    print(figures("what a killed supervisor's children ran has run again, its restart included", kills.took))
    return kills


def kill_servers(project: LoadedProject, servers: Sequence[Server], times: int, pause: float = 0.5) -> Kills:
    """Kill servers in turns under two workers, until a task runs that was sent after the server's return.

    Args:
        project: under load.
        servers: of the broker and of the results.
        times: how often altogether.
        pause: seconds of load before each.
    """
    kills = Kills()
    with project.worker("-c 2 -n one@%h") as one, project.worker("-c 2 -n two@%h") as two:
        with project.producer():
            _get_going(project)
            for n in range(times):
                time.sleep(pause)
                server = servers[n % len(servers)]
                server.kill()
                kills.at.append(time.monotonic())
                time.sleep(0.3 if n % 3 else 1.5)  # the longer one is more than a producer's repetitions outlast
                server.start()
                back = time.monotonic()
                wait_until(lambda back=back: project.consumes_since(back), 15.0)
                kills.took.append(time.monotonic() - back)
        project.settle_down(60.0)
        assert one.stop() == 0
        assert two.stop() == 0
    print(figures("consuming again after the server answered", kills.took))
    slowest = project.sent().slowest
    print(f"the slowest call of the producer took {slowest:.3f} s")
    assert max(kills.took) <= 5.0
    assert slowest <= 5.5
    return kills


def judge(
    project: LoadedProject, kills: Kills, most: int, *, afterlife: float = 0.0, is_fenced: bool = True
) -> Repeats:
    """Nothing is lost, early or left, and every second run is one of those that P2 permits.

    Args:
        project: all is quiet.
        kills: what was done to it.
        most: runs that may have been interrupted, or finished and not settled, at all kills together.
        afterlife: as of `explain`.
        is_fenced: the broker refuses what a run that it gave to others brings, and knows the ids of messages. Else what
            follows such a run may have been sent already, and is sent again after the second one: it is told of both,
            while the recorded result stays the first that was stored.
    """
    verdict = project.judge()
    repeats = explain(runs_of(project.lines()), project.sent().called, kills.at, afterlife)
    print(verdict)
    print(repeats)
    assert verdict.sent > 100
    assert not verdict.lost, verdict
    assert not verdict.early, verdict
    assert not repeats.unexplained, repeats.unexplained
    assert repeats.interrupted <= most, repeats
    told_of_both = 0 if is_fenced else repeats.interrupted
    assert repeats.followed <= told_of_both, repeats
    assert len(verdict.torn) <= told_of_both, verdict
    assert not project.left()
    return repeats
