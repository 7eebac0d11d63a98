"""Tasks with limits, for real workers. Each start and end is appended to a ledger that no broker knows of."""

from __future__ import annotations

import os
import time

from skirret import Skirret

app = Skirret("limits")
LEDGER = os.environ.get("LEDGER", "ledger.txt")


def note(word: str, key: object) -> None:
    """One line, in one write."""
    line = f"{word} {key} {os.getpid()} {time.monotonic():.6f}\n".encode()
    fd = os.open(LEDGER, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


@app.task
def empty():
    return None


@app.task
def free(key):
    note("start", key)


@app.task(max_concurrency=2)
def two_at_a_time(key, seconds=0.05):
    note("start", key)
    time.sleep(seconds)
    note("end", key)


@app.task(max_concurrency=1, concurrency_key="customer-{customer}")
def one_a_customer(key, customer, seconds=0.05):
    note("start", key)
    time.sleep(seconds)
    note("end", key)


@app.task(rate_limit="20/s", rate_limit_scope="fleet")
def twenty_a_second(key):
    note("start", key)


@app.task(rate_limit="20/s")
def twenty_a_second_each(key):
    note("start", key)


@app.task(unique="{customer}")
def once(key, customer, seconds=0.0):
    note("start", key)
    time.sleep(seconds)
