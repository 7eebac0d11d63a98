"""Both kinds of workers on one queue, of each kind some killed with -9: nothing of ours is lost.

What Celery's own worker loses is told apart by the server's append-only file: a message that a worker of theirs popped
and had not yet noted in ``unacked`` when it died. They acknowledge late here, and what a dead one had noted comes back
after their visibility timeout, when the next one of theirs starts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.acceptance.faulty import children_of, is_alive
from tests.acceptance.processes import Program
from tests.acceptance.redis_load import SAFE
from tests.interop.fleet import BOTH, OURS, THEIRS, Fleet, until
from tests.servers.redis_servers import RedisServer, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Call to deprecated")]

VISIBILITY = 2
"""Seconds of Celery's visibility timeout; the tasks take far less."""

SECONDS = 0.02
"""Of work in each task."""

UNSETTLED = 1 + 1
"""Tasks of 20 ms that one child's death may repeat: the one that runs, and one that had just finished (P2)."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    server = RedisServer(redis_binary(), tmp_path / "redis", *SAFE)
    fleet = Fleet(server, tmp_path)
    fleet.env["FLEET_VISIBILITY"] = str(VISIBILITY)
    try:
        with fleet.clients():
            yield fleet
    finally:
        server.stop()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "tasks, kills",
    [
        pytest.param(600, 1, id="some"),
        pytest.param(5000, 3, id="many", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
def test_one_of_each_kind_is_killed_and_nothing_of_ours_is_lost(fleet: Fleet, tasks: int, kills: int) -> None:
    names = [f"task-{n}" for n in range(tasks)]
    victims: set[str] = set()
    ids = send(fleet, names)
    with contextlib.ExitStack() as workers:
        workers.enter_context(fleet.their_worker(BOTH, "-c 2 -n stays@%h"))
        theirs = workers.enter_context(fleet.their_worker(BOTH, "-c 2 -n theirs0@%h"))
        workers.enter_context(fleet.our_worker(BOTH, "-c 2 -n stays@%h"))
        ours = workers.enter_context(fleet.our_worker(BOTH, "-c 2 -n ours0@%h"))
        for kill in range(1, kills + 1):
            until(lambda kill=kill: len(ended(fleet)) >= tasks * kill // (kills + 2), 60.0)
            victims |= end(ours) | end(theirs)
            time.sleep(VISIBILITY)
            if kill < kills:
                ours = workers.enter_context(fleet.our_worker(BOTH, f"-c 2 -n ours{kill}@%h"))
            theirs = workers.enter_context(fleet.their_worker(BOTH, f"-c 2 -n theirs{kill}@%h"))
        settle_down(fleet)
    lost = set(names) - ended(fleet)
    dropped = popped_and_dropped(fleet)
    again, theirs_again = second_runs(fleet, victims)
    print(
        f"{tasks} tasks, {kills} of each kind killed: {shares(fleet)}; lost by Celery's pop {dropped}, "
        f"by us {len(lost) - dropped}; second runs of ours {again}, of Celery's {theirs_again}"
    )
    assert len(lost) == dropped, f"{sorted(lost)[:5]} are lost, and no worker of Celery's popped them"
    assert dropped <= kills
    assert again <= kills * 2 * UNSETTLED
    assert min(shares(fleet).values()) >= tasks // 100, "each kind had a share worth the name"
    found = fleet.ours.backend.fetch([ids[name] for name in names if name not in lost])
    assert len(found) == tasks - len(lost)


def send(fleet: Fleet, names: list[str]) -> dict[str, str]:
    """Half by each client, in turns; ids by name."""
    work = fleet.ours.tasks["jobs.work"]
    ids = {}
    for at in range(0, len(names), 200):
        ours, theirs = names[at : at + 100], names[at + 100 : at + 200]
        results = fleet.ours.send_many([work.s(name, SECONDS).set(queue=BOTH) for name in ours])
        ids |= {name: result.id for name, result in zip(ours, results, strict=True)}
        for name in theirs:
            ids[name] = fleet.theirs.send_task("jobs.work", (name, SECONDS), queue=BOTH).id
    return ids


def end(worker: Program) -> set[str]:
    """Kill a worker's processes, all of them, with -9; the children's ids, as the ledger has them."""
    below = children_of(worker.pid)
    below += [child for one in below for child in children_of(one)]
    for pid in (worker.pid, *below):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    worker.process.wait()
    until(lambda: not any(map(is_alive, below)))
    return {str(pid) for pid in below}


def lines(fleet: Fleet) -> list[list[str]]:
    """The ledger: word, side, name, process, time."""
    return [line.split() for line in fleet.ledger.read_text().splitlines()] if fleet.ledger.exists() else []


def ended(fleet: Fleet) -> set[str]:
    return {name for word, _, name, *_ in lines(fleet) if word == "end"}


def shares(fleet: Fleet) -> dict[str, int]:
    """How many runs each kind finished."""
    return {side: sum(word == "end" and by == side for word, by, *_ in lines(fleet)) for side in (OURS, THEIRS)}


def settle_down(fleet: Fleet) -> None:
    """Wait until nothing is left in the queue, nor in the hands of any worker."""
    with redis.Redis.from_url(fleet.server.url) as client:

        def is_quiet() -> bool:
            size = fleet.ours.broker.size(BOTH)
            return size.ready == size.held == size.delayed == 0 and client.hlen("unacked") == 0

        until(is_quiet, 60.0)


def second_runs(fleet: Fleet, victims: set[str]) -> tuple[int, int]:
    """(runs of ours that began again after our worker died, all others): the others follow a run of Celery's."""
    runs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for word, side, name, pid, _ in lines(fleet):
        if word == "start":
            runs[name].append((side, pid))
    ours = theirs = 0
    for found in runs.values():
        for side, pid in found[:-1]:
            if side == OURS:
                assert pid in victims, f"{found}: a worker of ours that lived let somebody run this again"
                ours += 1
            else:
                theirs += 1
    return ours, theirs


def popped_and_dropped(fleet: Fleet) -> int:
    """Messages that a worker of Celery's popped and never noted, as the server's append-only file tells."""
    pops = notes = 0
    for file in sorted((fleet.server.directory / "appendonlydir").glob("*.incr.aof")):
        for words in commands(file.read_bytes()):
            pops += words[0].upper() == b"RPOP" and words[1].startswith(BOTH.encode())
            notes += words[0].upper() == b"HSET" and words[1] == b"unacked"
    assert pops >= notes > 0
    return pops - notes


def commands(text: bytes) -> Iterator[list[bytes]]:
    """The commands of an append-only file."""
    at = 0
    while at < len(text):
        if text[at : at + 1] == b"#":  # a time stamp
            at = text.index(b"\n", at) + 1
            continue
        end_of_count = text.index(b"\r\n", at)
        words = []
        position = end_of_count + 2
        for _ in range(int(text[at + 1 : end_of_count])):
            end_of_size = text.index(b"\r\n", position)
            size = int(text[position + 1 : end_of_size])
            words.append(text[end_of_size + 2 : end_of_size + 2 + size])
            position = end_of_size + 2 + size + 2
        yield words
        at = position
