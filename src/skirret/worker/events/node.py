"""A worker's events as a whole: its heartbeat, the events of its tasks, and those that its tasks send of their own."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any, Protocol

import skirret
from skirret import clock
from skirret.clock import LamportClock
from skirret.events.publishing import EventPublisher, FansOut
from skirret.events.schema import HEARTBEAT_SECONDS, SW_IDENT
from skirret.settings import Conf
from skirret.worker.child_line import ChildLine
from skirret.worker.events import notes
from skirret.worker.events.line import EventLine
from skirret.worker.events.tasks import LOOK_SECONDS, TaskEvents
from skirret.worker.frames import Said
from skirret.worker.loop import Loop
from skirret.worker.rules import Rules


class Observed(Protocol):
    """What is needed of a supervisor."""

    rules: Rules
    told: TaskEvents | None
    said: Callable[[Said], object] | None

    @property
    def processed(self) -> int:
        """Tasks that ran here so far."""
        ...

    @property
    def children(self) -> list[ChildLine]:
        """Its children."""
        ...


class NodeEvents:
    """What one worker tells.

    Args:
        loop: the supervisor's.
        publisher: sends events.
        supervisor: what is told of.
        interval: seconds between heartbeats; None sends none, nor a word of its beginning and end.
    """

    def __init__(
        self,
        loop: Loop,
        publisher: EventPublisher,
        supervisor: Observed,
        interval: float | None = HEARTBEAT_SECONDS,
    ) -> None:
        self._loop = loop
        self._supervisor = supervisor
        self._line = EventLine(publisher)
        self._interval = interval
        self.clock = publisher.clock
        supervisor.said = self.said

    @property
    def enabled(self) -> bool:
        """Whether task events are sent."""
        return self._supervisor.told is not None

    def start(self) -> None:
        """Say that the worker is there; on the loop's thread, or before it runs."""
        self._line.start()
        if self._interval is not None:
            self._say("online")
            self._every(self._interval, self.beat)
        self._every(LOOK_SECONDS, self._look)

    def enable(self) -> bool:
        """Send task events from now on; False if they were sent already."""
        if self.enabled:
            return False
        self._supervisor.told = TaskEvents(self._line.note, self._supervisor.rules.tasks)
        self.mark()
        return True

    def disable(self) -> bool:
        """Send task events no more; False if none were sent."""
        if not self.enabled:
            return False
        self._supervisor.told = None
        self.mark()
        return True

    def mark(self) -> None:
        """Let children know whether monitors want to hear how tasks end."""
        for child in self._supervisor.children:
            child.board.tell(self.enabled)

    def beat(self) -> None:
        """Send a heartbeat now."""
        self._say("heartbeat")

    def said(self, frame: Said) -> None:
        """A task sends events of its own."""
        self._line.note((notes.said, frame))

    def close(self) -> None:
        """Say good-bye, and wait until it is sent."""
        if self._interval is not None:
            self._say("offline")
        self._line.finish()

    def _say(self, kind: str) -> None:
        self._line.note((notes.worker, clock.wall(), kind, self.figures()))

    def figures(self) -> dict[str, Any]:
        """The fields of a heartbeat."""
        return {
            "freq": self._interval or HEARTBEAT_SECONDS,
            "active": sum(len(child.running()) for child in self._supervisor.children if child.outstanding),
            "processed": self._supervisor.processed,
            "loadavg": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else [0.0, 0.0, 0.0],
            "sw_ident": SW_IDENT,
            "sw_ver": skirret.__version__,
            "sw_sys": platform.system(),
        }

    def _look(self) -> None:
        told = self._supervisor.told
        if told is not None:
            told.look(self._supervisor.children)

    def _every(self, seconds: float, call: Callable[[], object]) -> None:
        def again() -> None:
            self._loop.call_later(seconds, again)
            call()

        self._loop.call_later(seconds, again)


def node_events(
    loop: Loop, broker: FansOut, hostname: str, conf: Conf, supervisor: Observed, interval: float | None
) -> NodeEvents:
    """The events of a node on its broker, as the settings say; `interval` as of `NodeEvents`."""
    publisher = EventPublisher(
        lambda: broker,
        hostname,
        os.getpid(),
        LamportClock(),
        exchange=conf.event_exchange,
        serializer=conf.event_serializer,
    )
    events = NodeEvents(loop, publisher, supervisor, interval)
    if conf.worker_send_task_events:
        events.enable()
    return events
