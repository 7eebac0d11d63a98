"""The thread that sends a worker's events: in batches, later if the broker is away, and never at a task's expense."""

from __future__ import annotations

import threading
from collections import deque

from skirret import backoff, clock, loggers
from skirret.errors import SkirretError
from skirret.events.publishing import EventPublisher
from skirret.worker.events.notes import Note, events_of, said

logger = loggers.own("skirret.worker")

KEPT = 20_000
"""Notes that wait; beyond that the oldest are dropped."""

GATHER = 0.02
"""Seconds that a note waits for company."""

PORTION = 2000
"""Notes that are sent in one round trip."""

LAST_PATIENCE = 2.0
"""Seconds that an absent broker gets at the end."""


class EventLine(threading.Thread):
    """Sends what is noted. Only `note` and `finish` are called from other threads; `note` never waits.

    Args:
        publisher: makes messages of events and sends them.
    """

    def __init__(self, publisher: EventPublisher) -> None:
        super().__init__(name="skirret-events", daemon=True)
        self.publisher = publisher
        self.dropped = 0
        """Events that nobody will hear of."""
        self._notes: deque[Note] = deque()
        self._awake = threading.Event()
        self._over = threading.Event()
        self._deadline: clock.Deadline | None = None
        self._failures = 0

    def note(self, note: Note) -> None:
        """Tell monitors, soon; see ``notes``."""
        notes = self._notes
        if len(notes) >= KEPT:
            self.dropped += 1
            notes.popleft()
        notes.append(note)
        if not self._awake.is_set():
            self._awake.set()

    def finish(self) -> None:
        """Send what waits and end; returns when that is done, or cannot be done soon."""
        self._deadline = clock.Deadline(LAST_PATIENCE)
        self._over.set()
        self._awake.set()
        if self.is_alive():
            self.join(LAST_PATIENCE + 1.0)

    def run(self) -> None:
        """Send until `finish`."""
        while True:
            self._awake.wait()
            self._over.wait(GATHER)
            self._awake.clear()
            while self._notes:
                if not self._send():
                    return
            if self._over.is_set():
                return

    def _send(self) -> bool:
        """Send a portion; False when it is time to give up."""
        notes = self._notes
        portion = [notes.popleft() for _ in range(min(PORTION, len(notes)))]
        try:
            flat = not any(note[0] is said for note in portion)
            self.publisher.publish([event for note in portion for event in events_of(note)], flat=flat)
        except SkirretError as exc:
            return self._wait(portion, exc)
        except Exception:
            logger.exception("A bug while events were sent; %d are dropped. Please report it.", len(portion))
            self.dropped += len(portion)
        else:
            if self._failures:
                logger.warning("Events are sent again; %d were dropped so far.", self.dropped)
            self._failures = 0
        return True

    def _wait(self, portion: list[Note], exc: Exception) -> bool:
        if self._deadline is not None and self._deadline.passed():
            return False
        if not self._failures:
            logger.warning("Events cannot be sent for now, and the latest %d are kept: %s", KEPT, exc)
        room = max(0, KEPT - len(self._notes))
        kept = portion[-room:] if room else []
        self.dropped += len(portion) - len(kept)
        self._notes.extendleft(reversed(kept))
        self._over.wait(backoff.exponential(self._failures, factor=0.1, maximum=2.0 if self._deadline is None else 0.2))
        self._failures += 1
        return True
