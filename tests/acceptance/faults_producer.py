"""A producer as a process of its own: sends tasks until it is told to stop, and writes down what it was promised.

Run as ``python faults_producer.py LEDGER RATE``; the servers come from the environment. Each line of the ledger is a
word, the task's key, its id, a kind and a moment: ``intent`` before the call, ``acked`` once it returned, ``error``
when it raised.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
import uuid

from skirret import Skirret
from skirret.errors import OperationalError

BATCH = 10
LATER = 0.4
"""Seconds that a delayed task is put off."""


def main(ledger: str, rate: float) -> None:
    app = Skirret("producer")
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    fd = os.open(ledger, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    def note(word: str, keys: list[tuple[str, str]], kind: str) -> None:
        moment = f"{time.monotonic():.6f}"
        os.write(fd, "".join(f"{word} {key} {task_id} {kind} {moment}\n" for key, task_id in keys).encode())

    def send(kind: str, keys: list[tuple[str, str]]) -> None:
        if kind == "batch":
            signatures = [app.signature("faults_app.step", (key,)).set(task_id=task_id) for key, task_id in keys]
            app.send_many(signatures)
            return
        [(key, task_id)] = keys
        options = {"countdown": LATER} if kind == "later" else {}
        if kind == "linked":
            options["link"] = app.signature("faults_app.follow", (key,))
        app.send_task("faults_app.step", (key,), task_id=task_id, **options)

    print("sending", flush=True)
    for n in itertools.count():
        if told:
            break
        kind = "batch" if n % 20 == 7 else "later" if n % 10 == 3 else "linked" if n % 5 == 0 else "plain"
        keys = [(f"{os.getpid()}-{n}-{m}", str(uuid.uuid4())) for m in range(BATCH if kind == "batch" else 1)]
        note("intent", keys, kind)
        try:
            send(kind, keys)
        except OperationalError:
            note("error", keys, kind)
        else:
            note("acked", keys, kind)
        time.sleep(len(keys) / rate)
    print("sent", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
