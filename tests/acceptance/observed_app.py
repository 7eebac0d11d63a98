"""Tasks that are busy, silent or deaf, and receivers that write down what they hear."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from skirret import Celery, signals
from skirret.contrib.abortable import AbortableTask

app = Celery("observed", broker=os.environ["OBSERVED_URL"], backend=os.environ["OBSERVED_URL"])
NOTES = Path(os.environ["NOTES"])


def note(what: str) -> None:
    """Write down what happened, and in which process."""
    with (NOTES / what).open("a") as file:
        file.write(f"{os.getpid()}\n")


def marked(what: str) -> bool:
    """Whether the test, or a task, wrote that down."""
    return (NOTES / what).exists()


@signals.worker_ready.connect
def ready(**_: object) -> None:
    """In the handler process."""
    note("ready")


@signals.task_received.connect
def received(request: object, **_: object) -> None:
    """In the handler process."""
    note(f"received-{request.name}")  # type: ignore[attr-defined]


@signals.task_rejected.connect
def rejected(exc: BaseException, **_: object) -> None:
    """In the handler process."""
    note(f"rejected-{type(exc).__name__}")


@signals.task_internal_error.connect
def internal(exception: BaseException, **_: object) -> None:
    """In the child."""
    note(f"internal-error-{type(exception).__name__}")


@signals.worker_shutdown.connect
def stopped(**_: object) -> None:
    """In the handler process, last."""
    note("stopped")


@app.task
def fine() -> None:
    """Do nothing."""


class Unspeakable(Exception):
    """Raises whenever anybody looks at it."""

    def __getattribute__(self, name: str) -> object:
        raise LookupError(name)


@app.task
def unspeakable() -> None:
    """Fail in a way that cannot be recorded."""
    raise Unspeakable


def spin() -> None:
    """Keep the main thread busy in Python code."""
    note("spinning")
    while not marked("enough"):
        pass


@app.task
def busy() -> None:
    """Be busy until told."""
    spin()


@app.task
def deaf() -> None:
    """Hold the interpreter's lock in C code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGURG})  # which would end the C function's sleep
    note("deaf")
    ctypes.PyDLL(None).sleep(6)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGURG})


@app.task(stall_limit=1.0)
def silent() -> None:
    """Give no heartbeat."""
    time.sleep(60)


@app.task(bind=True, stall_limit=1.0)
def lively(self) -> str:
    """Run longer than its stall limit, and say so."""
    for _ in range(25):
        self.heartbeat()
        time.sleep(0.1)
    return "alive"


@app.task(bind=True, base=AbortableTask)
def patient(self) -> str:
    """Run until it is aborted."""
    note("patient")
    while not self.is_aborted():
        self.progress(1, 2)
        time.sleep(0.02)
    return "aborted"
