"""Tasks that the table of pools is made with: plain ones, and, with an `a` before the name, the same as coroutines."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import time
from pathlib import Path

from skirret import Middleware, Skirret, signals
from skirret.contrib.abortable import AbortableTask
from skirret.errors import SoftTimeLimitExceeded
from skirret.logs import get_task_logger
from skirret.worker.control import control_command, inspect_command

VERSION = 1
BEGAN = time.monotonic()

app = Skirret("pools")
logger = get_task_logger(__name__)
LEDGER = os.environ.get("LEDGER", "ledger.txt")
LEAK: list[bytearray] = []


def note(word: str, key: object) -> None:
    """One line, in one write."""
    line = f"{word} {key} {os.getpid()} {time.monotonic():.6f}\n".encode()
    fd = os.open(LEDGER, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def marked(word: str, key: object) -> bool:
    """Whether the ledger has such a line."""
    ledger = Path(LEDGER)
    lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
    return any(line.split()[:2] == [word, str(key)] for line in lines)


def nap(key, seconds=0.0):
    """Sleep in short pieces, which an exception in a thread can come between."""
    note("start", key)
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.02)
    except SoftTimeLimitExceeded as exc:
        note(f"told-{type(exc).__name__}", key)
        raise
    note("end", key)
    return key


async def anap(key, seconds=0.0):
    note("start", key)
    try:
        await asyncio.sleep(seconds)
    except SoftTimeLimitExceeded as exc:
        note(f"told-{type(exc).__name__}", key)
        raise
    note("end", key)
    return key


def nap_at_first(key, seconds):
    """Sleep only the first time."""
    return nap(key, 0.0 if marked("start", key) else seconds)


async def anap_at_first(key, seconds):
    return await anap(key, 0.0 if marked("start", key) else seconds)


app.task(nap_at_first)
app.task(anap_at_first)

for name, options in {
    "nap": {},
    "nap_soft": {"soft_time_limit": 0.3},
    "nap_hard": {"time_limit": 0.5},
    "nap_limited": {},
    "nap_mute": {"stall_limit": 1.0},
    "nap_rated": {"rate_limit": "10/s"},
    "nap_slowed": {},
    "nap_rated_together": {"rate_limit": "10/s", "rate_limit_scope": "fleet"},
    "nap_one_at_once": {"max_concurrency": 1},
    "nap_one_a_key": {"max_concurrency": 1, "concurrency_key": "{key}"},
    "nap_early": {"acks_late": False},
}.items():
    app.task(nap, name=f"pools_app.{name}", **options)
    app.task(anap, name=f"pools_app.a{name}", **options)


def dies(key):
    """Kill the process that runs this, the first time."""
    first = not marked("start", key)
    note("start", key)
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return key


for name, options in {
    "dies": {},
    "dies_for_good": {"reject_on_worker_lost": False},
    "dies_early": {"acks_late": False},
    "dies_and_retries": {
        "reject_on_worker_lost": False, "retry_on_worker_lost": True, "max_retries": 1, "default_retry_delay": 0.1,
    },
}.items():  # fmt: skip
    app.task(dies, name=f"pools_app.{name}", **options)


@app.task(acks_on_failure=False)
def fails_for_the_dead_letters(key):
    raise ValueError(key)


@app.task
def fail(text):
    raise LookupError(text)


@app.task(bind=True, max_retries=1, default_retry_delay=0.05)
def retried(self, key):
    note("start", key)
    if not self.request.retries:
        raise self.retry()
    return key


@app.task
def where():
    """The process that runs tasks, which code it has, and when that was imported."""
    return [os.getpid(), VERSION, BEGAN]


@app.task
def grow(mib, seconds=0.0):
    """Leak, as code of others does."""
    note("start", f"grow-{mib}")
    LEAK.append(bytearray(mib * 1024 * 1024))
    time.sleep(seconds)
    return os.getpid()


@app.task
def snooze(key, seconds):
    """Sleep in one call."""
    note("start", key)
    time.sleep(seconds)


@app.task
async def ablock(key, seconds):
    """Hold the loop up."""
    note("start", key)
    time.sleep(seconds)  # noqa: ASYNC251  that is the point


@app.task
def block_in_c(key, seconds):
    """One call in C, which lets go of the interpreter's lock and of nothing else."""
    note("start", key)
    ctypes.CDLL(None).usleep(int(seconds * 1_000_000))


@app.task
def waits(key, word):
    """Run until the ledger has a line with that word."""
    note("start", key)
    while not marked(word, "now"):
        time.sleep(0.02)


@app.task
def shrugs(key):
    """Do not heed the soft limit."""
    while True:
        try:
            time.sleep(0.02)
        except SoftTimeLimitExceeded:
            note("shrugged", key)


@app.task(bind=True)
def tells_a_state(self, key):
    self.update_state(state="COMPRESSING", meta={"ratio": 0.5})
    note("start", key)
    time.sleep(0.6)


@app.task(bind=True)
def progresses(self, key):
    self.progress(1, 4, row=key)
    note("start", key)
    time.sleep(0.6)


@app.task(bind=True, stall_limit=1.0)
def lively(self, key):
    """Run longer than the stall limit, and say so."""
    for _ in range(16):
        self.heartbeat()
        time.sleep(0.1)
    return key


@app.task(bind=True, base=AbortableTask)
def patient(self, key):
    note("start", key)
    while not self.is_aborted():
        time.sleep(0.02)
    return "aborted"


@app.task
def speaks(key):
    print(f"{key} was printed")
    logger.warning("%s was logged", key)
    logging.getLogger("elsewhere").warning("%s was logged elsewhere", key)


@app.task(bind=True)
def sends_an_event(self, key):
    self.send_event("task-compressing", ratio=0.5)


class Hooks(Middleware):
    def before_run(self, task, request):
        note("before_run", request.id)

    def after_run(self, task, request, state, value):
        note("after_run", request.id)


app.middleware.add(Hooks)


def heard(moment: str):
    """Note a signal of a task, with its id, once it is sent."""

    def receiver(sender=None, task_id=None, request=None, **_):
        note(moment, task_id or getattr(request, "id", None))

    getattr(signals, moment).connect(receiver, weak=False)


for moment in ("task_prerun", "task_postrun", "task_received", "task_revoked", "task_retry", "task_failure",
               "task_success", "worker_init", "worker_ready", "worker_process_init", "worker_shutdown"):  # fmt: skip
    heard(moment)


@control_command(args=[("n", int)])
def double(state, n=1):
    """Double N."""
    return {"ok": 2 * n}


@inspect_command()
def whereabouts(state):
    """The node."""
    return {"ok": state.hostname}
