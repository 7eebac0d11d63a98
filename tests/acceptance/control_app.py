"""An app whose tasks tell when they begin and end, for tests of remote control."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import time

from skirret import Skirret, signals
from skirret.worker.control import control_command, inspect_command

app = Skirret("control_app")
counted = 0


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


@app.task(name="control_app.careful")
def careful(name, number, stubborn=False):
    """Sleep; a signal is noted, and ends the task unless it is stubborn."""

    def heard(signum, _frame):
        note("heard", name, signum)
        if not stubborn:
            time.sleep(0.3)
            note("cleaned", name)
            raise SystemExit

    signal.signal(number, heard)
    note("begin", name, os.getpid())
    while True:
        time.sleep(60.0)


tidied = []
"""Names of tasks that put the handlers of signals back as they were."""


@app.task(name="control_app.tidy")
def tidy(name):
    """Sleep; TERM ends the task, by a handler that is in place only while it runs."""

    def heard(_signum, _frame):
        raise SystemExit

    before = signal.signal(signal.SIGTERM, heard)
    try:
        note("begin", name, os.getpid())
        time.sleep(60.0)
    finally:
        signal.signal(signal.SIGTERM, before)
        tidied.append(name)


@signals.worker_process_shutdown.connect
def leave(**_more):
    """Take a while, in a process that a tidy task ran in."""
    for name in tidied:
        note("leaving", name)
        time.sleep(1.0)
        note("left", name)


@app.task(name="control_app.waits_for_a_program")
def waits_for_a_program(name):
    program = subprocess.Popen(["sleep", "1000"])
    note("begin", name, os.getpid(), program.pid)
    program.wait()


@app.task(name="control_app.computes")
def computes(name):
    note("begin", name, os.getpid())
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)  # minutes, without a look at signals


@app.task(name="control_app.anap")
async def anap(name, seconds):
    note("begin", name)
    await asyncio.sleep(seconds)
    note("end", name)
    return name


@app.task(name="control_app.limited", rate_limit="100/s")
def limited():
    return os.getpid()


@control_command(args=[("n", int)], signature="[N=1]")
def increase(state, n=1):
    """Count on by N; told with the node and the process that did it."""
    global counted
    counted += n
    return {"ok": f"{state.hostname} counts {counted}", "pid": os.getpid()}


@inspect_command(alias="dump_trouble")
def trouble(state):
    """Fail."""
    raise ValueError("no luck")


@inspect_command
def death(state):
    """End the process that carries the commands out."""
    os._exit(3)
