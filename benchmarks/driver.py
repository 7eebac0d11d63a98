"""The client side of one queue, in the environment of its library: answers questions on stdin, one JSON line each.

    python -m benchmarks.driver NAME

It runs in a process of its own so that each library has the driver versions it supports. While another queue is
measured it does nothing but wait for its next line.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks import work
from benchmarks.peer import Peer
from benchmarks.peers import ENTRIES


class Driver:
    """The questions; each method is one.

    Args:
        peer: who answers.
        library: the distribution whose version is told.
    """

    def __init__(self, peer: Peer, library: str) -> None:
        self.peer = peer
        self.library = library
        self.handles: list[Any] = []

    def hello(self, concurrency: int) -> dict[str, Any]:
        """Versions, and how to start a worker."""
        versions = {}
        for name in (self.library, "redis", "coredis", "hiredis"):
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return {"versions": versions, "workers": self.peer.workers(concurrency)}

    def single(self, count: int, size: int, seconds: float) -> dict[str, Any]:
        """Calls, one after another."""
        sent, took = self.peer.single(work.calls(count, size, "none"), seconds)
        return {"sent": sent, "seconds": took}

    def bulk(self, count: int, size: int, kind: str, seconds: float) -> dict[str, Any]:
        """Many calls; their handles are kept for `read`."""
        self.handles, took = self.peer.bulk(work.calls(count, size, kind), seconds)
        gc.freeze()  # a hundred thousand handles would be looked through again and again
        return {"sent": len(self.handles), "seconds": took}

    def until_left(self, left: int, sent: int, seconds: float, pause: float) -> dict[str, Any]:
        """Wait for at most so many seconds until no more than `left` of the tasks are unfinished."""
        deadline = time.monotonic() + seconds
        while (found := self.peer.left(sent)) > left and time.monotonic() < deadline:
            time.sleep(pause)
        return {"left": found, "at": time.perf_counter()}

    def read(self, size: int) -> dict[str, Any]:
        """Read all results and say how many are right."""
        expected = "x" * size
        began = time.perf_counter()
        right = 0
        for value in self.peer.results(self.handles):
            if value == expected:
                right += 1
            else:
                print(f"wrong: {value!r:.600}", file=sys.stderr)
        took = time.perf_counter() - began
        self.handles = []
        return {"seconds": took, "right": right}

    def first(self) -> dict[str, Any]:
        """Send the one task that a starting worker will find."""
        self.handles = [self.peer.call(())]
        return {}

    def await_first(self) -> dict[str, Any]:
        """Wait for its result."""
        self.peer.result(self.handles.pop())
        return {"at": time.perf_counter()}

    def trips(self, count: int, seconds: float) -> dict[str, Any]:
        """Round trips, one after another."""
        return {"seconds": self.peer.trips(count, seconds)}

    def extra(self, count: int) -> dict[str, Any]:
        """What this queue alone is asked."""
        return self.peer.own_figures(count)


def serve(driver: Driver, answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer(getattr(driver, question.pop("ask"))(**question))
        except Exception as error:  # noqa: BLE001 - whatever a library raises is told, and the run goes on
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Speak over the stdout that was given, and let nothing else write there."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: dict[str, Any]) -> None:
        out.write(json.dumps(value) + "\n")
        out.flush()

    entry = ENTRIES[sys.argv[1]]
    try:
        peer = importlib.import_module(entry.module).Adapter(entry.name)
    except Exception as error:  # noqa: BLE001 - the same
        traceback.print_exc()
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({})
    serve(Driver(peer, entry.library), answer)
    # Pools and threads of a library may take their time to end; nothing is left to lose.
    os._exit(0)


if __name__ == "__main__":
    main()
