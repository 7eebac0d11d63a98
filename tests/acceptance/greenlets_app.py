"""Tasks that tests run in greenlet pools."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
import time

from skirret import Skirret, signals
from skirret.results import allow_join_result
from tests.acceptance.faults_app import note

app = Skirret("greenlets")
SHARED_HUB_WORD = []


def heard(name):
    """A receiver that notes a signal once."""

    def receiver(**_):
        note("signal", name)

    return receiver


for moment in ("started", "preshutdown", "postshutdown", "apply"):
    getattr(signals, f"eventlet_pool_{moment}").connect(heard(moment), weak=False)


@app.task
def add(x, y):
    return x + y


@app.task
def nap(key, seconds):
    note("start", key)
    time.sleep(seconds)
    note("end", key)
    return key


@app.task
async def doze(seconds):
    await asyncio.sleep(seconds)
    return seconds


@app.task
def own_loop(seconds):
    """A loop of the task's own, which must know that it runs after each wait, whatever the neighbours do."""

    async def steps():
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            assert asyncio.get_running_loop() is loop

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(steps())
    finally:
        loop.close()


@app.task
def fail(text):
    raise LookupError(text)


@app.task
async def afail():
    raise StopIteration("a future cannot carry this")


@app.task
def fan_out(n):
    """Publish and wait inside a task."""
    with allow_join_result():
        return sum(result.get(timeout=20) for result in [add.delay(i, i) for i in range(n)])


@app.task
async def afan_out(n):
    """The same in a coroutine."""
    with allow_join_result():
        results = await asyncio.gather(*(add.adelay(i, i) for i in range(n)))
        return sum(await asyncio.gather(*(result.aget(timeout=20) for result in results)))


@app.task
def outside_program():
    """What a program says that takes a while."""
    return subprocess.run(["sh", "-c", "sleep 0.5; echo done"], check=True, capture_output=True, text=True).stdout


@app.task
def block_the_hub(seconds):
    """A call in C that lets go of the interpreter's lock, and of nothing else."""
    libc = ctypes.CDLL(None)
    libc.usleep(int(seconds * 1_000_000))
    return "done"


@app.task(bind=True)
def whose(self):
    """The request of this very greenlet, before and after others ran."""
    before = self.request.id
    time.sleep(0.05)
    return [before, self.request.id]


@app.task
def patched():
    """The library that replaced the sleep of this process; where the task runs."""
    return [time.sleep.__module__.partition(".")[0], os.getpid(), threading.active_count() > 0]
