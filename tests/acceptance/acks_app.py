"""Tasks that end badly in every way, under each combination of the options that say what becomes of them then."""

from __future__ import annotations

import os
import signal
import time

from skirret import Skirret
from tools.pages import POLICIES

app = Skirret("acks")
LEDGER = os.environ.get("LEDGER", "ledger.txt")


def note(word: str, key: object) -> None:
    """One line, in one write."""
    line = f"{word} {key} {os.getpid()} {time.monotonic():.6f}\n".encode()
    fd = os.open(LEDGER, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def raises(key):
    note("start", key)
    raise ValueError("as it is told")


def sleeps(key):
    note("start", key)
    time.sleep(60)


def dies(key):
    note("start", key)
    os.kill(os.getpid(), signal.SIGKILL)


for number, traits in enumerate(POLICIES.values()):
    options = {
        "acks_late": traits.acks_late,
        "acks_on_failure": traits.acks_on_failure,
        "acks_on_timeout": traits.acks_on_timeout,
        "reject_on_worker_lost": traits.reject_on_worker_lost,
        "retry_on_worker_lost": traits.retry_on_worker_lost,
        "max_retries": 1,
        "default_retry_delay": 0.1,
    }
    for function in (raises, sleeps, dies):
        app.task(function, name=f"acks_app.{function.__name__}{number}", **options)


@app.task
def empty():
    pass
