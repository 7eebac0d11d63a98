"""The watchdog on progress: a worker that has work and slots and takes nothing gets a whole new session.

It counts only while the supervisor asks for messages and none come, and of queues that are not paused. Then it asks the
server, over another line, whether messages are ready. If there are, twice, and still none was taken, the
session that should have brought them is stuck: whatever the cause, a new one is made, as after a lost lease. The worker
does not pass for alive until it takes a message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from skirret import clock, loggers
from skirret.brokers.base import Broker
from skirret.worker.vitals import Vitals

logger = loggers.own("skirret.worker")

SECOND_LOOK = 1.0
"""Seconds between the two looks at the queues."""


class Watchdog:
    """Watches one worker; all but the look at the server happens on its loop.

    Args:
        vitals: of the worker; `stuck` is set there.
        open_broker: gives a broker beside the fetcher's; a line that is in use is never shared.
        renew: gives the worker a whole new session.
        call: runs a callable on the loop.
        patience: seconds without a message before the server is asked; 0 is never.
    """

    def __init__(
        self,
        vitals: Vitals,
        open_broker: Callable[[], Broker],
        renew: Callable[[], object],
        call: Callable[[Callable[[], object]], object],
        patience: float,
    ) -> None:
        self._vitals = vitals
        self._open_broker = open_broker
        self._renew = renew
        self._call = call
        self._patience = patience
        self._takes = -1
        self._since = clock.monotonic()
        self._waits = patience
        self._looking = False
        self._broker: Broker | None = None

    def look(self) -> None:
        """Once a second: is there progress, or a reason to look at the server?"""
        if not self._patience:
            return
        vitals = self._vitals
        if vitals.fetcher.takes != self._takes:
            self._takes = vitals.fetcher.takes
            self._since, self._waits = clock.monotonic(), self._patience
            if vitals.stuck and self._takes:
                logger.warning("Messages are taken again.")
                vitals.stuck = ""
        elif not vitals.supervisor.hungry:
            self._since = clock.monotonic()
        elif clock.monotonic() - self._since >= self._waits and not self._looking:
            names = [queue.name for queue in vitals.fetcher.queues if queue.name not in vitals.fetcher.paused]
            if names:
                self._looking = True
                threading.Thread(target=self._ask, args=(names,), name="skirret-watchdog", daemon=True).start()

    def _ask(self, names: list[str]) -> None:
        found: dict[str, int] = {}
        try:
            # Never closed: a broker may share its lines with the fetcher's, and an idle one harms nobody.
            broker = self._broker = self._broker or self._open_broker()
            first = _ready(broker, names)
            if first:
                threading.Event().wait(SECOND_LOOK)
                again = _ready(broker, list(first))
                found = {name: ready for name, (ready, head) in again.items() if first[name][1] == head}
        except Exception as exc:  # noqa: BLE001  a server that is away is the fetcher's business, not ours
            logger.info("The watchdog could not ask the broker what waits: %s", exc)
        self._call(lambda: self._judge(found))

    def _judge(self, found: dict[str, int]) -> None:
        self._looking = False
        vitals = self._vitals
        if vitals.fetcher.takes != self._takes or not vitals.supervisor.hungry:
            return
        now = clock.monotonic()
        idle, self._since = now - self._since, now
        if not found:
            return
        waiting = ", ".join(f"{count} in {name!r}" for name, count in sorted(found.items()))
        vitals.stuck = f"nothing was taken for {idle:.0f} s although slots are free and messages wait ({waiting})"
        logger.error("Stuck: %s. This worker begins a whole new session with the broker.", vitals.stuck)
        self._waits = min(self._waits * 2, 10 * self._patience)
        self._takes = -1
        self._renew()
        self._takes = vitals.fetcher.takes


def _ready(broker: Broker, names: list[str]) -> dict[str, tuple[int, bytes]]:
    """How many messages are ready, and the next one, by queue: where others take one after the other it changes."""
    found: dict[str, tuple[int, bytes]] = {}
    for name in names:
        ready = broker.size(name).ready
        head = broker.peek(name, 1) if ready and broker.capabilities.peek else []
        if ready and (head or not broker.capabilities.peek):
            found[name] = ready, head[0].raw if head else b""
    return found
