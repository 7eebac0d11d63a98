"""What can be asked of a worker, what it tells by itself, and what tasks tell of themselves."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import run
from tests.pools.catalogue import feature
from tests.pools.stage import NODE, PATIENCE, Stage

INSPECT = "Asking a worker"
TOLD = "Events, signals and hooks"
INSIDE = "Inside a task"
HEALTH = "Health and logs"


@feature(INSPECT, "`ping`, `status`, also while every slot is busy")
def ping(at: Stage) -> None:
    with every_slot_busy(at):
        assert at.tell("ping") == {"ok": "pong"}
        status, said = run("skirret -A pools_app status --timeout 20", at.project.directory, at.project.env)
        assert (status, NODE in said) == (0, True), said
    result = at.send("block_in_c", "asked-while-blocked", 0.8)
    at.begun("asked-while-blocked")
    assert at.tell("ping") == {"ok": "pong"}
    assert not result.ready()
    result.get(timeout=PATIENCE)


@contextlib.contextmanager
def every_slot_busy(at: Stage) -> Iterator[None]:
    """All slots run something meanwhile."""
    sent = [at.send("waits", f"busy-{number}", "enough") for number in range(at.slots)]
    at.begun(*(f"busy-{number}" for number in range(at.slots)))
    try:
        yield
        assert not any(result.ready() for result in sent)
    finally:
        with at.project.ledger.open("a") as ledger:
            ledger.write("enough now 0 0\n")
    for result in sent:
        result.get(timeout=PATIENCE)


@feature(INSPECT, "`active`, `query_task`")
def active(at: Stage) -> None:
    result = at.send("nap", "active", 0.8)
    at.begun("active")
    (told,) = at.tell("active")
    assert (told["id"], told["name"], told["args"]) == (result.id, at.named("nap"), ["active", 0.8])
    assert told["worker_pid"] in at.children()
    assert at.tell("query_task", ids=[result.id])[result.id][0] == "active"
    result.get(timeout=PATIENCE)
    wait_until(lambda: at.tell("active") == [])


@feature(INSPECT, "`reserved`, `scheduled`")
def reserved(at: Stage) -> None:
    assert at.tell("reserved") == []
    later = at.send("nap", "later", countdown=60.0)
    wait_until(lambda: [one["request"]["id"] for one in at.tell("scheduled")] == [later.id])
    at.project.app.broker.purge("celery")
    later.revoke()


@feature(INSPECT, "`stats`, `registered`, `conf`, `report`, `clock`, `revoked`")
def stats(at: Stage) -> None:
    at.send("where").get(timeout=PATIENCE)
    told = at.tell("stats")
    assert told["total"]["pools_app.where"] >= 1
    assert told["pool"]["max-concurrency"] == at.slots
    assert (told["pid"] in told["pool"]["processes"]) is at.solo
    assert f"{at.named('nap_rated')} [rate_limit=10/s]" in at.tell("registered")
    assert "broker_url" in at.tell("conf", with_defaults=True)
    assert "skirret" in at.tell("report")["ok"]
    assert at.tell("clock")["clock"] > 0
    assert "revoked-for-good" not in at.tell("revoked")
    at.tell("revoke", task_id="revoked-for-good")
    assert "revoked-for-good" in at.tell("revoked")


@feature(INSPECT, "`memsample`, `memdump`, `objgraph`")
def memory(at: Stage) -> None:
    sample = at.tell("memsample")
    assert f"- {sample}" in at.tell("memdump")
    assert at.tell("objgraph", num=5)["most"]


def stack_of(at: Stage, name: str, key: str, words: str) -> str:
    """Where the task is told to be, whose innermost frames hold `words`; the name of the place."""
    result = at.send(name, key, 1.5)
    neighbour = None if at.solo else at.send("nap", f"{key}-beside", 1.5)
    at.begun(key, *([] if at.solo else [f"{key}-beside"]))
    time.sleep(0.05)  # it has noted its start, and goes on to sleep
    told = {entry["id"]: entry for entry in at.tell("stack")}
    assert set(told) == {one.id for one in (result, neighbour) if one is not None}
    entry = told[result.id]
    assert words in "\n".join(entry["stack"]), entry
    assert all(one["stack"] for one in told.values()), "each of those that run has its own"
    result.get(timeout=PATIENCE)
    return str(entry["place"])


@feature(INSPECT, "`stack`: what each running function does now")
def stack(at: Stage) -> None:
    place = stack_of(at, "snooze", "stack", "time.sleep(seconds)")
    assert (place == "greenlet") is (at.pool in {"gevent", "eventlet"})


@feature(INSPECT, "`stack`: what each running coroutine does now")
def stack_of_a_coroutine(at: Stage) -> None:
    place = stack_of(at, "anap", "stack-of-coroutine", "await asyncio.sleep(seconds)")
    if at.pool == "asyncio":
        assert place == "coroutine"


@feature(INSPECT, "commands of the app's own")
def own_commands(at: Stage) -> None:
    assert at.tell("double", n=4) == {"ok": 8}
    assert at.tell("whereabouts") == {"ok": NODE}


@contextlib.contextmanager
def monitor(at: Stage) -> Iterator[list[dict[str, Any]]]:
    """The events that the worker sends meanwhile."""
    events: list[dict[str, Any]] = []
    _ = at.worker
    receiver = at.project.app.events.Receiver(handlers={"*": events.append})
    thread = threading.Thread(target=receiver.capture)
    thread.start()
    try:
        wait_until(lambda: any(event["type"] == "worker-heartbeat" for event in events), PATIENCE)
        yield events
    finally:
        receiver.should_stop = True
        thread.join(PATIENCE)


def kinds(events: list[dict[str, Any]], result: Any) -> list[str]:
    """The types of a task's events from its worker."""
    mine = [one for one in list(events) if one.get("uuid") == result.id and one["hostname"] == NODE]
    return [one["type"] for one in mine]


@feature(TOLD, "events of tasks and of the worker (`-E`)")
def events(at: Stage) -> None:
    with monitor(at) as heard:
        fine, bad = at.send("sends_an_event", "x"), at.send("fail", "bad")
        wait_until(lambda: "task-succeeded" in kinds(heard, fine) and "task-failed" in kinds(heard, bad), PATIENCE)
        assert sorted(kinds(heard, fine)) == ["task-compressing", "task-received", "task-started", "task-succeeded"]
        assert kinds(heard, bad) == ["task-received", "task-started", "task-failed"]


@feature(TOLD, "`control heartbeat`: an event of a worker that sends none by itself", worker="strict")
def heartbeat_by_command(at: Stage) -> None:
    _ = at.worker
    beats: list[dict[str, Any]] = []
    receiver = at.project.app.events.Receiver(handlers={"worker-heartbeat": beats.append})
    thread = threading.Thread(target=receiver.capture)
    thread.start()
    try:
        assert beats == []

        def beaten() -> bool:  # the receiver may not listen yet
            at.control.broadcast("heartbeat")
            return bool(beats)

        wait_until(beaten, PATIENCE)
        assert {beat["hostname"] for beat in beats} == {NODE}
    finally:
        receiver.should_stop = True
        thread.join(PATIENCE)


@feature(TOLD, "`control enable_events`, `disable_events`")
def events_by_command(at: Stage) -> None:
    with monitor(at) as heard:
        assert at.tell("disable_events") == {"ok": "task events disabled"}
        silent = at.send("where")
        silent.get(timeout=PATIENCE)
        assert at.tell("enable_events") == {"ok": "task events enabled"}
        told = at.send("where")
        wait_until(lambda: "task-succeeded" in kinds(heard, told), PATIENCE)
        assert kinds(heard, silent) == []


@feature(TOLD, "signals of a task's run")
def signals_of_tasks(at: Stage) -> None:
    before = at.project.count("task_success")["None"]
    fine, bad, again = at.send("where"), at.send("fail", "x"), at.send("retried", "again")
    fine.get(timeout=PATIENCE)
    assert again.get(timeout=PATIENCE) == "again"
    with pytest.raises(LookupError):
        bad.get(timeout=PATIENCE)
    has_noted(at, fine.id, "task_received", "task_prerun", "task_postrun")
    has_noted(at, bad.id, "task_failure")
    has_noted(at, again.id, "task_retry")
    wait_until(lambda: at.project.count("task_success")["None"] == before + 2, PATIENCE)


def has_noted(at: Stage, key: str, *words: str) -> None:
    """Each of these was noted once about `key`, or will be soon."""
    wait_until(lambda: all(at.project.count(word)[key] for word in words), PATIENCE)


@feature(TOLD, "signals of the worker and of its processes", worker="roomy")
def signals_of_the_worker(at: Stage) -> None:
    def processes(word: str) -> set[str]:
        return {pid for said, _, pid, _ in at.project.lines() if said == word}

    at.close()  # whatever worker was there
    before = processes("worker_ready")
    _ = at.worker
    wait_until(lambda: processes("worker_ready") - before, PATIENCE)
    has_noted(at, "None", "worker_init", "worker_process_init")
    (fresh,) = processes("worker_ready") - before
    assert fresh not in processes("worker_shutdown")
    at.close()
    wait_until(lambda: fresh in processes("worker_shutdown"), PATIENCE)


@feature(TOLD, "middleware around a task's run")
def middleware(at: Stage) -> None:
    result = at.send("where")
    result.get(timeout=PATIENCE)
    has_noted(at, result.id, "before_run", "after_run")


@feature(INSIDE, "`update_state`")
def update_state(at: Stage) -> None:
    result = at.send("tells_a_state", "state")
    at.begun("state")
    assert (result.state, result.info) == ("COMPRESSING", {"ratio": 0.5})
    result.get(timeout=PATIENCE)


@feature(INSIDE, "`progress`")
def progress(at: Stage) -> None:
    result = at.send("progresses", "row")
    wait_until(lambda: result.state == "PROGRESS", PATIENCE)
    assert result.info == {"current": 1, "total": 4, "percent": 25.0, "row": "row"}
    result.get(timeout=PATIENCE)


@feature(INSIDE, "abortable tasks")
def abortable(at: Stage) -> None:
    from skirret.contrib.abortable import AbortableAsyncResult

    result = at.send("patient", "patient")
    at.begun("patient")
    AbortableAsyncResult(result.id, app=at.project.app).abort()
    wait_until(lambda: result.state == "SUCCESS", PATIENCE)
    assert result.result == "aborted"


@feature(INSIDE, "retries")
def retries(at: Stage) -> None:
    assert at.send("retried", "retried").get(timeout=PATIENCE) == "retried"
    assert at.starts("retried") == 2


@feature(INSIDE, "functions and coroutines")
def both_forms(at: Stage) -> None:
    send = at.project.app.send_task
    _ = at.worker
    assert send("pools_app.nap", ("function", 0.05)).get(timeout=PATIENCE) == "function"
    assert send("pools_app.anap", ("coroutine", 0.05)).get(timeout=PATIENCE) == "coroutine"


@feature(INSIDE, "lines logged carry the task's name and id, whichever logger wrote them")
def logged(at: Stage) -> None:
    result = at.send("speaks", "logged-one")
    result.get(timeout=PATIENCE)
    line_about(at, "logged-one was logged elsewhere", result.id)


@feature(INSIDE, "what is printed goes to the log (`worker_redirect_stdouts`)")
def redirected(at: Stage) -> None:
    result = at.send("speaks", "printed-one")
    result.get(timeout=PATIENCE)
    assert "WARNING" in line_about(at, "printed-one was printed", result.id)


def line_about(at: Stage, words: str, task_id: str) -> str:
    """The line of the log with `words`, which names the task."""
    at.worker.wait_until_it_says(words)
    line = next(line for line in at.worker.said().splitlines() if words in line)
    assert task_id in line, line
    return line


@feature(HEALTH, "`/livez`, `/readyz` and `/metrics` (`--health`), also while every slot is busy")
def endpoints(at: Stage) -> None:
    result = at.send("block_in_c", "busy", 0.5)
    at.begun("busy")
    for path in ("livez", "readyz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{at.port}/{path}", timeout=PATIENCE) as reply:
            assert reply.read() == b"ok\n"
    result.get(timeout=PATIENCE)

    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{at.port}/metrics", timeout=PATIENCE) as reply:
            return str(reply.read().decode())

    wait_until(lambda: 'skirret_tasks_total{state="SUCCESS",task="pools_app.block_in_c"}' in page(), PATIENCE)
    assert f"skirret_slots {at.slots}.0" in page()


@feature(HEALTH, "`skirret health`")
def health(at: Stage) -> None:
    _ = at.worker
    status, said = run(f"skirret health -n {NODE} --ready --json", at.project.directory, at.project.env)
    assert status == 0, said
    (told,) = json.loads(said)
    assert (told["node"], told["slots"]) == (NODE, at.slots)


@feature(HEALTH, "a task that blocks the loop or hub is named in the log, or blocks nobody")
def blocking(at: Stage) -> None:
    send = at.project.app.send_task
    name = "pools_app.ablock" if at.pool == "asyncio" else "pools_app.block_in_c"
    _ = at.worker
    result = send(name, ("blocks", 2.0))
    at.begun("blocks")
    if at.pool in {"asyncio", "gevent", "eventlet"}:
        at.worker.wait_until_it_says(f"Task {name}[{result.id}] has blocked the ")
    elif not at.solo:
        assert send("pools_app.nap", ("not-blocked",)).get(timeout=PATIENCE) == "not-blocked"
        assert not result.ready()
    result.get(timeout=PATIENCE)
