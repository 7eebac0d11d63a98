"""Tasks that fault tests run in real workers. Each start and end is appended to a ledger that no broker knows of."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from skirret import Skirret

app = Skirret("faults")
LEDGER = os.environ.get("LEDGER", "ledger.txt")


def note(word: str, key: object) -> str:
    """One line, in one write, to a file opened for appending: whole even if the process dies right after.

    Returns process and moment of the line, which no other line has.
    """
    moment = f"{time.monotonic():.6f}"
    line = f"{word} {key} {os.getpid()} {moment}\n".encode()
    fd = os.open(LEDGER, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)
    return f"{os.getpid()}-{moment}"


@app.task
def quick(key):
    note("start", key)


@app.task
def short(key, seconds=0.001):
    note("start", key)
    time.sleep(seconds)
    note("end", key)


@app.task
def spin(key, seconds=0.00005):
    note("start", key)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    note("end", key)


@app.task
def hold_the_gil(key, seconds=5):
    note("start", key)
    ctypes.PyDLL(None).sleep(seconds)  # PyDLL calls without letting go of the GIL
    note("end", key)


@app.task
def die(key):
    note("start", key)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def die_once(key):
    note("start", key)
    marker = Path(f"{LEDGER}.{key}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


@app.task(acks_late=False)
def once_only(key):
    note("start", key)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def parent():
    return os.getppid()


@app.task
def empty():
    return None


@app.task
def step(key, seconds=0.004):
    """Its result names this very run."""
    token = note("start", key)
    time.sleep(seconds)
    note("end", key)
    return token


@app.task
def follow(token, key):
    note("start", f"{key}+")
    note("follows", f"{key}/{token}")
    note("end", f"{key}+")


@app.task
def slow_once(key, seconds):
    """Its first run takes `seconds`, later ones take none."""
    token = note("start", key)
    marker = Path(f"{LEDGER}.{key}")
    if not marker.exists():
        marker.touch()
        time.sleep(seconds)
    note("end", key)
    return token
