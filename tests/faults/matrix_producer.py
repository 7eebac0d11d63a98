"""A producer of the fault matrix: sends so many tasks at a rate, and writes down what it was promised.

Run as ``python matrix_producer.py LEDGER COUNT RATE LOW HIGH``; each task takes from `LOW` to `HIGH` seconds. The
servers come from the environment. The lines are those of ``tests/acceptance/faults_producer.py``.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid

from skirret import Skirret
from skirret.errors import OperationalError
from tests.acceptance.faults_producer import LATER


def main(ledger: str, count: int, rate: float, low: float, high: float) -> None:
    app = Skirret("producer")
    chance = random.Random(os.getpid())
    fd = os.open(ledger, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    def note(word: str, key: str, task_id: str, kind: str) -> None:
        os.write(fd, f"{word} {key} {task_id} {kind} {time.monotonic():.6f}\n".encode())

    print("sending", flush=True)
    begin = time.monotonic()
    for n in range(count):
        kind = "later" if n % 20 == 3 else "linked" if n % 5 == 0 else "plain"
        key, task_id = f"{os.getpid()}-{n}", str(uuid.uuid4())
        options = {"countdown": LATER} if kind == "later" else {}
        if kind == "linked":
            options["link"] = app.signature("matrix_app.after", (key,))
        note("intent", key, task_id, kind)
        try:
            app.send_task("matrix_app.work", (key, chance.uniform(low, high)), task_id=task_id, **options)
        except OperationalError:
            note("error", key, task_id, kind)
        else:
            note("acked", key, task_id, kind)
        time.sleep(max(0.0, begin + n / rate - time.monotonic()))
    print("sent", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:6]))
