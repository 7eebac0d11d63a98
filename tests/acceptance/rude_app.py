"""Tasks and imports that treat their process badly. RUDE says what the import of this module does."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from skirret import Skirret

app = Skirret("rude")
LEDGER = os.environ.get("LEDGER", "ledger.txt")
RUDE = os.environ.get("RUDE", "")


def note(word: str, key: object) -> None:
    """One line, in one write."""
    line = f"{word} {key} {os.getpid()} {time.monotonic():.6f}\n".encode()
    fd = os.open(LEDGER, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


if RUDE == "thread":
    threading.Thread(target=time.sleep, args=(3600,), name="pulse").start()
elif RUDE == "signals":
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
elif RUDE == "slow":
    note("importing", "app")
    time.sleep(float(os.environ.get("SLOW", "30")))
elif RUDE == "dies-later" and Path(f"{LEDGER}.once").exists():
    os.kill(os.getpid(), signal.SIGKILL)
elif RUDE == "breaks-later" and Path(f"{LEDGER}.once").exists():
    raise RuntimeError("the second import fails")
if RUDE.endswith("later"):
    Path(f"{LEDGER}.once").touch()


@app.task
def fine(key=None):
    note("start", key)
    return key


@app.task
def short(key, seconds=0.001):
    note("start", key)
    time.sleep(seconds)
    note("end", key)


@app.task
def me():
    return os.getpid()


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


@app.task
def close_everything():
    note("start", "close_everything")
    os.closerange(3, 4096)


@app.task
def leave_at_once():
    note("start", "leave_at_once")
    os._exit(0)


@app.task
def overflow():
    note("start", "overflow")
    # In C, where nothing counts the levels: Python 3.12 and newer count their own, and stop in time.
    ctypes.CDLL(None).regcomp(ctypes.create_string_buffer(1024), b"(" * 10**6, 1)


@app.task
def recurse():
    return recurse()


@app.task
def exit_politely():
    sys.exit(3)


@app.task
def leave_a_thread():
    threading.Thread(target=time.sleep, args=(3600,)).start()


@app.task
def go_elsewhere():
    os.chdir("/")
    return fine.delay("from elsewhere").id


@app.task
def shout(lines):
    for number in range(lines):
        print("x" * 100, number)
        print("y" * 100, number, file=sys.stderr)


@app.task
def forget_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGURG, signal.SIGCHLD, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


@app.task
def fork_and_return():
    """What a task that forgets os._exit in the forked process does."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "stranger"


def _sleep_long():
    time.sleep(60)


@app.task
def multiply(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        squares = pool.map(abs, [-1, -2, -3])
    stuck = context.Process(target=_sleep_long)
    stuck.start()
    stuck.terminate()
    stuck.join(5)
    return [squares, stuck.exitcode]


@app.task
def leave_a_process():
    """A process of the task's own, that outlives its parent and keeps what it inherited."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(5)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def signals_of_a_program():
    """Which signals a program ignores that a task starts."""
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    return next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))


@app.task
def echo(text):
    return text


@app.task
def length(text):
    return len(text)
