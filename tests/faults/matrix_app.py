"""Tasks of the fault matrix. Each start and end is appended to a ledger that no broker knows of."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from skirret import Skirret

app = Skirret("matrix")
LEDGER = os.environ.get("LEDGER", "ledger.txt")


def note(word: str, key: object) -> str:
    """One line, in one write; returns process and moment, which no other line has."""
    moment = f"{time.monotonic():.6f}"
    line = f"{word} {key} {os.getpid()} {moment}\n".encode()
    fd = os.open(LEDGER, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)
    return f"{os.getpid()}-{moment}"


def is_first(key: str) -> bool:
    """Whether nobody asked for this key before."""
    try:
        os.close(os.open(f"{LEDGER}.{key}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


@app.task
def empty():
    return None


@app.task
def work(key, seconds):
    """Take so many seconds; those below a millisecond are spent computing. Its result names this very run."""
    token = note("start", key)
    if seconds >= 0.001:
        time.sleep(seconds)
    else:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
    note("end", key)
    return token


@app.task
def after(token, key):
    """What follows a run of `work`."""
    note("start", f"{key}+")
    note("follows", f"{key}/{token}")
    note("end", f"{key}+")


@app.task
def hold_the_gil(key, seconds):
    token = note("start", key)
    ctypes.PyDLL(None).sleep(int(seconds))  # PyDLL calls without letting go of the GIL
    note("end", key)
    return token


@app.task
def hog(key, megabytes, *, once):
    """Want more memory than there is; only the first time if `once`."""
    token = note("start", key)
    if not once or is_first(key):
        held = bytearray(megabytes << 20)
        for at in range(0, len(held), 4096):
            held[at] = 1
        time.sleep(5)
    note("end", key)
    return token


@app.task
def poison(key, kind):
    """End this process, or more than that."""
    note("start", key)
    if kind == "segv":
        ctypes.string_at(0)
    elif kind == "exit 0":
        os._exit(0)
    elif kind == "overflow":
        # In C, where nothing counts the levels: Python 3.12 and newer count their own, and stop in time.
        ctypes.CDLL(None).regcomp(ctypes.create_string_buffer(1024), b"(" * 10**6, 1)
    elif kind == "close everything":
        os.closerange(0, 4096)
    elif kind == "kill the parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(10)
    elif kind == "kill everybody":
        os.kill(-1, signal.SIGKILL)
        time.sleep(10)
    elif kind == "sys.exit":
        sys.exit(0)
    note("end", key)


@app.task
def breed(key, seconds):
    """Leave processes behind in every way: a child, a grandchild, a daemon of its own session; then hang."""
    note("start", key)
    for how in ("child", "grandchild", "daemon"):
        if os.fork() == 0:
            if how == "grandchild" and os.fork():
                time.sleep(seconds)
            if how == "daemon":
                os.setsid()
                if os.fork():
                    os._exit(0)
            note("bred", f"{key}-{how}")
            time.sleep(seconds)
            os._exit(0)
    time.sleep(seconds)


@app.task
def fork_bomb(key):
    """Fork until nothing more can be forked, each fork forking on."""
    note("start", key)
    Path(f"{LEDGER}.bomb").touch()
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        try:
            os.fork()
        except OSError:
            time.sleep(1.0)  # each try is dear, also one that fails, and would starve all other processes
    os._exit(0)
