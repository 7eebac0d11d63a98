"""An app whose tasks tell when they begin and end, for tests of remote control."""

from __future__ import annotations

import asyncio
import os
import time

from skirret import Skirret

app = Skirret("control_app")


def note(*words: object) -> None:
    """Write one line into the ledger."""
    line = " ".join(str(word) for word in words) + "\n"
    descriptor = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@app.task(name="control_app.mark")
def mark(name):
    note("mark", name)
    return name


@app.task(name="control_app.nap")
def nap(name, seconds):
    note("begin", name)
    time.sleep(seconds)
    note("end", name)
    return name


@app.task(name="control_app.anap")
async def anap(name, seconds):
    note("begin", name)
    await asyncio.sleep(seconds)
    note("end", name)
    return name


@app.task(name="control_app.limited", rate_limit="100/s")
def limited():
    return os.getpid()
