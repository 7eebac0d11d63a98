"""Time limits, children that are replaced, and limits of how many tasks begin or run."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from skirret.errors import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from tests.acceptance.faulty import is_alive, wait_until
from tests.pools.catalogue import feature
from tests.pools.stage import PATIENCE, Stage

TIME = "Time limits"
CHILDREN = "Children that are replaced"
MANY = "How many begin and run"

SOLO = ("solo",)
UNHURRIED = {"soft_time_limit": 100.0, "time_limit": 200.0}
"""Limits of calls that those of the worker would be too narrow for."""
CANNOT_STOP = "The pool solo cannot stop a task that"
CANNOT_LAST = f"{CANNOT_STOP} runs too long"


def is_told_softly(at: Stage, result: Any, key: str) -> None:
    """The task got the exception inside, once, and let it through."""
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=PATIENCE)
    assert at.project.count("told-SoftTimeLimitExceeded")[key] == 1


def is_ended_hard(at: Stage, name: str, key: str, limit: float, **options: Any) -> str | None:
    """The task fails at its limit though it is one call that blocks, and its neighbour finishes undisturbed."""
    if at.solo:
        assert at.send(name, key, limit + 0.4, **options).get(timeout=PATIENCE) == key, "it ran on"
        return said_after(at, CANNOT_LAST)
    neighbour = at.send("nap", f"beside-{key}", limit + 1.5)
    at.begun(f"beside-{key}")
    result = at.send(name, key, 60.0, **options)
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=PATIENCE)
    assert at.project.count("end")[key] == 0
    assert neighbour.get(timeout=PATIENCE) == f"beside-{key}"
    assert at.starts(f"beside-{key}") == 1, "it was not disturbed"
    return None


def said_after(at: Stage, words: str) -> str:
    """The sentence that the worker's log has with `words`."""
    line = next(line for line in at.worker.said().splitlines() if words in line)
    return line[line.index(words) :].partition(": ")[0]


@feature(TIME, "soft limit of a call (`soft_time_limit=`)")
def soft_limit_of_a_call(at: Stage) -> None:
    is_told_softly(at, at.send("nap", "soft-call", 30.0, soft_time_limit=0.3), "soft-call")


@feature(TIME, "soft limit of a task")
def soft_limit_of_a_task(at: Stage) -> None:
    is_told_softly(at, at.send("nap_soft", "soft-task", 30.0), "soft-task")


@feature(TIME, "soft limit set by `control time_limit`")
def soft_limit_by_command(at: Stage) -> None:
    name = at.named("nap_limited")
    assert at.tell("time_limit", task_name=name, soft=0.3) == {"ok": "time limits set successfully"}
    is_told_softly(at, at.send("nap_limited", "soft-command", 30.0), "soft-command")


@feature(TIME, "soft limit of the worker (`--soft-time-limit`)", worker="strict")
def soft_limit_of_the_worker(at: Stage) -> None:
    is_told_softly(at, at.send("nap", "soft-worker", 30.0), "soft-worker")


@feature(TIME, "hard limit of a call (`time_limit=`), neighbours finish", refusing=SOLO)
def hard_limit_of_a_call(at: Stage) -> str | None:
    return is_ended_hard(at, "nap", "hard-call", 0.5, time_limit=0.5)


@feature(TIME, "hard limit of a task", refusing=SOLO)
def hard_limit_of_a_task(at: Stage) -> str | None:
    return is_ended_hard(at, "nap_hard", "hard-task", 0.5)


@feature(TIME, "hard limit set by `control time_limit`", refusing=SOLO)
def hard_limit_by_command(at: Stage) -> str | None:
    name = at.named("nap_limited")
    reply = at.tell("time_limit", task_name=name, hard=0.5)
    if at.solo:
        return str(reply["error"])
    assert reply == {"ok": "time limits set successfully"}
    return is_ended_hard(at, "nap_limited", "hard-command", 0.5)


@feature(TIME, "hard limit of the worker (`--time-limit`)", worker="strict", refusing=SOLO)
def hard_limit_of_the_worker(at: Stage) -> str | None:
    at.send("grow", 0, 0.0).get(timeout=PATIENCE)
    if at.solo:
        return said_after(at, CANNOT_LAST)
    result = at.project.app.send_task("pools_app.shrugs", ("hard-worker",))
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=PATIENCE)
    assert at.project.count("shrugged")["hard-worker"] == 1
    return None


@feature(TIME, "one call that blocks in C, ended at its hard limit", refusing=SOLO)
def hard_limit_of_a_blocking_call(at: Stage) -> str | None:
    if at.solo:
        at.send("block_in_c", "blocked-c", 0.8, time_limit=0.3).get(timeout=PATIENCE)
        return said_after(at, CANNOT_LAST)
    result = at.send("block_in_c", "blocked-c", 60.0, time_limit=0.5)
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=PATIENCE)
    began = at.moments("start", "blocked-c")[0]
    assert time.monotonic() - began < 0.5 + 1.0 + 4.0, "four seconds of grace for the machine that runs this test"
    return None


@feature(TIME, "`stall_limit` and `task.heartbeat()`", refusing=SOLO)
def stall_limit(at: Stage) -> str | None:
    assert at.send("lively", "lively").get(timeout=PATIENCE) == "lively"
    if at.solo:
        assert at.send("nap_mute", "mute", 1.3).get(timeout=PATIENCE) == "mute"
        return said_after(at, f"{CANNOT_STOP} gives no heartbeat")
    with pytest.raises(TimeLimitExceeded):
        at.send("nap_mute", "mute", 60.0).get(timeout=PATIENCE)
    return None


@feature(CHILDREN, "`--max-tasks-per-child`", worker="strict")
def max_tasks_per_child(at: Stage) -> None:
    lives = [life(at) for _ in range(13)]
    assert max(lives.count(one) for one in lives) <= 4
    assert len(set(lives)) >= 4


@feature(CHILDREN, "`--max-memory-per-child`", worker="strict")
def max_memory_per_child(at: Stage) -> None:
    before = life(at)
    grown = [0]

    def is_noticed() -> bool:
        grown[0] = at.send("grow", 180, 0.1, **UNHURRIED).get(timeout=PATIENCE)
        time.sleep(0.5)  # the log is written behind the result
        return "has grown to" in at.worker.said()

    wait_until(is_noticed, PATIENCE)  # not at once, where that child goes because it has run as many tasks as it may
    wait_until(lambda: life(at) > before if at.solo else not is_alive(grown[0]), PATIENCE)
    assert at.starts("grow-180") <= 2


def life(at: Stage) -> float:
    """Tells children apart: by process, or under solo, whose worker begins anew in its own, by when that was."""
    pid, _, began = at.send("where").get(timeout=PATIENCE)
    assert not at.solo or pid == at.worker.pid
    return float(began if at.solo else pid)


@feature(CHILDREN, "`--memory-cap-per-child` kills a child that grows over it", worker="strict", refusing=SOLO)
def memory_cap_per_child(at: Stage) -> str | None:
    if at.solo:
        assert at.send("grow", 320, 0.4, **UNHURRIED).get(timeout=PATIENCE) == at.worker.pid
        return said_after(at, "The pool solo has no child that could be killed")
    with pytest.raises(WorkerLostError, match="had grown to"):
        at.send("grow", 320, 30.0, **UNHURRIED).get(timeout=PATIENCE)
    assert at.starts("grow-320") == 2, "and so often it may crash here"
    return None


def burst(at: Stage, name: str, prefix: str, *, apart: float) -> None:
    """Six of them begin about `apart` seconds one after another (a burst at the start may be made up for)."""
    results = [at.send(name, f"{prefix}{number}") for number in range(6)]
    for result in results:
        result.get(timeout=PATIENCE)
    moments = at.moments("start", prefix)
    assert len(moments) == 6
    assert moments[-1] - moments[0] >= 5 * apart * 0.6


@feature(MANY, "rate limit of each worker (`rate_limit=`)")
def rate_limit(at: Stage) -> None:
    burst(at, "nap_rated", "rated-", apart=0.1)


@feature(MANY, "rate limit of the fleet (`rate_limit_scope`)")
def rate_limit_of_the_fleet(at: Stage) -> None:
    _ = at.worker
    with at.project.worker(f"-P {at.pool} -n w2@h {'' if at.solo else '-c 1'}"):
        wait_until(lambda: len(at.control.ping(timeout=2.0) or ()) == 2, PATIENCE)
        burst(at, "nap_rated_together", "together-", apart=0.1)


@feature(MANY, "`control rate_limit`")
def rate_limit_by_command(at: Stage) -> None:
    told = at.tell("rate_limit", task_name=at.named("nap_slowed"), rate_limit="10/s")
    assert told == {"ok": "new rate limit set successfully"}
    burst(at, "nap_slowed", "slowed-", apart=0.1)


def one_after_another(at: Stage, *prefixes: str) -> None:
    """No two with the same prefix ran at a time."""
    for prefix in prefixes:
        starts, ends = at.moments("start", prefix), at.moments("end", prefix)
        assert len(starts) == len(ends) > 1
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


@feature(MANY, "so many at a time in the fleet (`max_concurrency=`)")
def max_concurrency(at: Stage) -> None:
    for result in [at.send("nap_one_at_once", f"once-{number}", 0.1) for number in range(4)]:
        result.get(timeout=PATIENCE)
    one_after_another(at, "once-")


@feature(MANY, "so many at a time of each key (`concurrency_key=`)")
def concurrency_key(at: Stage) -> None:
    sent = [at.send("nap_one_a_key", f"{key}-keyed", 0.15, concurrency_key=key) for key in ("a", "b") * 2]
    for result in sent:
        result.get(timeout=PATIENCE)
    one_after_another(at, "a-keyed", "b-keyed")
    if not at.solo:
        starts, ends = at.moments("start", "b-keyed"), at.moments("end", "a-keyed")
        assert starts[0] < ends[-1], "keys do not wait for each other"


@feature(MANY, "unique tasks (`unique=`)")
def unique(at: Stage) -> None:
    _ = at.worker
    once = at.project.app.task(name="pools_app.nap" if at.pool != "asyncio" else "pools_app.anap", unique="{key}")(
        lambda key, seconds=0.0: None
    )
    first = once.delay("unique", 0.5)
    assert once.delay("unique", 0.5).id == first.id
    assert first.get(timeout=PATIENCE) == "unique"
    wait_until(lambda: once.delay("unique", 0.0).id != first.id, PATIENCE)
    at.begun("unique", times=2)


@feature(MANY, "`--prefetch-multiplier`: no more slow tasks are held than so many a slot", worker="roomy")
def prefetch_multiplier(at: Stage) -> None:
    holds_no_more_than(at, "held", at.slots)


@feature(MANY, "`--disable-prefetch`: a task is taken only for a free slot", worker="strict")
def disable_prefetch(at: Stage) -> None:
    holds_no_more_than(at, "lean", at.slots)


def holds_no_more_than(at: Stage, prefix: str, most: int) -> None:
    """With more sent than there are slots, the worker holds no more than `most` while they run; the rest waits."""
    at.send("nap", f"{prefix}-first", 0.05).get(timeout=PATIENCE)
    sent = [at.send("nap", f"{prefix}-{number}", 0.4) for number in range(3 * at.slots)]

    def holds() -> bool:
        size = at.project.size()
        return size.ready > 0 and at.slots <= size.held <= most

    wait_until(holds, PATIENCE)
    for result in sent:
        result.get(timeout=PATIENCE)


@feature(CHILDREN, "a child that is killed is replaced, and what it ran runs again", worker="roomy")
def killed_child(at: Stage) -> None:
    worker, result = at.worker, at.send("nap", "killed", 1.0)
    at.begun("killed")
    (pid,) = {int(pid) for word, key, pid, _ in at.project.lines() if (word, key) == ("start", "killed")}
    os.kill(pid, 9)
    if at.solo:  # that was the worker; another one takes its work over when its lease is over
        worker.process.wait(PATIENCE)
        assert at.worker is not worker
    assert result.get(timeout=PATIENCE) == "killed"
    assert at.starts("killed") == 2
