"""Tasks that run too long in every way, and tell a ledger what became of them."""

from __future__ import annotations

import asyncio
import os
import re
import time

from skirret import Skirret
from skirret.errors import SoftTimeLimitExceeded

app = Skirret("overtime")
LEAK: list[bytearray] = []
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
    pass


@app.task
def where():
    return os.getpid()


@app.task
def sleep(key, seconds=60.0):
    """One call that blocks, with the interpreter's lock free."""
    note("start", key)
    time.sleep(seconds)
    note("end", key)
    return key


@app.task
async def asleep(key, seconds=60.0):
    note("start", key)
    await asyncio.sleep(seconds)
    note("end", key)
    return key


@app.task
async def block(key, seconds=60.0):
    """A coroutine that blocks its loop."""
    note("start", key)
    time.sleep(seconds)  # noqa: ASYNC251  that is the point


@app.task
def hold(key):
    """One call that blocks with the interpreter's lock held, for minutes."""
    note("start", key)
    re.match(r"(a+)+$", "a" * 40 + "b")


@app.task
def cleans_up(key):
    note("start", key)
    try:
        for _ in range(6000):
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        note("cleaned", key)
        return "in time"


@app.task
async def acleans_up(key):
    note("start", key)
    try:
        await asyncio.gather(asyncio.sleep(60), asyncio.create_task(asyncio.sleep(60)))
    except SoftTimeLimitExceeded:
        note("cleaned", key)
        await asyncio.sleep(0.01)
        return "in time"


@app.task
def goes_on(key):
    """Catches the soft limit and does not care."""
    note("start", key)
    while True:
        try:
            time.sleep(0.01)
        except SoftTimeLimitExceeded:
            note("warned", key)


@app.task
def own(key):
    """Limited by its own options."""
    note("start", key)
    time.sleep(60)


own.time_limit = 0.5


@app.task
def told(request, exc, traceback):
    note("told", f"{request.id}:{type(exc).__name__}")


class Watched(app.Task):
    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("on_failure", f"{args[0]}:{type(exc).__name__}")

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note("after_return", f"{args[0]}:{status}")


@app.task(base=Watched)
def watched(key):
    note("start", key)
    time.sleep(60)


@app.task
def grow(mib, seconds=0.0):
    """Leaks, as code of others does."""
    note("start", mib)
    LEAK.append(bytearray(mib * 1024 * 1024))
    time.sleep(seconds)
    return os.getpid()


@app.task
def leaves(key):
    """Leaves when it is told to."""
    note("start", key)
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded as exc:
        note("told", type(exc).__name__)
        raise


@app.task
def finishes(key):
    """Is told to leave, and hurries instead."""
    note("start", key)
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return key


@app.task(acks_late=False)
def early(key, seconds=60.0):
    note("start", key)
    time.sleep(seconds)
    return key
