"""A worker that is told on its standard input which queues to consume: ``add NAME`` or ``cancel NAME`` a line.

python queue_changer.py APP QUEUE,... CONCURRENCY
"""

from __future__ import annotations

import os
import sys

from skirret.brokers.base import Queue
from skirret.worker.loop import READ
from skirret.worker.options import WorkerOptions
from skirret.worker.worker import Worker


def main(app: str, queues: str, concurrency: str) -> int:
    """Run it; its exit code."""
    worker = Worker(WorkerOptions(app=app, queues=queues.split(","), concurrency=int(concurrency), loglevel="INFO"))

    def listen(_mask: int) -> None:
        told = os.read(0, 4096).decode()
        if not told:
            worker.loop.unwatch(0)
        for line in told.splitlines():
            word, name = line.split()
            fetcher = worker.supervisor.fetcher
            done = fetcher.add_consumer(Queue(name=name)) if word == "add" else fetcher.cancel_consumer(name)
            print(f"{word} {name}: {done}", flush=True)

    worker.loop.watch(0, READ, listen)
    return worker.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
