"""Acknowledgement, and how a worker ends."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from skirret.errors import WorkerLostError
from tests.acceptance.faulty import wait_until
from tests.pools.catalogue import feature
from tests.pools.stage import PATIENCE, Stage

ACKS = "Acknowledgement"
ENDS = "How a worker ends"


def send_to_its_death(at: Stage, name: str) -> Any:
    """A task that kills its process; under solo that is the worker, and another one is started."""
    worker, result = at.worker, at.send(name, name)
    at.begun(name)
    if at.solo:
        worker.process.wait(PATIENCE)
        assert at.worker is not worker
    return result


@feature(ACKS, "late (the default): the message is there until the task is done")
def acks_late(at: Stage) -> None:
    result = at.send("nap", "late", 0.5)
    at.begun("late")
    assert at.project.size().held == 1
    assert result.get(timeout=PATIENCE) == "late"
    wait_until(lambda: at.project.size().held == 0)


@feature(ACKS, "early (`acks_late=False`): it is gone when the task begins")
def acks_early(at: Stage) -> None:
    result = at.send("nap_early", "early", 0.6)
    at.begun("early")
    assert at.project.size().held == 0
    assert result.get(timeout=PATIENCE) == "early"


@feature(ACKS, "a task whose process dies runs again (`reject_on_worker_lost`, the default)", worker="roomy")
def runs_again(at: Stage) -> None:
    assert send_to_its_death(at, "dies").get(timeout=PATIENCE) == "dies"
    assert at.starts("dies") == 2


@feature(ACKS, "or has failed (`reject_on_worker_lost=False`)", worker="roomy", otherwise=("solo",))
def has_failed(at: Stage) -> str | None:
    if at.solo:
        return runs_again_whatever_it_says(at, "dies_for_good")
    with pytest.raises(WorkerLostError):
        send_to_its_death(at, "dies_for_good").get(timeout=PATIENCE)
    assert at.starts("dies_for_good") == 1
    return None


def runs_again_whatever_it_says(at: Stage, name: str) -> str:
    """Under solo the process that dies is the worker itself."""
    assert send_to_its_death(at, name).get(timeout=PATIENCE) == name
    assert at.starts(name) == 2
    return "the process that died was the worker itself, so another worker runs the task again"


@feature(
    ACKS, "or is retried as if it had asked for it (`retry_on_worker_lost=True`)", worker="roomy", otherwise=("solo",)
)
def is_retried(at: Stage) -> str | None:
    if at.solo:
        return runs_again_whatever_it_says(at, "dies_and_retries")
    assert send_to_its_death(at, "dies_and_retries").get(timeout=PATIENCE) == "dies_and_retries"
    assert at.starts("dies_and_retries") == 2
    return None


@feature(ACKS, "a failure that is to be looked at is a dead letter (`acks_on_failure=False`)")
def dead_letter(at: Stage) -> None:
    result = at.send("fails_for_the_dead_letters", "x")
    with pytest.raises(ValueError, match="x"):
        result.get(timeout=PATIENCE)
    wait_until(lambda: result.id in {letter.task_id for letter in at.project.app.broker.dead()})


@feature(ENDS, "warm (TERM): running tasks finish, the rest goes back at once", worker="roomy")
def warm(at: Stage) -> None:
    running, waiting = two(at, "warm", 0.8)
    at.worker.process.send_signal(signal.SIGTERM)
    assert at.worker_that_ends() == 0
    assert running.get(timeout=PATIENCE) == "warm"
    assert waiting.state == "PENDING"
    assert at.project.size().held == 0
    assert waiting.get(timeout=PATIENCE) if at.worker else None


@feature(ENDS, "warm with a grace (`--grace`): then it is interrupted, and runs again", worker="roomy")
def grace(at: Stage) -> None:
    interrupted(at, "grace", signal.SIGTERM, 1.5)


@feature(ENDS, "soft (QUIT with `worker_soft_shutdown_timeout`)", worker="roomy")
def soft(at: Stage) -> None:
    interrupted(at, "softly", signal.SIGQUIT, 1.0)
    assert "Soft shutdown" in at.last_words


@feature(ENDS, "cold (QUIT): what runs is interrupted, and runs again", worker="strict")
def cold(at: Stage) -> None:
    interrupted(at, "cold", signal.SIGQUIT, 0.0)


@feature(ENDS, "anew (HUP): the same command line once more, and no task is lost")
def anew(at: Stage) -> None:
    running = at.send("nap", "anew", 0.5)
    at.begun("anew")
    worker, before = at.worker, at.worker.said().count(" ready.")
    worker.process.send_signal(signal.SIGHUP)
    assert running.get(timeout=PATIENCE) == "anew"
    wait_until(lambda: worker.said().count(" ready.") > before, PATIENCE)
    assert at.send("nap", "anew-after").get(timeout=PATIENCE) == "anew-after"
    assert at.starts("anew") == 1
    wait_until(lambda: at.control.ping(timeout=2.0), PATIENCE)


@feature(ENDS, "`control shutdown`")
def shutdown(at: Stage) -> None:
    running = at.send("nap", "shutdown", 0.5)
    at.begun("shutdown")
    assert at.tell("shutdown") == {"ok": "shutting down"}
    assert at.worker_that_ends() == 0
    assert running.get(timeout=PATIENCE) == "shutdown"


def two(at: Stage, key: str, seconds: float) -> tuple[Any, Any]:
    """One task that runs, and one behind it that no slot is free for."""
    sent = [at.send("nap", key if number == 0 else f"{key}-{number}", seconds) for number in range(at.slots)]
    at.begun(key, *(f"{key}-{number}" for number in range(1, at.slots)))
    return sent[0], at.send("nap", f"{key}-waiting", 0.0)


def interrupted(at: Stage, key: str, number: int, after: float) -> None:
    """A stop interrupts what still runs after so many seconds: it has not failed, and another worker runs it."""
    result = at.send("nap_at_first", key, 30.0, soft_time_limit=100.0, time_limit=200.0)
    at.begun(key)
    at.worker.process.send_signal(number)
    began = time.monotonic()
    assert at.worker_that_ends() == 0
    assert after * 0.5 <= time.monotonic() - began < after + 3.0, "with three seconds of grace for a busy machine"
    assert result.state == "PENDING"
    assert (at.project.size().ready, at.project.size().held) == (1, 0)
    assert result.get(timeout=PATIENCE) == key if at.worker else None
    assert at.starts(key) == 2
