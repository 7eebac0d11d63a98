"""Revoking and terminating, the size of the pool, new code, and the queues."""

from __future__ import annotations

import time
from typing import Any

import pytest

from skirret.errors import SoftTimeLimitExceeded, TaskRevokedError
from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import run
from tests.pools.catalogue import feature
from tests.pools.stage import NODE, PATIENCE, Stage

REVOKE = "Revoke and terminate"
SIZE = "Size and code of the pool"
QUEUES = "Queues"
SOLO = ("solo",)


def is_revoked(at: Stage, result: Any, key: str, words: str = "revoked") -> None:
    """The caller is told so, and the task did not finish."""
    with pytest.raises(TaskRevokedError, match=words):
        result.get(timeout=PATIENCE)
    assert at.project.count("end")[key] == 0


def refused(reply: Any) -> str:
    """The error that a worker replies with."""
    return str(reply["error"])


@feature(REVOKE, "by id: a task that waits for its time never starts")
def revoke(at: Stage) -> None:
    result = at.send("nap", "revoked", countdown=0.7)
    assert at.tell("revoke", task_id=result.id) == {"ok": f"tasks {{'{result.id}'}} flagged as revoked"}
    is_revoked(at, result, "revoked")
    assert at.starts("revoked") == 0


@feature(REVOKE, "by ids: tasks that wait behind others in the worker never start")
def revoke_several(at: Stage) -> None:
    before = [at.send("nap", f"before-{number}", 0.8) for number in range(at.slots)]
    at.begun(*(f"before-{number}" for number in range(at.slots)))
    behind = [at.send("nap", f"behind-{number}") for number in range(2)]
    at.tell("revoke", task_id=[result.id for result in behind])
    for result in before:
        result.get(timeout=PATIENCE)
    for number, result in enumerate(behind):
        is_revoked(at, result, f"behind-{number}")
        assert at.starts(f"behind-{number}") == 0


@feature(REVOKE, "by stamped headers")
def revoke_by_stamped_headers(at: Stage) -> None:
    result = at.send("nap", "stamped", countdown=0.7, stamped_headers=["batch"], batch="b")
    kept = at.send("nap", "kept", countdown=0.7, stamped_headers=["batch"], batch="a")
    at.tell("revoke_by_stamped_headers", headers={"batch": ["b"]})
    is_revoked(at, result, "stamped")
    assert kept.get(timeout=PATIENCE) == "kept"


@feature(REVOKE, "a running task finishes, unless it is terminated")
def revoke_a_running_task(at: Stage) -> None:
    result = at.send("nap", "finishes", 0.5)
    at.begun("finishes")
    at.tell("revoke", task_id=result.id)
    assert result.get(timeout=PATIENCE) == "finishes"


def ends_one_of_many(at: Stage, key: str, terminate: Any, **options: Any) -> str | None:
    """One task is ended at once, and those beside it finish undisturbed."""
    if at.solo:
        result = at.send("nap", key, 0.5, **options)
        at.begun(key)
        words = refused(terminate(result))
        assert result.get(timeout=PATIENCE) == key, "it ran on"
        return words
    neighbours = [at.send("nap", f"{key}-beside-{number}", 1.2) for number in range(at.slots - 1)]
    result = at.send("nap", key, 60.0, **options)
    at.begun(key, *(f"{key}-beside-{number}" for number in range(at.slots - 1)))
    terminate(result)
    told = time.monotonic()
    is_revoked(at, result, key, "terminated")
    assert time.monotonic() - told < 0.5 + 3.0, "three seconds of grace for a busy machine"
    for number, one in enumerate(neighbours):
        assert one.get(timeout=PATIENCE) == f"{key}-beside-{number}"
        assert at.starts(f"{key}-beside-{number}") == 1, "it was not disturbed"
    assert at.send("nap", f"{key}-after").get(timeout=PATIENCE) == f"{key}-after"
    assert (at.starts(key), at.project.count("end")[key]) == (1, 0)
    return None


@feature(REVOKE, "`revoke(terminate=True)`: one of many is ended, neighbours finish", refusing=SOLO)
def terminate(at: Stage) -> str | None:
    def end(result: Any) -> Any:
        return at.tell("revoke", task_id=result.id, terminate=True)

    return ends_one_of_many(at, "terminated", end)


@feature(REVOKE, "`control terminate SIGKILL`", refusing=SOLO)
def terminate_by_kill(at: Stage) -> str | None:
    def end(result: Any) -> Any:
        return at.tell("terminate", task_id=result.id, signal="SIGKILL")

    return ends_one_of_many(at, "killed-by-name", end)


@feature(REVOKE, "terminate by stamped headers", refusing=SOLO)
def terminate_by_stamps(at: Stage) -> str | None:
    def end(_: Any) -> Any:
        return at.tell("revoke_by_stamped_headers", headers={"lot": "7"}, terminate=True)

    return ends_one_of_many(at, "ended-by-stamp", end, stamped_headers=["lot"], lot="7")


@feature(REVOKE, "terminate by `SIGUSR1`: the soft limit's exception")
def terminate_softly(at: Stage) -> None:
    result = at.send("nap", "usr1", 30.0)
    at.begun("usr1")
    at.tell("revoke", task_id=result.id, terminate=True, signal="SIGUSR1")
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=PATIENCE)


@feature(SIZE, "`control pool_grow`", refusing=SOLO)
def pool_grow(at: Stage) -> str | None:
    reply = at.tell("pool_grow", n=1)
    if at.solo:
        return refused(reply)
    assert reply == {"ok": "pool will grow"}
    run_at_once(at, "grown", at.slots + 1)
    at.tell("pool_shrink", n=1)
    return None


@feature(SIZE, "`control pool_shrink`: running tasks finish", refusing=SOLO)
def pool_shrink(at: Stage) -> str | None:
    if at.solo:
        return refused(at.tell("pool_shrink", n=1))
    running = [at.send("nap", f"shrunk-{number}", 0.6) for number in range(at.slots)]
    at.begun(*(f"shrunk-{number}" for number in range(at.slots)))
    at.tell("pool_grow", n=1)
    assert at.tell("pool_shrink", n=2) == {"ok": "pool will shrink"}
    for result in running:
        result.get(timeout=PATIENCE)
    assert [at.starts(f"shrunk-{number}") for number in range(at.slots)] == [1] * at.slots
    at.tell("pool_grow", n=1)
    run_at_once(at, "regrown", at.slots)
    return None


def run_at_once(at: Stage, prefix: str, number: int) -> None:
    """So many tasks run at a time."""
    sent = [at.send("nap", f"{prefix}-{each}", 1.0) for each in range(number)]
    for result in sent:
        result.get(timeout=PATIENCE)
    assert max(at.moments("start", f"{prefix}-")) < min(at.moments("end", f"{prefix}-"))


def slots(at: Stage) -> int:
    """How many slots the pool has."""
    stats = at.look.stats()
    assert stats is not None
    return int(stats[NODE]["pool"]["max-concurrency"])


def scales(at: Stage, prefix: str, most: int, fewest: int) -> None:
    """The pool grows to `most` while it is full and shrinks to `fewest` when it is not."""
    wait_until(lambda: slots(at) == fewest, PATIENCE)
    sent = [at.send("nap", f"{prefix}-{number}", 1.5) for number in range(most)]
    wait_until(lambda: slots(at) == most, PATIENCE)
    for result in sent:
        result.get(timeout=PATIENCE)
    wait_until(lambda: slots(at) == fewest, PATIENCE)


@feature(SIZE, "`control autoscale`", refusing=SOLO, worker="roomy")
def autoscale_by_command(at: Stage) -> str | None:
    reply = at.tell("autoscale", max=4, min=1)
    if at.solo:
        return refused(reply)
    assert reply == {"ok": "autoscale now max=4 min=1"}
    scales(at, "scaled", 4, 1)
    return None


@feature(SIZE, "`--autoscale`", refusing=SOLO, worker="roomy")
def autoscale(at: Stage) -> str | None:
    if at.solo:
        return refused_to_start(at, "--autoscale 4,2")
    with at.another("--autoscale 4,2"):
        assert at.tell("stats")["autoscaler"] == {"max": 4, "min": 2, "current": 2, "qty": 0}
        scales(at, "scaled-by-option", 4, 2)
    return None


def refused_to_start(at: Stage, options: str) -> str:
    """What a worker says that does not start with these options."""
    at.close()
    command = f"skirret -A pools_app worker {at.options(options)}"
    status, said = run(command, at.project.directory, at.project.env)
    assert (status, "Traceback" in said) == (78, False), said
    return next(line for line in said.splitlines() if "solo" in line).removeprefix("Error: ")


def new_code(at: Stage, version: int) -> None:
    """Change the file that the app is in."""
    path = at.project.directory / "pools_app.py"
    lines = [f"VERSION = {version}" if line.startswith("VERSION =") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


@feature(SIZE, "`control pool_restart`: new code, running tasks finish")
def pool_restart(at: Stage) -> None:
    running = at.send("nap", "restarted", 0.8)
    at.begun("restarted")
    new_code(at, 2)
    assert at.tell("pool_restart") == {"ok": "reload started"}
    wait_until(lambda: at.send("where").get(timeout=PATIENCE)[1] == 2, PATIENCE)
    assert running.get(timeout=PATIENCE) == "restarted"
    assert at.starts("restarted") == 1


@feature(SIZE, "`--reload`", worker="roomy")
def reload(at: Stage) -> None:
    with at.another("--reload") as worker:
        worker.wait_until_it_says("Watching")
        new_code(at, 3)
        worker.wait_until_it_says("pools_app.py changed", PATIENCE)
        wait_until(lambda: at.send("where").get(timeout=PATIENCE)[1] == 3, PATIENCE)


@feature(QUEUES, "`control add_consumer`, `cancel_consumer`, `inspect active_queues`")
def consumers(at: Stage) -> None:
    result = at.send("nap", "elsewhere", queue="elsewhere")
    assert at.tell("add_consumer", queue="elsewhere") == {"ok": "add consumer elsewhere"}
    assert result.get(timeout=PATIENCE) == "elsewhere"
    assert {queue["name"] for queue in at.tell("active_queues")} == {"celery", "elsewhere"}
    assert at.tell("cancel_consumer", queue="elsewhere") == {"ok": "no longer consuming from elsewhere"}
    wait_until(lambda: {queue["name"] for queue in at.tell("active_queues")} == {"celery"})
    left = at.send("nap", "left", queue="elsewhere")
    assert at.send("nap", "meanwhile").get(timeout=PATIENCE) == "meanwhile"
    assert left.state == "PENDING"
    at.project.app.broker.purge("elsewhere")


@feature(QUEUES, "pause and resume across the fleet")
def pause(at: Stage) -> None:
    _ = at.worker
    at.project.app.pause_queue("celery")
    at.worker.wait_until_it_says("Queue 'celery' is paused", PATIENCE)
    result = at.send("nap", "paused")
    time.sleep(0.3)
    assert at.starts("paused") == 0
    at.project.app.resume_queue("celery")
    assert result.get(timeout=PATIENCE) == "paused"
